"""A recording and the samples that it holds."""

import io
from dataclasses import dataclass
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from tests.media.audio_files import Channels, speechlike

Mono = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A file, and what it holds: the mean of its channels."""

    name: str
    content: bytes
    samples: Mono
    rate: int


def audio(seed: int, rate: int, channels: int = 1, least: float = 0.4, most: float = 2.0) -> Channels:
    """[channels, samples] of speechlike audio with noise, of a length that no block size divides; below ±0.9."""
    rng = np.random.default_rng([seed, rate, channels])
    count = int(rng.integers(round(least * rate), round(most * rate))) | 1
    noise = rng.standard_normal((channels, count))
    return np.clip(speechlike(count, rate) * rng.uniform(0.4, 1, (channels, 1)) + 0.02 * noise, -0.9, 0.9).astype("f4")


def decoded(content: bytes, decoder: str | None = None) -> Mono:
    """Return ffmpeg's decoding of the whole first audio track, with the decoder of this name."""
    with av.open(io.BytesIO(content), "r") as container:
        track = container.streams.audio[0]
        codec = track.codec_context
        if decoder is not None:
            header = codec.extradata
            codec = cast(av.AudioCodecContext, av.CodecContext.create(decoder, "r"))
            codec.extradata = header
            codec.options = {"request_sample_fmt": "flt"}
        end = vorbis_end(content) if codec.name == "vorbis" else None
        if end is not None:
            codec.flags2 |= av.codec.context.Flags2.skip_manual
        planar = av.AudioResampler("fltp")
        frames = [frame for packet in container.demux(track) for frame in codec.decode(packet)]
        parts = [part.to_ndarray() for frame in frames for part in planar.resample(frame)]
    if end is not None:
        parts = parts[1:]  # the first packet of Vorbis holds no audio
    mean = np.concatenate(parts, axis=1).mean(axis=0, dtype=np.float64).astype(np.float32)
    return np.asarray(mean[:end])


def vorbis_end(content: bytes) -> int | None:
    """How many samples the end mark of Vorbis in Ogg counts. ffmpeg leaves out whole packets where that is one page."""
    if not content.startswith(b"OggS"):
        return None
    last = ogg_pages(content)[-1]
    return int.from_bytes(last[6:14], "little") if last[5] & 4 else None


def ogg_pages(content: bytes) -> list[bytes]:
    pages, at = [], 0
    while at < len(content):
        body = at + 27 + content[at + 26]
        end = body + sum(content[at + 27 : body])
        pages.append(content[at:end])
        at = end
    return pages
