"""Where media come from: files, and the libraries that read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gemtab.errors import MediaError, UsageError


@contextmanager
def media_extra() -> Iterator[None]:
    """Around imports of Pillow and PyAV: raises UsageError, with what to install, where they are missing."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"Reading pictures, sounds and clips needs {error.name}, which the core of gemtab does without. "
            "Install with: pip install 'gemtab[media]'"
        ) from error


def named_content(source: Path | bytes, what: str) -> tuple[str, bytes]:
    """A name for messages (`what` where there is no file) and the content. Raises MediaError where there is none."""
    if isinstance(source, bytes):
        name, content = what, source
    else:
        name = str(source)
        try:
            content = source.read_bytes()
        except OSError as error:
            raise MediaError(f"{name} cannot be read: {error.strerror}.") from error
    if not content:
        raise MediaError(f"{name} is empty: it has 0 bytes. Choose another file.")
    return name, content
