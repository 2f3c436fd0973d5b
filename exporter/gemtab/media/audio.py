"""Sounds: from a file to samples, and from samples to what a model hears. Importing this needs the extra `media`.

Samples that are loaded have a rate of their own: `gemtab.media.resample` brings them to the model's, `segments` cuts
them, and `audio_inputs` makes the inputs of each segment.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gemtab.errors import MediaError, UsageError
from gemtab.media.audio_rules import AudioRules
from gemtab.media.mel import MelRules, Samples, log_mel
from gemtab.media.rules import LongSound
from gemtab.media.sound_file import SoundPart, searched_part, sound_parts
from gemtab.media.source import media_extra, named_content
from gemtab.media.whole_clip import is_whole_clip

with media_extra():
    import av

LOWEST_RATE = 8_000
HIGHEST_RATE = 192_000
"""Rates in Hz of sounds that are read. webruntime/src/input/audio/decode.ts says the same, and the two below."""

MOST_SAMPLES = 1 << 27
"""A sound with more is refused while it is decoded: 512 MiB, 46 minutes at 48 kHz."""

DECODERS = {"opus": "libopus", "mp2": "mp2float"}
"""ffmpeg's decoders that are used in place of its first choice: its own of Opus is two samples late in speech, and
differs; its first of MP2 rounds to 16 bits."""

COARSE = 0.002
"""Seconds. The unit of an edit list is shorter: programs count in thousandths of a second, or 600 to a second.
webruntime/src/input/audio/decode.ts says the same."""

FULL_SCALE = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "flt": 1, "dbl": 1}
"""The value that becomes 1, by ffmpeg's name of the sample format."""


@dataclass(frozen=True)
class AudioInputs:
    """What the part of a model that hears takes for one segment.

    features: [frames, bins] f32, four frames a soft token, or [soft_tokens, samples] for models without a tower.

    Frames are exactly those that transformers does not mask. It pads and zeroes more of them, and zeroes again what
    the first convolution makes of them, so that the tower hears nothing behind the last frame. The towers here do the
    same by themselves: the frames must come without padding, or with their true number.
    """

    features: NDArray[np.float32]
    soft_tokens: int


def load_audio(source: Path | bytes) -> tuple[Samples, int]:
    """The first sound track of a file or its bytes, mono, full scale ±1, and its samples per second.

    Channels are averaged with equal weights, as librosa does for transformers; a mix cannot clip. Raises MediaError
    for what cannot be read.
    """
    name, content = named_content(source, "The sound")
    parts: list[Samples] = []
    rates: list[int] = []
    for part in sound_parts(content):
        samples, rate = _load_part(part, name, MOST_SAMPLES - sum(map(len, parts)))
        parts.append(samples)
        rates.append(rate)
    return np.concatenate(parts or [np.zeros(0, np.float32)]), _only_rate(rates, name)


def segments(samples: Samples, rules: AudioRules, long: LongSound = "segments") -> list[Samples]:
    """`samples`, at the rate of `rules`, in parts that the model can hear: each is `rules.longest`, but for the last.

    If the last would be too short to be heard, the one before it gives it what it needs. Raises MediaError where
    `long` is `refuse` and one segment is not enough.
    """
    if long == "refuse" and len(samples) > rules.longest:
        raise MediaError(
            f"The sound lasts {len(samples) / rules.rate:.1f} seconds; the model hears {rules.longest / rules.rate:g} "
            "at once. Cut it, or let it be heard in parts."
        )
    cuts = list(range(rules.longest, len(samples), rules.longest))
    if cuts:
        cuts[-1] = min(cuts[-1], len(samples) - rules.least)
    return np.split(samples, cuts)


def audio_inputs(samples: Samples, rules: AudioRules) -> AudioInputs:
    """The inputs of one segment at the rate of `rules`. Raises MediaError where it is too short, or no number."""
    if len(samples) > rules.longest:
        raise UsageError(f"A segment has at most {rules.longest} samples, not {len(samples)}: use `segments` first.")
    if len(samples) < rules.least:
        raise MediaError(
            f"The sound is too short: {len(samples) * 1000 / rules.rate:.1f} ms, and at least "
            f"{rules.least * 1000 / rules.rate:.1f} ms are needed."
        )
    finite = np.isfinite(samples)
    if not finite.all():
        raise MediaError(
            f"The sound is damaged: after {int(finite.argmin()) / rules.rate:.3f} seconds there are values that are no "
            "numbers. Save it again."
        )
    features = log_mel(samples, rules.frames) if isinstance(rules.frames, MelRules) else _raw(samples, rules.frames)
    return AudioInputs(features, rules.soft_tokens(len(samples)))


def _unreadable(name: str, reason: str) -> MediaError:
    """What to say of a file that holds no sound that is known."""
    return MediaError(
        f"{name} cannot be read as sound ({reason}): it is damaged, incomplete, or of another kind than WAV, MP3, OGG, "
        "FLAC, MP4 and WebM. Try to save or download it again."
    )


