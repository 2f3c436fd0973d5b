"""How a prompt with images is cut into chunks, and what falls into a chunk."""

from collections.abc import Iterator, Sequence

import numpy as np

from gemtab.backends.media import Media
from gemtab.errors import ContextError


def chunks(start: int, stop: int, most: int, whole: Sequence[Media]) -> Iterator[tuple[int, int]]:
    """Positions start … stop - 1 in chunks of at most `most`, none of which divides one of `whole`.

    Raises ContextError where one of `whole` is longer than a chunk.
    """
    while start < stop:
        end = min(start + most, stop)
        cut = [one for one in whole if one.position < end < one.end]
        if cut:
            end = cut[0].position
        if end <= start:
            raise ContextError(
                f"A picture takes {cut[0].tokens} tokens, which must be processed at once; this bundle processes "
                f"{most} at most. Choose less detail."
            )
        yield start, end
        start = end


def shares(start: int, stop: int, media: Sequence[Media]) -> Iterator[tuple[Media, int, int]]:
    """The media that have tokens at positions start … stop - 1, each with the first such position and with the position
    after the last one."""
    for one in media:
        begin, end = max(start, one.position), min(stop, one.end)
        if begin < end:
            yield one, begin, end


def last_visible(start: int, stop: int, media: Sequence[Media]) -> np.ndarray:
    """The last position that each token at start … stop - 1 sees on sliding layers, [stop - start] u32. This is the
    token's own position, or the last position of the image that the token is of."""
    visible = np.arange(start, stop, dtype=np.uint32)
    for one, begin, end in shares(start, stop, media):
        if one.picture:
            visible[begin - start : end - start] = one.end - 1
    return visible
