"""Determine which weights of a pre-quantized (QAT) checkpoint are integers."""

from dataclasses import dataclass
from functools import cached_property

from gemtab.checkpoint.tensor_names import tensor_name
from gemtab.model.spec import Bits
from gemtab.patterns import Patterns


@dataclass(frozen=True)
class TrainedCodes:
    """The integer weights of a pre-quantized (QAT) checkpoint, as in transformers' GemmaQuantizer.

    default: bits of modules without a pattern. patterns: regular expressions, searched in a module's name, with bits.
    tables: whether embeddings are integers too. skipped: modules that are not quantized, by name, ending or regular
    expression. text_prefix: as in CheckpointSpec, since patterns match whole names.
    """

    default: Bits
    patterns: tuple[tuple[str, Bits], ...]
    tables: bool
    skipped: tuple[str, ...]
    text_prefix: str

    def bits(self, source: str, table: bool) -> Bits | None:
        """Return the bits of the weight `source`, a table or a matrix; None where it is not quantized."""
        if not source.endswith(".weight") or (table and not self.tables):
            return None
        module = tensor_name(self.text_prefix, source).removesuffix(".weight")
        return None if self._is_skipped(module) else self._pattern_bits(module) or self.default

    def names_none_of(self, sources: list[str]) -> bool:
        """Whether patterns exist and none of them matches one of these weights."""
        modules = [tensor_name(self.text_prefix, source).removesuffix(".weight") for source in sources]
        return bool(self.patterns) and not any(self._pattern_bits(module) for module in modules)

    def _is_skipped(self, module: str) -> bool:
        if any(module.endswith(key) for key in self.skipped):
            return True
        return any(start is not None for start in self._skipping.found(module))

    @cached_property
    def _skipping(self) -> Patterns:
        boundary = r"(?:(?<=\.)|(?=\.|$))"
        return Patterns(self.skipped, "match", ("(?:", f"){boundary}"))

    @cached_property
    def _naming(self) -> Patterns:
        return Patterns([key for key, _ in self.patterns], "search")

    def _pattern_bits(self, module: str) -> Bits | None:
        """Return the bits of the pattern that matches earliest in the name; the first listed one among equals."""
        starts = self._naming.found(module)
        found = [(at, bits) for at, (_, bits) in zip(starts, self.patterns, strict=True) if at is not None]
        return min(found, key=lambda each: each[0])[1] if found else None
