"""Command lines that users copy into a shell."""

import shlex
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """Return the words as one POSIX command line, quoted where needed."""
    return shlex.join(str(word) for word in words)
