"""Cuts a prompt with images into chunks, and finds the media of a chunk."""

from collections.abc import Iterator, Sequence

import numpy as np

from gemtab.backends.media import Media
from gemtab.errors import ContextError


def chunks(start: int, stop: int, max_tokens: int, whole: Sequence[Media]) -> Iterator[tuple[int, int]]:
    """Yield chunks (start, stop) of at most `max_tokens` positions start … stop - 1. None divides media in `whole`.

    Raises ContextError if one of `whole` has more than `max_tokens` tokens.
    """
    while start < stop:
        end = min(start + max_tokens, stop)
        cut = [one for one in whole if one.position < end < one.end]
        if cut:
            end = cut[0].position
        if end <= start:
            raise ContextError(
                f"An image takes {cut[0].tokens} tokens, which must be processed at once; this bundle processes "
                f"{max_tokens} at most. Choose less detail."
            )
        yield start, end
        start = end


def shares(start: int, stop: int, media: Sequence[Media]) -> Iterator[tuple[Media, int, int]]:
    """Yield (media, begin, end) for all media with tokens at positions start … stop - 1: those at begin … end - 1."""
    for one in media:
        begin, end = max(start, one.position), min(stop, one.end)
        if begin < end:
            yield one, begin, end


def last_visible(start: int, stop: int, media: Sequence[Media]) -> np.ndarray:
    """Return the last position that each token at start … stop - 1 sees on sliding layers, [stop - start] u32: the last
    position of its image, or the token's own."""
    visible = np.arange(start, stop, dtype=np.uint32)
    for one, begin, end in shares(start, stop, media):
        if one.bidirectional:
            visible[begin - start : end - start] = one.end - 1
    return visible
