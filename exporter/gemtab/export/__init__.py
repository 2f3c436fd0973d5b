"""Export a checkpoint to a bundle."""

from gemtab.export.options import DEFAULT_CONTEXT, MAX_CONTEXT, choose_weights
from gemtab.export.write import Progress, check_output, check_without_weights, export_bundle

__all__ = [
    "DEFAULT_CONTEXT",
    "MAX_CONTEXT",
    "Progress",
    "check_output",
    "check_without_weights",
    "choose_weights",
    "export_bundle",
]
