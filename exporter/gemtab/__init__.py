"""gemtab: Gemma 4 checkpoints compiled for a browser tab."""

from importlib.metadata import version

__version__ = version("gemtab")
