"""What libraries say of a bundle that they cannot run, as the error that users meet."""

from collections.abc import Iterator
from contextlib import contextmanager

from gemtab.errors import BundleError, GemtabError

_MOST_WORDS = 300


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Turns whatever a library raises inside into BundleError: files are what the manifest says, so that what does not
    run is the bundle's. `what` begins the sentence."""
    try:
        yield
    except GemtabError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:_MOST_WORDS]
        raise BundleError(
            f"{what} failed ({type(error).__name__}: {words}). Export the checkpoint again; please report this if the "
            "bundle is one that this gemtab made."
        ) from error
