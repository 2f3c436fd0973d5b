"""Turn errors of libraries that cannot run a bundle into errors for users."""

from collections.abc import Iterator
from contextlib import contextmanager

from gemtab.errors import BundleError, GemtabError

_MAX_WORDS = 300


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Turn any error of a library into BundleError: the files have been checked against the manifest, so the bundle
    itself is at fault. what: begins the sentence of the message."""
    try:
        yield
    except GemtabError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:_MAX_WORDS]
        raise BundleError(
            f"{what} failed ({type(error).__name__}: {words}). Export the checkpoint again. Please report this error "
            "if this gemtab made the bundle."
        ) from error
