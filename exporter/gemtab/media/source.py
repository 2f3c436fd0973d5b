"""Files of media, and the libraries that read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gemtab.errors import MediaError, UsageError
from gemtab.regular import check_regular, read_regular


@contextmanager
def media_extra() -> Iterator[None]:
    """Wrap imports of Pillow and PyAV: raise UsageError that says how to install them where they are missing."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"Reading images, audio and video needs {error.name}, which is not installed with gemtab's core. "
            "Install it with: pip install 'gemtab[media]'"
        ) from error


def named_content(source: Path | bytes, what: str, most: int) -> tuple[str, bytes]:
    """Return a name for messages (`what` for bytes) and the content.

    Raises MediaError where the file cannot be read, is empty, or has more than `most` bytes.
    """
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
    """Raise MediaError for a file that is empty or has more than `most` bytes."""
    if not count:
        raise MediaError(f"{name} is empty: it has 0 bytes. Choose another file.")
    if count > most:
        raise MediaError(f"{name} has {count:,} bytes; the limit is {most:,}. Make it smaller, or cut it.")
