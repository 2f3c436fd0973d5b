"""A checkpoint's tensors with an adapter applied as they are read, so that only one tensor's change is in memory.

What is read is the model as it was trained. Where head and embedding are tied, a change of one module does not reach
the other: the head then becomes a tensor of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from gemtab.checkpoint.adapter.change import LowRank, of_embedding, of_experts, of_matrix
from gemtab.checkpoint.adapter.config import WEIGHTS_NAME, open_adapter, read_adapter_config
from gemtab.checkpoint.adapter.contents import Contents, Parts, Tokens
from gemtab.checkpoint.head import EMBEDDING, HEAD
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Tensors
from gemtab.errors import CheckpointError
from gemtab.quantize import Planes, StorageFormat

PER_LAYER: Final = "embed_tokens_per_layer.weight"

_PIECE: Final = 1 << 24
"""Values that are read at a time where a whole table is passed through."""


@dataclass(frozen=True)
class _Change:
    """What happens to one tensor. saved: the file's tensor in its place; copy: the file's tensor that the base's should
    equal; base: the base's name of it; parts, tokens: of the file, applied to that."""

    base: str
    saved: str | None = None
    copy: str | None = None
    parts: Parts | None = None
    tokens: Tokens | None = None


class AdaptedCheckpoint:
    """The tensors of `base` with those changed that the adapter in `folder` names, f32 where they are computed.

    notes: what of the adapter is left out.
    """

    def __init__(self, base: Tensors, folder: Path, spec: CheckpointSpec) -> None:
        """Raises CheckpointError where the adapter is damaged, of a kind that cannot be merged, or of another base."""
        self.base = base
        self.folder = base.folder
        self.adapter = folder
        self._spec = spec
        config, self._file = read_adapter_config(folder), open_adapter(folder)
        contents = Contents.read(self._file, folder, config, base, spec)
        self._unties: bool = isinstance(base, AdaptedCheckpoint) and base._unties
        self.notes = contents.notes
        self._changes = self._sorted(contents)
        self._check_vocabulary()
        self._latest: tuple[str, LowRank] | None = None
        self._same: dict[str, bool] = {}

    def names(self) -> list[str]:
        """All tensor names of the base, sorted, and that of the head where the adapter unties it."""
        return sorted({*self.base.names(), *self._changes})

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape; raises CheckpointError if there is no such tensor."""
        change = self._changes.get(name)
        if change is None:
            return self.base.shape(name)
        key = change.saved or change.copy
        return self.base.shape(change.base) if key is None else self._file.shape(key)

    def read(self, name: str) -> torch.Tensor:
        """The whole tensor, f32 where the adapter changes it."""
        if name in self._changes:
            return self.read_rows(name, 0, self.shape(name)[0])
        return self.base.read(name)

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1 along the first axis, f32 where the adapter changes the tensor."""
        change = self._changes.get(name)
        if change is None:
            return self.base.read_rows(name, start, stop)
        rows = self._unchanged(name, start, stop)
        return self._low_rank(name, change.parts).rows(rows, start) if change.parts else rows

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """The base's planes of the rows where it has them, and the adapter leaves the tensor alone."""
        return None if name in self._changes else self.base.packed_rows(name, stored, start, stop)

    @property
    def first_base(self) -> Tensors:
        """The checkpoint's own tensors, below all adapters."""
        return self.base.first_base if isinstance(self.base, AdaptedCheckpoint) else self.base

    def _sorted(self, contents: Contents) -> dict[str, _Change]:
        """What changes, by the name of the tensor."""
        changes: dict[str, _Change] = {}
        for name in {*contents.saved, *contents.copies, *contents.parts, *contents.tokens}:
            saved, copy = contents.saved.get(name), contents.copies.get(name)
            changes[name] = _Change(name, saved, copy, contents.parts.get(name), contents.tokens.get(name))
        embedding = self._spec.tensor_name(EMBEDDING)
        if self._spec.text.tied and (embedding in changes or HEAD in changes):
            self._share_copy(changes, embedding)
            head = self._tied_head(changes, embedding)
            self._unties |= replace(head, base=embedding) != changes.get(embedding, _Change(embedding))
            if HEAD in self.base.names() or head != changes.get(embedding, _Change(embedding)):
                return {**changes, HEAD: head}
        return changes

    def _share_copy(self, changes: dict[str, _Change], embedding: str) -> None:
        """A copy of the tied tensor that has other rows, saved with the head alone, is the embedding's too."""
        copy = changes[HEAD].copy if HEAD in changes else None
        table = changes.get(embedding, _Change(embedding))
        if copy and not (table.copy or table.saved) and self._file.shape(copy) != self.base.shape(embedding):
            changes[embedding] = replace(table, copy=copy)

    def _tied_head(self, changes: dict[str, _Change], embedding: str) -> _Change:
        """What happens to the head of a model that was trained with one tensor for head and embedding: of what happens
        to the embedding, the head follows a copy of that tensor and, as in peft, trained tokens. A head that an adapter
        before this one untied has values of its own, and follows a copy only to have as many rows."""
        own = changes.get(HEAD, _Change(HEAD))
        table = changes.get(embedding, _Change(embedding))
        base = HEAD if HEAD in self.base.names() else embedding
        copy = table.copy
        if copy and self._unties and self.base.shape(base) == self._file.shape(copy):
            copy = None
        return replace(own, base=base, copy=own.copy or copy, tokens=own.tokens or table.tokens)

    def _check_vocabulary(self) -> None:
        """Raises CheckpointError where the adapter resized one of the tables alone."""
        embedding, per_layer = map(self._spec.tensor_name, (EMBEDDING, PER_LAYER))
        if not self._changes.keys() & {embedding, HEAD}:
            return
        names = set(self.names())
        if HEAD in names and self.shape(HEAD)[0] != self.shape(embedding)[0]:
            of_base = embedding if embedding not in self._changes else HEAD
            raise self._resized(HEAD if of_base == embedding else embedding, of_base)
        if per_layer in names and self.shape(per_layer)[0] < self.shape(embedding)[0]:
            raise self._resized(embedding, per_layer)

    def _resized(self, one: str, other: str) -> CheckpointError:
        module = other.removesuffix(".weight").rsplit(".", 1)[-1]
        return CheckpointError(
            f"{self.adapter / WEIGHTS_NAME}: the vocabulary was resized to {self.shape(one)[0]} tokens ({one}), but "
            f"{other} has {self.shape(other)[0]} rows, and the adapter does not have the others. Save it again with "
            f"{module} in modules_to_save, or merge it where it was trained and export the result."
        )

    def _unchanged(self, name: str, start: int, stop: int) -> torch.Tensor:
        """The rows that a low-rank change is added to: with trained tokens, as where peft wraps both around a head."""
        change = self._changes[name]
        key = change.saved or change.copy
        if key is None or (change.saved is None and self._is_copy(change, key)):
            rows = self.base.read_rows(change.base, start, stop)
        else:
            rows = self._finite(key, self._file.read_rows(key, start, stop))
        return self._with_tokens(change.tokens, rows, start) if change.tokens else rows

    def _is_copy(self, change: _Change, key: str) -> bool:
        """Whether the file's copy says nothing: it equals the checkpoint's tensor, which adapters before this one may
        have changed, and have given as many rows."""
        if not isinstance(self.base, AdaptedCheckpoint):
            return False
        if key not in self._same:
            embedding = self._spec.tensor_name(EMBEDDING)
            first = self.first_base
            name = change.base if change.base in first.names() else embedding
            self._same[key] = self.base.shape(change.base) == self._file.shape(key) and _all_equal(
                lambda start, stop: (first.read_rows(name, start, stop), self._file.read_rows(key, start, stop)),
                first.shape(name),
            )
        return self._same[key]

    def _low_rank(self, name: str, parts: Parts) -> LowRank:
        """The low-rank change of the tensor `name`; that of the last one is kept, since a tensor is read in several
        pieces, by several threads."""
        latest = self._latest
        if latest is None or latest[0] != name:
            latest = name, self._loaded(name, parts)
            self._latest = latest
        return latest[1]

    def _loaded(self, name: str, parts: Parts) -> LowRank:
        read = {part: self._finite(key, self._file.read(key)).float() for part, key in parts.keys.items()}
        lengths = read.get("lora_magnitude_vector")
        if parts.experts:
            return of_experts(read["lora_A"], read["lora_B"], parts.experts, parts.scaling)
        if "lora_A" in read:
            return of_matrix(read["lora_A"], read["lora_B"], parts.scaling, lengths)
        plain = of_embedding(read["lora_embedding_A"], read["lora_embedding_B"], parts.scaling)
        return plain if lengths is None else replace(plain, column_factors=lengths / self._column_lengths(name, plain))

    def _column_lengths(self, name: str, change: LowRank) -> torch.Tensor:
        """The lengths of a changed table's columns, [columns]."""
        total: torch.Tensor | float = 0.0
        for start, stop in _pieces(self.shape(name)):
            rows = change.rows(self._unchanged(name, start, stop), start)
            total = total + rows.double().square().sum(dim=0)
        assert isinstance(total, torch.Tensor)
        return total.sqrt().float()

    def _with_tokens(self, tokens: Tokens, rows: torch.Tensor, start: int) -> torch.Tensor:
        """The rows with those of trained tokens in their places."""
        inside = [(at, row - start) for at, row in enumerate(tokens.rows) if start <= row < start + len(rows)]
        if not inside:
            return rows.float()
        trained = self._finite(tokens.key, self._file.read(tokens.key)).float()
        changed = rows.float().clone()
        changed[[row for _, row in inside]] = trained[[at for at, _ in inside]]
        return changed

    def _finite(self, key: str, found: torch.Tensor) -> torch.Tensor:
        if not torch.isfinite(found).all():
            raise CheckpointError(
                f"{self.adapter / WEIGHTS_NAME}: tensor {key} has values that are NaN or infinite. The file is "
                "damaged or the training diverged."
            )
        return found


def _pieces(shape: Sequence[int]) -> list[tuple[int, int]]:
    """A table's rows from … to, so many at a time that they pass through little memory."""
    rows, step = shape[0], max(1, _PIECE // max(1, torch.Size(shape[1:]).numel()))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def _all_equal(read: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]], shape: Sequence[int]) -> bool:
    return all(torch.equal(*(each.float() for each in read(start, stop))) for start, stop in _pieces(shape))
