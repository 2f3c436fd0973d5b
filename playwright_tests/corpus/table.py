"""The corpus table: the same inputs in transformers, gemtab's Python, Chromium and Firefox, a line for each kind."""

from dataclasses import dataclass, field


@dataclass
class Column:
    """The results of one implementation for a kind of inputs. Differences are in the kind's own unit."""

    tried: int = 0
    equal: int = 0
    largest: float = 0.0

    def add(self, equal: bool, difference: float = 0.0) -> None:
        """Count one input."""
        self.tried += 1
        self.equal += equal
        self.largest = max(self.largest, difference)

    def __str__(self) -> str:
        return f"{self.equal}/{self.tried} ({self.largest:.3g})"


@dataclass
class Row:
    """A line of the table. An implementation that does not support a kind has no column in its line."""

    subject: str
    kind: str
    columns: dict[str, Column] = field(default_factory=dict)

    def add(self, implementation: str, equal: bool, difference: float = 0.0) -> None:
        """Count one input of this kind in an implementation, "Python", "Chromium" or "Firefox": whether its result
        equals transformers', and the difference."""
        self.columns.setdefault(implementation, Column()).add(equal, difference)

    def __str__(self) -> str:
        cells = "   ".join(f"{name} {column}" for name, column in self.columns.items())
        return f"{self.subject:9} {self.kind:44} {cells}"
