"""Sort an adapter's tensors by their effect on the base's tensors, and check their shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gemtab.checkpoint.adapter.config import MERGE_WITH_PEFT, WEIGHTS_NAME, AdapterConfig
from gemtab.checkpoint.adapter.names import Entry, Kind, in_base, is_of_tower, is_unused, parse
from gemtab.checkpoint.head import EMBEDDING, HEAD
from gemtab.checkpoint.naming import name_of
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Checkpoint, Tensors
from gemtab.errors import CheckpointError

_EXPERTS = ("gate_up_proj", "down_proj")
_NO_CHAT = ("score", "classifier", "v_head", "summary", "value_head", "reward_head", "qa_outputs")
"""Names of heads that do not give tokens."""


@dataclass(frozen=True)
class Parts:
    """The tensors of a low-rank change, by part. experts: number of experts; 0 for a single matrix."""

    keys: Mapping[str, str]
    scaling: float
    experts: int = 0


@dataclass(frozen=True)
class Tokens:
    """Trained rows of a table. key: the tensor in the file. rows: the table's row for each of the tensor's rows."""

    key: str
    rows: tuple[int, ...]


@dataclass
class Contents:
    """saved, copies: tensors of the file that replace tensors of the base, by the base's names (see names.Kind). parts,
    tokens: changes of tensors of the base. notes: sentences on what is left out."""

    saved: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Parts] = field(default_factory=dict)
    tokens: dict[str, Tokens] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @staticmethod
    def read(file: Checkpoint, folder: Path, config: AdapterConfig, base: Tensors, spec: CheckpointSpec) -> "Contents":
        """Sort the tensors of the file in `folder`. Raises CheckpointError for tensors that fit nothing in the base."""
        return _Sorter(file, folder, config, base, spec).sort()


class _Sorter:
    def __init__(
        self, file: Checkpoint, folder: Path, config: AdapterConfig, base: Tensors, spec: CheckpointSpec
    ) -> None:
        self._file, self._config, self._base, self._spec = file, config, base, spec
        self._where = folder / WEIGHTS_NAME
        self._name = name_of(folder).text
        self._known = set(base.names())
        self._parts: dict[str, dict[str, Entry]] = {}
        self._unused: list[str] = []
        self._towers: list[str] = []
        self._empty: list[str] = []
        self._strange: list[str] = []
        self._kinds: dict[str, Kind] = {}

    def sort(self) -> Contents:
        found = Contents()
        for key in self._file.names():
            entry = parse(key)
            if entry is None:
                self._strange.append(key)
            elif not self._is_empty(entry):
                self._take(entry, found)
        for entries in self._parts.values():
            self._add_parts(entries, found)
        if self._strange:
            raise self._stray()
        if not (found.saved or found.copies or found.parts or found.tokens):
            raise self._nothing()
        self._check_rows(found)
        found.notes = tuple(self._notes())
        return found

    def _is_empty(self, entry: Entry) -> bool:
        """Whether the tensor is empty and its values are not needed, since they are the base's."""
        shape = self._file.shape(entry.key)
        if 0 not in shape:
            return False
        if self._is_trained(entry):
            raise CheckpointError(
                f"{self._where}: {entry.key} is empty (shape {list(shape)}): DeepSpeed ZeRO-3 or FSDP spread its "
                "values, and they were not gathered when the adapter was saved. Save the adapter again with the values "
                "gathered (stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py on the training checkpoint)."
            )
        self._empty.append(entry.key)
        return True

    def _take(self, entry: Entry, found: Contents) -> None:
        """Sort one tensor."""
        if entry.kind == "part":
            self._parts.setdefault(entry.wrapper, {})
            if entry.part in self._parts[entry.wrapper]:
                raise self._twice(entry.key, self._parts[entry.wrapper][entry.part].key)
            self._parts[entry.wrapper][entry.part] = entry
            return
        name = self._resolved(entry.name)
        if name is None:
            return
        if entry.kind == "tokens":
            rows = self._config.token_indices(entry.module)
            if not rows and name == HEAD:  # tied, and saved beside the embedding
                rows = self._config.token_indices(EMBEDDING.removesuffix(".weight"))
            self._check_tokens(entry, rows, name)
            found.tokens[name] = Tokens(entry.key, rows)
            return
        target = found.saved if self._is_trained(entry) else found.copies
        self._check_whole(entry.key, name)
        if name in target and entry.kind == self._kinds[name]:
            raise self._twice(entry.key, target[name])
        if name not in target or entry.kind == "plain":  # as peft loads a file with both
            target[name], self._kinds[name] = entry.key, entry.kind

    def _is_trained(self, entry: Entry) -> bool:
        """Whether the tensor was trained in full."""
        if entry.kind == "plain":
            return self._config.saves(entry.module) or entry.parameter == "bias"
        return entry.kind != "base"

    def _resolved(self, name: str) -> str | None:
        """Return the base's name. Where the base has no such tensor, return None and list the tensor."""
        known = in_base(name, self._spec, self._known)
        if known is None:
            without = not any(map(is_of_tower, self._known))
            listed = (
                self._unused
                if is_unused(name, self._spec)
                else self._towers
                if is_of_tower(name) and without
                else self._strange
            )
            listed.append(name.removesuffix(".weight"))
        return known

    def _add_parts(self, entries: Mapping[str, Entry], found: Contents) -> None:
        """Add a low-rank change after checking that it is complete and its shapes fit."""
        entry = next(iter(entries.values()))
        keys = {part: each.key for part, each in entries.items()}
        experts = entry.module.endswith(".experts")
        names = [f"{entry.module}.{each}" for each in _EXPERTS] if experts else [entry.name]
        resolved = [(each, name) for each in names if (name := self._resolved(each))]
        if not resolved:
            return
        own, name = resolved[0] if len(resolved) == 1 else self._parameter(keys, resolved)
        target = self._config.target(entry.module, own.removeprefix(f"{entry.module}."))
        if name in found.parts:
            raise self._twice(next(iter(keys.values())), next(iter(found.parts[name].keys.values())))
        shape = self._shape(name, found)
        if len(shape) < 2:
            raise self._no_matrix(next(iter(keys.values())), name)
        rank = self._config.rank(target, self._found_rank(keys) // (shape[0] if experts else 1))
        self._check_parts(keys, self._expected(keys, shape, rank), name, target, rank)
        found.parts[name] = Parts(keys, self._config.scaling(target, rank), shape[0] if experts else 0)

    def _found_rank(self, keys: Mapping[str, str]) -> int:
        """Return the rank from the first dimension of the part that has it; 0 where that part is missing."""
        shape = next((self._file.shape(key) for part, key in keys.items() if part.endswith("_A")), ())
        return shape[0] if shape else 0

    def _parameter(self, keys: Mapping[str, str], resolved: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """Return the experts' parameter that the parts change, by their shapes: peft may wrap parameters in any
        order."""
        sizes = {part: self._file.shape(key) for part, key in keys.items()}
        if sizes.keys() >= {"lora_A", "lora_B"}:
            for own, name in resolved:
                _, rows, columns = self._base.shape(name)
                if sizes["lora_A"][-1] == columns and sizes["lora_B"][0] == rows:
                    return own, name
        return resolved[0]

    def _shape(self, name: str, found: Contents) -> tuple[int, ...]:
        """Return the shape of the tensor that the parts change."""
        key = found.saved.get(name) or found.copies.get(name)
        if key:
            return self._file.shape(key)
        embedding = self._spec.tensor_name(EMBEDDING)
        if name != HEAD or HEAD in self._known:
            return self._base.shape(name)
        return self._file.shape(found.copies[embedding]) if embedding in found.copies else self._base.shape(embedding)

    def _expected(self, keys: Mapping[str, str], shape: Sequence[int], rank: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parts for a tensor of shape `shape`."""
        rows, *columns = shape
        lengths: tuple[int, ...] = (rows,)
        if "lora_embedding_A" in keys:
            expected: dict[str, tuple[int, ...]] = {
                "lora_embedding_A": (rank, rows),
                "lora_embedding_B": (*columns, rank),
            }
            lengths = tuple(columns)
        elif len(shape) == 3 and next(iter(keys.values())).find(".experts.") >= 0:
            expected = {"lora_A": (rows * rank, columns[1]), "lora_B": (columns[0], rows * rank)}
        else:
            ones = (1,) * (len(columns) - 1)
            expected = {"lora_A": (rank, *columns), "lora_B": (rows, rank, *ones)}
        return expected | ({"lora_magnitude_vector": lengths} if self._config.use_dora else {})

    def _check_parts(
        self, keys: Mapping[str, str], expected: Mapping[str, tuple[int, ...]], name: str, target: str, rank: int
    ) -> None:
        if keys.keys() != expected.keys():
            raise CheckpointError(
                f"{self._where} has {', '.join(sorted(keys))} for {target}, but adapter_config.json "
                f"requires {', '.join(sorted(expected))}. The two files belong to different adapters."
            )
        for part, wanted in expected.items():
            found = self._file.shape(keys[part])
            if len(found) != len(wanted):
                raise CheckpointError(
                    f"{self._where}: {keys[part]} has the shape {list(found)}; expected {list(wanted)}. "
                    f"{MERGE_WITH_PEFT}"
                )
            if found != wanted:
                raise self._misfit(part, keys[part], name, wanted, f"The rank of {target} is {rank}")

    def _misfit(self, part: str, key: str, name: str, wanted: Sequence[int], rank: str) -> CheckpointError:
        """Return why a part does not fit: the rank differs from the config's, the vocabulary was resized, or the base
        is another one."""
        found, at = self._file.shape(key), 0 if part.endswith("_A") else 1
        start = f"{self._where}: {key} has the shape {list(found)}, but {name} of {self._base.folder} and "
        start += f"adapter_config.json require {list(wanted)}. "
        if len(found) > at and found[at] != wanted[at]:
            return CheckpointError(f"{start}{rank} by adapter_config.json: the two files belong to different adapters.")
        if name in (HEAD, self._spec.tensor_name(EMBEDDING)) and part in ("lora_B", "lora_embedding_A"):
            return CheckpointError(
                f"{start}The vocabulary was resized, and the adapter does not have the other rows. Save the adapter "
                "again with save_embedding_layers=True, or merge it where it was trained and export the result."
            )
        return CheckpointError(f"{start}The adapter was trained on another base ({self._config.base_name}?).")

    def _check_whole(self, key: str, name: str) -> None:
        """Raise CheckpointError where a tensor cannot replace the base's: only tables may have other numbers of
        rows."""
        tables = {HEAD, *(self._spec.tensor_name(each) for each in (EMBEDDING, "embed_tokens_per_layer.weight"))}
        known = self._spec.tensor_name(EMBEDDING) if name == HEAD and HEAD not in self._known else name
        found, wanted = self._file.shape(key), self._base.shape(known)
        fits = len(found) == 2 and found[1:] == wanted[1:] if name in tables else found == wanted
        if not fits:
            raise CheckpointError(
                f"{self._where}: {key} has the shape {list(found)}, but {name} of {self._base.folder} has "
                f"{list(wanted)}. The adapter was trained on another base ({self._config.base_name}?)."
            )

    def _check_tokens(self, entry: Entry, rows: Sequence[int], name: str) -> None:
        found = self._file.shape(entry.key)
        if len(self._base.shape(self._spec.tensor_name(EMBEDDING) if name == HEAD else name)) != 2:
            raise self._no_matrix(entry.key, name)
        if len(found) != 2 or found[0] != len(rows):
            raise CheckpointError(
                f"{self._where}: {entry.key} has the shape {list(found)}, but trainable_token_indices of "
                f"adapter_config.json has {len(rows)} tokens for {name}. The two files belong to different adapters."
            )

    def _check_rows(self, found: Contents) -> None:
        """Check that the table has the rows of trained tokens."""
        for name, tokens in found.tokens.items():
            rows, columns = self._shape(name, found)
            beyond = [row for row in tokens.rows if not 0 <= row < rows]
            if beyond:
                raise CheckpointError(
                    f"{self._where}: token {beyond[0]} was trained, but {name} has {rows} rows: the vocabulary was "
                    "resized, and the adapter does not have the other rows. Save the adapter again with "
                    "save_embedding_layers=True."
                )
            if self._file.shape(tokens.key)[1] != columns:
                raise CheckpointError(
                    f"{self._where}: {tokens.key} has the shape {list(self._file.shape(tokens.key))}, but {name} of "
                    f"{self._base.folder} has {columns} columns. The adapter was trained on another base "
                    f"({self._config.base_name}?)."
                )

    def _no_matrix(self, key: str, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: {key} changes {name}, a vector, by low rank or by rows; only matrices can be changed so. "
            "Train such modules in full (modules_to_save), or leave them out of target_modules."
        )

    def _twice(self, one: str, other: str) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: {other} and {one} change the same tensor: the file holds several adapters. Save the "
            "intended adapter alone."
        )

    def _nothing(self) -> CheckpointError:
        left = self._unused + self._towers + self._empty
        why = f"all its tensors are left out ({_listed(left)})" if left else "it has no tensors"
        return CheckpointError(f"{self._where}: there is nothing to merge: {why}.")

    def _stray(self) -> CheckpointError:
        """Return why tensors fit nothing in the base."""
        listed = _listed(self._strange)
        start = f"{self._where} changes tensors that the checkpoint does not have: {listed}. "
        if any(set(name.split(".")) & set(_NO_CHAT) for name in self._strange):
            return CheckpointError(f"{start}A chat model has no head of a classifier or a reward model.")
        return CheckpointError(
            f"{start}adapter_config.json names the base {self._config.base_name}; the checkpoint is "
            f"{self._base.folder}. Export the base on which the adapter was trained, or merge the adapter with peft."
        )

    def _notes(self) -> list[str]:
        notes = []
        if self._unused:
            notes.append(
                f"Adapter {self._name}: its changes of {_listed(self._unused)} are left out: the layer reads another "
                "layer's keys and values."
            )
        if self._towers:
            notes.append(
                f"Adapter {self._name}: its changes of {_listed(self._towers)} are left out: the checkpoint takes only "
                "text."
            )
        if self._empty:
            notes.append(
                f"Adapter {self._name}: {_listed(self._empty)} is taken from the checkpoint, since the adapter's "
                "tensor is empty. It was not trained."
            )
        return notes


def _listed(names: Sequence[str], most: int = 3) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - most} more" if len(unique) > most else ""
    return ", ".join(unique[:most]) + more