def _load_part(part: SoundPart, name: str, most: int) -> tuple[Samples, int]:
    """Samples and rate of one recording, of at most so many samples."""
    file = io.BytesIO(part.content)
    try:
        with av.open(file, "r", format=part.format) as container:
            if part.format is None and container.format.name in ("mp3", "aac"):
                return _load_part(searched_part(part.content), name, most)
            if not container.streams.audio:
                raise MediaError(f"{name} has no sound track.")
            return _decode(container, part.samples, name, most)
    except av.FFmpegError as error:
        if not is_whole_clip(file):
            raise MediaError(f"{name} is incomplete: its end is missing. Try to save or download it again.") from error
        raise _unreadable(name, error.strerror or type(error).__name__) from error


def _decode(container: av.container.InputContainer, known: int | None, name: str, most: int) -> tuple[Samples, int]:
    parts: list[Samples] = []
    rates: list[int] = []
    track, total = _Track(container, known), 0
    for frame in track.frames():
        parts.append(_mono(frame))
        rates.append(frame.sample_rate)
        total += frame.samples
        if total > most:
            raise MediaError(
                f"{name} is longer than {MOST_SAMPLES / frame.sample_rate / 60:.0f} minutes. Cut it first."
            )
    rate = _only_rate(rates, name)
    return track.trim(np.concatenate(parts), rate), rate


class _Track:
    """The first sound track of a file, decoded as browsers do."""

    def __init__(self, container: av.container.InputContainer, known: int | None) -> None:
        self._container = container
        self._known = known
        self._track = container.streams.audio[0]
        self._is_mp4 = "mp4" in container.format.name
        self._start, self._end = math.inf, -math.inf
        """In seconds, where the packets begin and end."""
        self._packets = 0
        self._sizes: list[int] = []
        """How many packets there are, and samples in each frame that was made of them."""

    def frames(self) -> Iterator[av.AudioFrame]:
        """What the decoder makes of the packets. One that is only partly there is left out."""
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

    def trim(self, samples: Samples, rate: int) -> Samples:
        """`samples` without what an encoder has put before and behind the sound, where ffmpeg leaves that.

        In MP4, ffmpeg leaves what is behind. Before Opus there, it leaves out as many samples at 48 kHz as the track
        has units of time, which may be other ones, and nothing without an edit list: the decoder was told to leave
        that to us.
        """
        if self._known is not None:
            # The first packet of Vorbis holds no sound. FFmpeg makes a frame of it that is to be left out, or none.
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
        """How long the track is shown. An edit list says that in coarse units, where it does not cut the end away."""
        there = self._end - max(0.0, self._start)
        track = self._track
        if track.duration is None or track.time_base is None:
            return there
        shown = float(track.duration * track.time_base)
        return shown if shown < there - COARSE else there

    def _decoder(self) -> av.AudioCodecContext:
        decoder = self._track.codec_context
        name = DECODERS.get(self._codec)
        if name is not None:
            header = decoder.extradata
            decoder = cast(av.AudioCodecContext, av.CodecContext.create(name, "r"))
            if name == "libopus":
                decoder.extradata = header
                decoder.options = {"request_sample_fmt": "flt"}  # not rounded to 16 bits
        if self._known is not None or (self._is_mp4 and self._codec == "opus"):
            decoder.flags2 |= av.codec.context.Flags2.skip_manual  # see trim
        return decoder

    @property
    def _codec(self) -> str:
        return self._track.codec_context.codec.name


def _only_rate(rates: list[int], name: str) -> int:
    if not rates:
        raise _unreadable(name, "no sound is in it")
    rate, *others = dict.fromkeys(rates)
    if others:
        raise MediaError(f"{name} has now {rate}, now {others[0]} samples a second. Save it at one rate.")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise MediaError(f"{name} has {rate} samples a second; from {LOWEST_RATE} to {HIGHEST_RATE} are read.")
    return rate


def _mono(frame: av.AudioFrame) -> Samples:
    """The mean of the channels of a decoded frame."""
    if frame.format.packed.name == "s64":  # which numpy is not given
        [frame] = av.AudioResampler("dbl", frame.layout, frame.sample_rate).resample(frame)
    values = frame.to_ndarray()
    if frame.format.is_packed:
        values = values.reshape(-1, frame.layout.nb_channels).T
    kind = frame.format.packed.name
    middle = FULL_SCALE["u8"] if kind == "u8" else 0
    mean = (values.mean(axis=0, dtype=np.float64) - middle) / FULL_SCALE[kind]
    return np.asarray(mean, np.float32)


def _raw(samples: Samples, size: int) -> NDArray[np.float32]:
    """[tokens, size], the last row filled up with silence."""
    return np.pad(samples, (0, -len(samples) % size)).reshape(-1, size).astype(np.float32)
