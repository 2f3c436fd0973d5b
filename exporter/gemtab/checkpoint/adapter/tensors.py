"""Read a checkpoint's tensors with an adapter applied, so that only one tensor's change is in memory.

The result is the model as it was trained. Where head and embedding are tied, a change of one module does not reach the
other: the head then becomes a separate tensor.
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
"""Values that are read at once where a whole table is scanned."""


@dataclass(frozen=True)
class _Change:
    """The change of one tensor. base: the base's tensor. saved: the file's tensor that replaces it. copy: the file's
    copy that should equal the base's tensor. parts, tokens: changes from the file, applied to that."""

    base: str
    saved: str | None = None
    copy: str | None = None
    parts: Parts | None = None
    tokens: Tokens | None = None


class AdaptedCheckpoint:
    """The tensors of `base` with the changes of the adapter in `folder`; computed tensors are f32.

    notes: sentences on parts of the adapter that are left out.
    """

    def __init__(self, base: Tensors, folder: Path, spec: CheckpointSpec) -> None:
        """Raise CheckpointError where the adapter is damaged, cannot be merged, or belongs to another base."""
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
        """Return all tensor names of the base, sorted, and the head's where the adapter unties it."""
        return sorted({*self.base.names(), *self._changes})

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape. Raises CheckpointError where the tensor does not exist."""
        change = self._changes.get(name)
        if change is None:
            return self.base.shape(name)
        key = change.saved or change.copy
        return self.base.shape(change.base) if key is None else self._file.shape(key)

    def read(self, name: str) -> torch.Tensor:
        """Return the whole tensor, f32 if the adapter changes it."""
        if name in self._changes:
            return self.read_rows(name, 0, self.shape(name)[0])
        return self.base.read(name)

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 along the first axis, f32 if the adapter changes the tensor."""
        change = self._changes.get(name)
        if change is None:
            return self.base.read_rows(name, start, stop)
        rows = self._unchanged(name, start, stop)
        return self._low_rank(name, change.parts).rows(rows, start) if change.parts else rows

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the base's planes of the rows where the adapter does not change the tensor; else None."""
        return None if name in self._changes else self.base.packed_rows(name, stored, start, stop)

    @property
    def first_base(self) -> Tensors:
        """The checkpoint's own tensors, below all adapters."""
        return self.base.first_base if isinstance(self.base, AdaptedCheckpoint) else self.base

    def _sorted(self, contents: Contents) -> dict[str, _Change]:
        """Return the changes by the name of the tensor."""
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
        """Apply a resized copy of the tied tensor, saved with the head only, to the embedding too."""
        copy = changes[HEAD].copy if HEAD in changes else None
        table = changes.get(embedding, _Change(embedding))
        if copy and not (table.copy or table.saved) and self._file.shape(copy) != self.base.shape(embedding):
            changes[embedding] = replace(table, copy=copy)

    def _tied_head(self, changes: dict[str, _Change], embedding: str) -> _Change:
        """Return the change of the head in a model that was trained with one tensor for head and embedding. As in peft,
        the head follows a copy of that tensor and trained tokens, among the changes of the embedding. A head that an
        earlier adapter untied has its own values, and follows a copy only for the number of rows."""
        own = changes.get(HEAD, _Change(HEAD))
        table = changes.get(embedding, _Change(embedding))
        base = HEAD if HEAD in self.base.names() else embedding
        copy = table.copy
        if copy and self._unties and self.base.shape(base) == self._file.shape(copy):
            copy = None
        return replace(own, base=base, copy=own.copy or copy, tokens=own.tokens or table.tokens)

    def _check_vocabulary(self) -> None:
        """Raise CheckpointError where the adapter resized only one of the tables."""
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
            f"{other} has {self.shape(other)[0]} rows, and the adapter has no more. Save the adapter again with "
            f"{module} in modules_to_save, or merge it where it was trained and export the result."
        )

    def _unchanged(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the rows before the low-rank change; as peft wraps a head, trained tokens are applied first."""
        change = self._changes[name]
        key = change.saved or change.copy
        if key is None or (change.saved is None and self._is_copy(change, key)):
            rows = self.base.read_rows(change.base, start, stop)
        else:
            rows = self._finite(key, self._file.read_rows(key, start, stop))
        return self._with_tokens(change.tokens, rows, start) if change.tokens else rows

    def _is_copy(self, change: _Change, key: str) -> bool:
        """Whether the file's copy has no effect: it equals the checkpoint's tensor, which earlier adapters may have
        changed and resized."""
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
        """Return the low-rank change of the tensor `name`. The latest one is cached: several threads read a tensor in
        pieces."""
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
        """Return the lengths of a changed table's columns, [columns] f32."""
        total: torch.Tensor | float = 0.0
        for start, stop in _pieces(self.shape(name)):
            rows = change.rows(self._unchanged(name, start, stop), start)
            total = total + rows.double().square().sum(dim=0)
        assert isinstance(total, torch.Tensor)
        return total.sqrt().float()

    def _with_tokens(self, tokens: Tokens, rows: torch.Tensor, start: int) -> torch.Tensor:
        """Return the rows, with trained tokens' rows replaced."""
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
    """Return ranges of a table's rows, each small enough for little memory."""
    rows, step = shape[0], max(1, _PIECE // max(1, torch.Size(shape[1:]).numel()))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def _all_equal(read: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]], shape: Sequence[int]) -> bool:
    return all(torch.equal(*(each.float() for each in read(start, stop))) for start, stop in _pieces(shape))
