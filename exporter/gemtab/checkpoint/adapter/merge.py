"""Merge several adapters into one checkpoint, and adapt its spec."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gemtab.checkpoint.adapter.tensors import PER_LAYER, AdaptedCheckpoint
from gemtab.checkpoint.head import EMBEDDING, with_own_head
from gemtab.checkpoint.source import open_checkpoint
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Tensors


def adapted(base: Tensors, adapters: Sequence[Path], spec: CheckpointSpec | None = None) -> Tensors:
    """Return `base` with all adapters merged, in this order. spec: the base's spec; by default read from its folder or
    file.

    Raises CheckpointError where an adapter does not fit. The merged model may need another spec: see adapted_spec.
    """
    if adapters and spec is None:
        spec = open_checkpoint(base.folder).spec
    for folder in adapters:
        assert spec is not None
        base = AdaptedCheckpoint(base, folder, spec)
    return base


def adapted_spec(spec: CheckpointSpec, tensors: Tensors) -> CheckpointSpec:
    """Return `spec` with the changes of adapters: a separate head, or a resized vocabulary."""
    return with_own_head(with_vocabulary(spec, tensors), tensors)


def with_vocabulary(spec: CheckpointSpec, tensors: Tensors) -> CheckpointSpec:
    """Return `spec` with the adapters' vocabulary. Reads no values."""
    if not isinstance(tensors, AdaptedCheckpoint):
        return spec
    text, per_layer = spec.text, spec.tensor_name(PER_LAYER)
    vocabulary = tensors.shape(spec.tensor_name(EMBEDDING))[0]
    rows = tensors.shape(per_layer)[0] if per_layer in tensors.names() else text.per_layer_vocabulary
    if (vocabulary, rows) == (text.vocabulary, text.per_layer_vocabulary):
        return spec
    if vocabulary > rows and text.per_layer_size == 0:
        rows = vocabulary
    return replace(spec, text=replace(text, vocabulary=vocabulary, per_layer_vocabulary=rows))


def adapter_notes(tensors: Tensors, before: CheckpointSpec, after: CheckpointSpec) -> tuple[str, ...]:
    """Return notes on the merge. before, after: the specs without and with the adapters."""
    if not isinstance(tensors, AdaptedCheckpoint):
        return ()
    notes = list(_left_out(tensors))
    if before.text.tied and not after.text.tied:
        notes.append("The head is a separate matrix: the adapters changed the head and the embedding differently.")
    if before.text.vocabulary != after.text.vocabulary:
        notes.append(
            f"The vocabulary has {after.text.vocabulary} tokens with the adapters, {before.text.vocabulary} without."
        )
    return tuple(notes)


def _left_out(tensors: Tensors) -> tuple[str, ...]:
    return (*_left_out(tensors.base), *tensors.notes) if isinstance(tensors, AdaptedCheckpoint) else ()
