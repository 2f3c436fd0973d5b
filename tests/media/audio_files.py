"""A corpus of audio files, made when tests run: seeded, in every format and rate that is read."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Channels = NDArray[np.float32]
"""[channels, samples], full scale ±1."""


@dataclass(frozen=True)
class AudioFile:
    """One file of the corpus.

    bits: of a lossless file, which decodes to its samples rounded to so many (0: exactly); None of others.
    """

    container: str
    codec: str
    rate: int
    channels: int = 1
    seconds: float = 1.0
    silent: bool = False
    bits: int | None = None

    def samples(self) -> Channels:
        """Return the samples: a rising tone and a little noise, different in each channel."""
        count = round(self.rate * self.seconds)
        if self.silent:
            return np.zeros((self.channels, count), np.float32)
        noise = np.random.default_rng(self.rate + self.channels).standard_normal((self.channels, count))
        return (speechlike(count, self.rate) * np.arange(1, 0, -0.3)[: self.channels, None] + 0.02 * noise).astype("f4")

    def content(self) -> bytes:
        return encode(self.samples(), self.rate, self.container, self.codec)


AUDIO_FILES = {
    "wav 8 bit": AudioFile("wav", "pcm_u8", 16_000, bits=8),
    "wav 16 bit": AudioFile("wav", "pcm_s16le", 16_000, bits=16),
    "wav 16 bit stereo 44.1": AudioFile("wav", "pcm_s16le", 44_100, 2, bits=16),
    "wav 24 bit 48": AudioFile("wav", "pcm_s24le", 48_000, bits=24),
    "wav 32 bit 11.025": AudioFile("wav", "pcm_s32le", 11_025, bits=32),
    "wav float 22.05": AudioFile("wav", "pcm_f32le", 22_050, bits=0),
    "wav float stereo 96": AudioFile("wav", "pcm_f32le", 96_000, 2, bits=0),
    "wav 8 kHz": AudioFile("wav", "pcm_s16le", 8_000, bits=16),
    "wav silence": AudioFile("wav", "pcm_s16le", 16_000, silent=True, bits=16),
    "wav 0.1 s": AudioFile("wav", "pcm_s16le", 16_000, seconds=0.1, bits=16),
    "wav 65 s": AudioFile("wav", "pcm_s16le", 16_000, seconds=65, bits=16),
    "flac stereo 48": AudioFile("flac", "flac", 48_000, 2, bits=16),
    "flac 8 kHz": AudioFile("flac", "flac", 8_000, bits=16),
    "mp3 44.1": AudioFile("mp3", "libmp3lame", 44_100),
    "mp3 stereo 48": AudioFile("mp3", "libmp3lame", 48_000, 2),
    "mp3 16 kHz": AudioFile("mp3", "libmp3lame", 16_000),
    "ogg opus": AudioFile("ogg", "libopus", 48_000),
    "ogg opus stereo": AudioFile("ogg", "libopus", 48_000, 2),
    "ogg vorbis stereo": AudioFile("ogg", "vorbis", 44_100, 2),
    "webm opus": AudioFile("webm", "libopus", 48_000),
    "mp4 opus": AudioFile("mp4", "libopus", 48_000),
    "mp4 aac 44.1": AudioFile("mp4", "aac", 44_100),
    "mp4 flac 44.1": AudioFile("mp4", "flac", 44_100, bits=16),
}


def speechlike(count: int, rate: int) -> NDArray[np.float64]:
    """A tone that rises from 150 to 3,000 Hz and swells four times a second; the same audio at every rate."""
    t = np.arange(count) / rate
    swell = 0.3 + 0.2 * np.sin(2 * np.pi * 4 * t)
    return np.asarray(swell * np.sin(2 * np.pi * (150 * t + 1425 * t**2 / max(1, count / rate))))


def encode(
    samples: Channels,
    rate: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    path: Path | None = None,
) -> bytes:
    """The bytes of a file; `options` are the encoder's, `muxing` the container's. Made in memory, or at `path`."""
    file = io.BytesIO()
    with av.open(path or file, "w", format=container, options=muxing or {}) as output:
        track = output.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(track, av.AudioStream)
        track.layout = "mono" if len(samples) == 1 else "stereo"
        if codec == "flac":
            track.format = "s16"
        if codec == "vorbis":  # ffmpeg's own encoder, which it calls experimental, and only for stereo
            track.options = {"strict": "experimental"}
        for frame in _frames(samples, rate, track):
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return path.read_bytes() if path else file.getvalue()


def grey_video(audio: Channels | None) -> bytes:
    """An MP4 of half a second of grey, with an audio track at 48 kHz or without."""
    return film(audio, 48_000, "mp4", "libopus", "mpeg4", 5)


def film(audio: Channels | None, rate: int, container: str, codec: str, video_codec: str, count: int) -> bytes:
    """A video of `count` grey frames, ten a second, encoded by `video_codec`, with an audio track or without."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(video_codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 32
        track = None
        if audio is not None:
            track = output.add_stream(codec, rate=rate, layout="mono")
        for _ in range(count):
            output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
        if audio is not None and isinstance(track, av.AudioStream):
            for frame in _frames(audio, rate, track):
                output.mux(track.encode(frame))
            output.mux(track.encode(None))
    return file.getvalue()


def _frames(samples: Channels, rate: int, track: av.AudioStream) -> Iterator[av.AudioFrame]:
    """`samples` in frames of the size and format that the encoder takes."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", track.layout.name)
    frame.sample_rate = rate
    frame.pts = 0
    converter = av.AudioResampler(track.format, track.layout, rate, track.codec_context.frame_size or None)
    yield from converter.resample(frame)
    yield from converter.resample(None)
