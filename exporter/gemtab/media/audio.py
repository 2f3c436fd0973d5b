"""Sounds: from a file to samples, and from samples to what a model hears. Importing this needs the extra `media`.

Samples that are loaded have a rate of their own: `gemtab.media.resample` brings them to the model's, `segments` cuts
them, and `audio_inputs` makes the inputs of each segment.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemtab.errors import MediaError, UsageError
from gemtab.media.audio_rules import AudioRules
from gemtab.media.limits import HIGHEST_RATE, LOWEST_RATE, MOST_FILE_BYTES, MOST_RECORDINGS, MOST_SAMPLES
from gemtab.media.mel import MelRules, Samples, log_mel
from gemtab.media.rules import LongAudio
from gemtab.media.sound_file import SoundPart, searched_part, sound_parts
from gemtab.media.sound_track import SoundTrack
from gemtab.media.source import media_extra, named_content
from gemtab.media.whole_clip import is_whole_clip

with media_extra():
    import av

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
    name, content = named_content(source, "The sound", MOST_FILE_BYTES)
    parts: list[Samples] = []
    rates: list[int] = []
    recordings = sound_parts(content)
    if len(recordings) > MOST_RECORDINGS:
        raise MediaError(
            f"{name} has {len(recordings):,} recordings; at most {MOST_RECORDINGS:,} are read. Cut it first."
        )
    for part in recordings:
        samples, rate = _load_part(part, name, MOST_SAMPLES - sum(map(len, parts)))
        parts.append(samples)
        rates.append(rate)
    return np.concatenate(parts or [np.zeros(0, np.float32)]), _only_rate(rates, name)


def segments(samples: Samples, rules: AudioRules, long: LongAudio = "segments") -> list[Samples]:
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
    if part.format == "wav":
        _check_wave(part.content, name, most)
    file = io.BytesIO(part.content)
    try:
        # Tags of old programs are no UTF-8, and nothing here reads them.
        with av.open(file, "r", format=part.format, metadata_errors="replace") as container:
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
    track, total = SoundTrack(container, known), 0
    for frame in track.frames():
        _check_rate(frame.sample_rate, name)
        total += frame.samples
        _check_samples(total, frame.sample_rate, name, most)
        parts.append(_mono(frame))
        rates.append(frame.sample_rate)
    rate = _only_rate(rates, name)
    return track.trim(np.concatenate(parts), rate), rate


def _only_rate(rates: list[int], name: str) -> int:
    if not rates:
        raise _unreadable(name, "no sound is in it")
    rate, *others = dict.fromkeys(rates)
    if others:
        raise MediaError(f"{name} has now {rate}, now {others[0]} samples a second. Save it at one rate.")
    return rate


def _check_wave(content: bytes, name: str, most: int) -> None:
    """Raises MediaError, before anything is decoded, for a rate or a length of a cleaned WAVE file."""
    if content[12:16] != b"fmt ":
        return
    rate, block = int.from_bytes(content[24:28], "little"), int.from_bytes(content[32:34], "little")
    _check_rate(rate, name)
    _check_samples(len(content) // max(block, 1), rate, name, most)


def _check_rate(rate: int, name: str) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise MediaError(f"{name} has {rate} samples a second; from {LOWEST_RATE} to {HIGHEST_RATE} are read.")


def _check_samples(count: int, rate: int, name: str, most: int) -> None:
    if count > most:
        raise MediaError(f"{name} is longer than {MOST_SAMPLES / rate / 60:.0f} minutes. Cut it first.")


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
