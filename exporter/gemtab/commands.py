"""Command lines that are printed, to be copied into a shell."""

import shlex
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """The words as one line of a POSIX shell, quoted where they need it."""
    return shlex.join(str(word) for word in words)
