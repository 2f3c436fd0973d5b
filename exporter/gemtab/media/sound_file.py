"""A sound file in parts that a decoder reads to their end: with true sizes, and without what is no sound.

Sizes and lengths that a header declares are hints: what is there is read. webruntime/src/input/audio/file.ts does the
same.
"""

from dataclasses import dataclass

from gemtab.media.flac import flac_end
from gemtab.media.mpeg_audio import end_of_tags, mpeg_frames
from gemtab.media.ogg import ogg_links
from gemtab.media.wave_file import clean_wave, is_wave


@dataclass(frozen=True)
class SoundPart:
    """One recording of a file.

    format: ffmpeg's name of its kind, None where ffmpeg has to find that out.
    samples: how many it has, of Vorbis in Ogg, where that is known. ffmpeg leaves out too much or too little where all
        sound is on one page.
    """

    content: bytes
    format: str | None = None
    samples: int | None = None


def sound_parts(content: bytes) -> list[SoundPart]:
    """The recordings in `content` that follow one another; one, but for chained Ogg."""
    start = end_of_tags(content)
    if is_wave(content[start : start + 12]):
        return [SoundPart(clean_wave(content[start:]), "wav")]
    if content[start : start + 4] == b"fLaC":
        return [SoundPart(content[start : flac_end(content)], "flac")]
    if content[start : start + 4] == b"OggS":
        return [SoundPart(link.content, "ogg", link.samples) for link in ogg_links(content[start:])]
    return [_mpeg_part(content, start) or SoundPart(content)]


def searched_part(content: bytes) -> SoundPart:
    """The frames of what ffmpeg takes for an MP3 or bare AAC, though it does not begin with a frame."""
    return _mpeg_part(content, end_of_tags(content), searched=True) or SoundPart(content, "mp3")


def _mpeg_part(content: bytes, start: int, searched: bool = False) -> SoundPart | None:
    found = mpeg_frames(content, start, searched)
    return SoundPart(found[1], found[0]) if found else None
