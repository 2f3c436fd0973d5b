"""Split an audio file into recordings that a decoder reads to their end: true sizes, and no bytes that are not audio.

Sizes and lengths that a header declares are hints; the bytes that exist are read. Twin:
webruntime/src/input/audio/file.ts.
"""

from dataclasses import dataclass

from gemtab.media.flac import flac_end
from gemtab.media.mpeg_audio import end_of_tags, mpeg_frames
from gemtab.media.ogg import ogg_links
from gemtab.media.wave_file import clean_wave, is_wave


@dataclass(frozen=True)
class Recording:
    """One recording of a file.

    format: ffmpeg's name of the format; None lets ffmpeg detect it.
    samples: number of samples, where known (Vorbis in Ogg). ffmpeg returns too few or too many where all audio is on
    one
        page.
    """

    content: bytes
    format: str | None = None
    samples: int | None = None


def recordings_in(content: bytes) -> list[Recording]:
    """Return the recordings in `content`, one after the other. Only chained Ogg has more than one."""
    start = end_of_tags(content)
    if is_wave(content[start : start + 12]):
        return [Recording(clean_wave(content[start:]), "wav")]
    if content[start : start + 4] == b"fLaC":
        return [Recording(content[start : flac_end(content)], "flac")]
    if content[start : start + 4] == b"OggS":
        return [Recording(link.content, "ogg", link.samples) for link in ogg_links(content[start:])]
    return [_mpeg_part(content, start) or Recording(content)]


def searched_recording(content: bytes) -> Recording:
    """Return the frames of content that ffmpeg detects as MP3 or bare AAC, though it does not begin with a frame."""
    return _mpeg_part(content, end_of_tags(content), searched=True) or Recording(content, "mp3")


def _mpeg_part(content: bytes, start: int, searched: bool = False) -> Recording | None:
    found = mpeg_frames(content, start, searched)
    return Recording(found[1], found[0]) if found else None
