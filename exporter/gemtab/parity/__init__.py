"""How far one backend, or one weight format, is from another."""

from gemtab.parity.compare import LogitError, compare
from gemtab.parity.greedy import GreedyMatch, compare_greedy
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ACTIVATIONS, WEIGHTS, Tolerance

__all__ = [
    "ACTIVATIONS",
    "WEIGHTS",
    "GreedyMatch",
    "LogitError",
    "ReferenceText",
    "Tolerance",
    "compare",
    "compare_greedy",
]
