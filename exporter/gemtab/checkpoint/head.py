"""Determine whether a model's head is tied to the embedding. The tensors decide.

As in transformers, the config's `tie_word_embeddings` counts only where the checkpoint has no head, or a copy of the
embedding. Merging a trained head, or a full fine-tune saved in parts, leaves a different head.
"""

from dataclasses import replace
from typing import Final

import torch

from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Tensors
from gemtab.errors import CheckpointError

HEAD: Final = "lm_head.weight"
EMBEDDING: Final = "embed_tokens.weight"

_PIECE: Final = 1 << 24
"""Values that are compared at once."""


def with_own_head(spec: CheckpointSpec, tensors: Tensors) -> CheckpointSpec:
    """Return `spec` with `text.tied` by the tensors: False where the head differs from the embedding.

    Raises CheckpointError where the config says that the head is not tied, and the checkpoint has no head.
    """
    has_head = HEAD in tensors.names()
    if not spec.text.tied:
        if not has_head:
            raise CheckpointError(
                f"{tensors.folder}: tie_word_embeddings is false, and the checkpoint has no tensor {HEAD}. Check that "
                "all files are there. If the head is the embedding, set tie_word_embeddings to true."
            )
        return spec
    if not has_head or _equal(tensors, HEAD, spec.tensor_name(EMBEDDING)):
        return spec
    return replace(spec, text=replace(spec.text, tied=False))


def _equal(tensors: Tensors, one: str, other: str) -> bool:
    """Whether two matrices have the same values, in any dtypes."""
    shape = tensors.shape(one)
    if tensors.shape(other) != shape or not shape:
        return False
    rows, step = shape[0], max(1, _PIECE * shape[0] // max(1, torch.Size(shape).numel()))
    return all(
        torch.equal(*(tensors.read_rows(name, start, min(start + step, rows)).float() for name in (one, other)))
        for start in range(0, rows, step)
    )
