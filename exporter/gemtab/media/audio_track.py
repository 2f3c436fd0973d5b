"""Decode an audio track as browsers do: with the same decoders, from the first sample of audio to the last.

Twin of the trimming: webruntime/src/input/audio/trim.ts.
"""

import math
from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gemtab.media.audio_rules import COARSE
from gemtab.media.source import media_extra

with media_extra():
    import av

DECODERS = {"opus": "libopus", "mp2": "mp2float"}
"""ffmpeg's decoders that replace its default. Its own Opus decoder is two samples late in speech and differs; its
default for MP2 rounds to 16 bits."""


class AudioTrack:
    """Decodes the first audio track of a file. known: its number of samples, where the file states that."""

    def __init__(self, container: av.container.InputContainer, known: int | None) -> None:
        self._container = container
        self._known = known
        self._track = container.streams.audio[0]
        self._is_mp4 = "mp4" in container.format.name
        self._start, self._end = math.inf, -math.inf
        """Seconds at which the packets begin and end."""
        self._packets = 0
        self._sizes: list[int] = []
        """Number of packets, and samples of each frame decoded from them."""

    def frames(self) -> Iterator[av.AudioFrame]:
        """Yield the decoded frames. Damaged packets are skipped."""
        decoder = self._decoder()
        for packet in self._container.demux(self._track):
            if packet.is_corrupt:
                continue
            self._packets += packet.size > 0
            if packet.pts is not None:
                self._start = min(self._start, float(packet.pts * packet.time_base))
                self._end = max(self._end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            for frame in decoder.decode(packet):
                self._sizes.append(frame.samples)
                yield frame

    def trim(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Return `samples` without the encoder's padding before and after the audio, where ffmpeg leaves padding.

        In MP4, ffmpeg leaves the padding at the end. For Opus in MP4, ffmpeg removes a wrong number of samples at the
        start: it takes units of the track's time for samples at 48 kHz, and removes none without an edit list. The
        decoder is therefore set to remove nothing.
        """
        if self._known is not None:
            # The first packet of Vorbis has no audio. FFmpeg makes one frame of it, which is dropped, or none.
            before = self._sizes[0] if len(self._sizes) == self._packets else 0
            return samples[before:][: self._known]
        if not self._is_mp4 or not math.isfinite(self._start):
            return samples
        if self._codec != "opus":
            return samples[: round(self._seconds() * rate)]
        zero = round(-self._start * rate)
        header = self._track.codec_context.extradata or b""
        before = max(int.from_bytes(header[10:12], "little"), zero)
        return samples[before : max(0, zero) + round(self._seconds() * rate)]

    def _seconds(self) -> float:
        """Return the track's duration. An edit list gives it in coarse units, and counts only where it cuts off the
        end."""
        there = self._end - max(0.0, self._start)
        track = self._track
        if track.duration is None or track.time_base is None:
            return there
        shown = float(track.duration * track.time_base)
        return shown if shown < there - COARSE else there

    def _decoder(self) -> av.AudioCodecContext:
        decoder = self._track.codec_context
        name = DECODERS.get(self._codec, "")
        if name in av.codecs_available:  # builds without libopus keep ffmpeg's own decoder
            header = decoder.extradata
            decoder = cast(av.AudioCodecContext, av.CodecContext.create(name, "r"))
            if name == "libopus":
                decoder.extradata = header
                decoder.options = {"request_sample_fmt": "flt"}  # without rounding to 16 bits
        if self._known is not None or (self._is_mp4 and self._codec == "opus"):
            decoder.flags2 |= av.codec.context.Flags2.skip_manual  # see trim
        return decoder

    @property
    def _codec(self) -> str:
        return self._track.codec_context.codec.name
