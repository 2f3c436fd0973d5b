"""Where media come from: files, and the libraries that read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gemtab.errors import MediaError, UsageError
from gemtab.regular import check_regular, read_regular


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


def named_content(source: Path | bytes, what: str, most: int) -> tuple[str, bytes]:
    """A name for messages (`what` where there is no file) and the content. Raises MediaError where there is none, or
    more than `most` bytes."""
    if isinstance(source, bytes):
        name, content = what, source
    else:
        name = str(source)
        try:
            check_regular(source)
            check_bytes(source.stat().st_size, name, most)
            content = read_regular(source, most)
        except OSError as error:
            raise MediaError(f"{name} cannot be read: {error.strerror}.") from error
    check_bytes(len(content), name, most)
    return name, content


def check_bytes(count: int, name: str, most: int) -> None:
    """Raises MediaError for a file with more than `most` bytes, and for an empty one."""
    if not count:
        raise MediaError(f"{name} is empty: it has 0 bytes. Choose another file.")
    if count > most:
        raise MediaError(f"{name} has {count:,} bytes, and at most {most:,} are read. Make it smaller, or cut it.")
