"""Find the prefix of the text stack's tensor names in a checkpoint."""

from pathlib import Path

from gemtab.checkpoint.codes import TABLE_CODES
from gemtab.checkpoint.tensors import Checkpoint
from gemtab.errors import CheckpointError

NESTED_PREFIX, BARE_PREFIX = "model.language_model.", "model."
"""transformers' prefixes of the text stack, in nested and bare checkpoints."""

_PREFIXES = (NESTED_PREFIX, BARE_PREFIX, "language_model.model.", "")
"""All known prefixes, those of older releases included."""


def find_text_prefix(names: list[str], folder: Path) -> str:
    """Return the text before the token embedding's name in the checkpoint. Raises CheckpointError unless exactly one
    tensor has that name."""
    endings = ("embed_tokens.weight", f"embed_tokens.{TABLE_CODES}")
    found = [(name, end) for name in names for end in endings if name == end or name.endswith(f".{end}")]
    if len(found) != 1:
        listed = ", ".join(name for name, _ in found) or "none"
        raise CheckpointError(
            f"{folder}: expected one tensor called …{endings[0]}, the token embedding; found {listed}. "
            "Check that this is a Gemma checkpoint with all its files."
        )
    name, ending = found[0]
    return name.removesuffix(ending)


def check_one_prefix(checkpoint: Checkpoint, prefix: str) -> None:
    """Raise CheckpointError where a tensor under `prefix` also exists under another known prefix."""
    names = checkpoint.names()
    own = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    for other in _PREFIXES:
        for name in names:
            same = own.get(name.removeprefix(other), name) if name.startswith(other) else name
            if same != name:
                raise CheckpointError(
                    f"{checkpoint.folder}: tensors {same} ({checkpoint.file_of(same)}) and {name} "
                    f"({checkpoint.file_of(name)}) are the same weight under two prefixes; expected one of them. Save "
                    "the checkpoint again without the unused one."
                )
