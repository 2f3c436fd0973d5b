"""Cut an Ogg file into its chained recordings. Each recording has its own headers.

Twin: webruntime/src/input/audio/ogg.ts.
"""

from dataclasses import dataclass

_CAPTURE = b"OggS"
_HEADER = 27
_BEGINS, _ENDS = 2, 4
"""Flags of a stream's first and last page."""


@dataclass(frozen=True)
class OggLink:
    """One recording. samples: number of samples, for Vorbis with an end mark; else None."""

    content: bytes
    samples: int | None


@dataclass(frozen=True)
class _Page:
    start: int
    end: int
    flags: int


def ogg_links(content: bytes) -> list[OggLink]:
    """Return the recordings in `content`, made of whole pages only.

    A recording ends where the next one begins or the file ends; an end mark is not needed. Bytes between pages and
    after the last page are dropped.
    """
    links: list[OggLink] = []
    pages: list[_Page] = []
    for page in _pages(content):
        # First pages of parallel streams are adjacent.
        if pages and page.flags & _BEGINS and not pages[-1].flags & _BEGINS:
            links.append(_link(content, pages))
            pages = []
        pages.append(page)
    return [*links, _link(content, pages)] if pages else []


def _pages(content: bytes) -> list[_Page]:
    pages: list[_Page] = []
    start = content.find(_CAPTURE)
    while start >= 0 and (end := _page_end(content, start)) <= len(content):
        pages.append(_Page(start, end, content[start + 5]))
        start = content.find(_CAPTURE, end)
    return pages


def _page_end(content: bytes, start: int) -> int:
    """Return the offset after the page at `start`; beyond `len(content)` where a part of the page is missing."""
    lengths = content[start + _HEADER :][: content[start + 26]] if start + _HEADER <= len(content) else b""
    missing = 0 if start + _HEADER <= len(content) and len(lengths) == content[start + 26] else len(content)
    return start + _HEADER + len(lengths) + sum(lengths) + missing


def _link(content: bytes, pages: list[_Page]) -> OggLink:
    alone = sum(page.flags & _BEGINS for page in pages) == _BEGINS
    vorbis = content.startswith(b"\1vorbis", pages[0].start + _HEADER + 1)
    last = pages[-1]
    position = int.from_bytes(content[last.start + 6 : last.start + 14], "little")
    samples = position if alone and vorbis and last.flags & _ENDS and position else None
    return OggLink(b"".join(content[page.start : page.end] for page in pages), samples)
