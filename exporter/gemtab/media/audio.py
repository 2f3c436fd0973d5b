"""Audio: from a file to samples, and from samples to the model's inputs. Importing this module needs the extra `media`.

Loaded samples keep the rate of their file. `gemtab.media.resample` converts them to the model's rate, `segments` cuts
them, and `audio_inputs` makes the inputs of each segment.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemtab.errors import MediaError, UsageError
from gemtab.media.audio_file import Recording, recordings_in, searched_recording
from gemtab.media.audio_rules import AudioRules
from gemtab.media.audio_track import AudioTrack
from gemtab.media.limits import HIGHEST_RATE, LOWEST_RATE, MAX_FILE_BYTES, MAX_RECORDINGS, MAX_SAMPLES
from gemtab.media.mel import MelRules, Samples, log_mel
from gemtab.media.rules import LongAudio
from gemtab.media.source import media_extra, named_content
from gemtab.media.whole_file import is_whole_file

with media_extra():
    import av

FULL_SCALE = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "flt": 1, "dbl": 1}
"""The value that becomes 1, by ffmpeg's name of the sample format."""


@dataclass(frozen=True)
class AudioInputs:
    """The model's inputs for one segment of audio.

    features: [frames, bins] f32, four frames for a soft token; [soft_tokens, samples] f32 for models without an audio
    tower.
    soft_tokens: number of soft tokens of the segment.

    Frames are exactly those that transformers does not mask. transformers pads the frames, zeroes the padding, and
    zeroes the padding again after the first convolution. The towers of gemtab zero at the edge themselves: callers pass
    frames without padding.
    """

    features: NDArray[np.float32]
    soft_tokens: int


def load_audio(source: Path | bytes) -> tuple[Samples, int]:
    """Return the first audio track of a file or its bytes as mono samples (full scale ±1), and its rate in Hz.

    Channels are averaged with equal weights, as librosa does for transformers, so a mix cannot clip. Raises MediaError
    where the file cannot be read, is empty, or exceeds a limit of `gemtab.media.limits`.
    """
    name, content = named_content(source, "The audio", MAX_FILE_BYTES)
    parts: list[Samples] = []
    rates: list[int] = []
    recordings = recordings_in(content)
    if len(recordings) > MAX_RECORDINGS:
        raise MediaError(f"{name} has {len(recordings):,} recordings; the limit is {MAX_RECORDINGS:,}. Cut it first.")
    for part in recordings:
        samples, rate = _load_part(part, name, MAX_SAMPLES - sum(map(len, parts)))
        parts.append(samples)
        rates.append(rate)
    return np.concatenate(parts or [np.zeros(0, np.float32)]), _only_rate(rates, name)


def segments(samples: Samples, rules: AudioRules, long: LongAudio = "segments") -> list[Samples]:
    """Cut `samples`, at the rate of `rules`, into segments of `rules.longest` samples; the last may be shorter.

    Where the last segment would be shorter than `rules.least`, the segment before it is shortened instead. Raises
    MediaError where `long` is `refuse` and `samples` do not fit one segment.
    """
    if long == "refuse" and len(samples) > rules.longest:
        raise MediaError(
            f"The audio lasts {len(samples) / rules.rate:.1f} seconds; the model takes {rules.longest / rules.rate:g} "
            "at once. Cut the file, or choose `segments` for long audio."
        )
    cuts = list(range(rules.longest, len(samples), rules.longest))
    if cuts:
        cuts[-1] = min(cuts[-1], len(samples) - rules.least)
    return np.split(samples, cuts)


def audio_inputs(samples: Samples, rules: AudioRules) -> AudioInputs:
    """Return the inputs of one segment, at the rate of `rules`.

    Raises MediaError where the segment is too short or has values that are not finite, UsageError where it is too long.
    """
    if len(samples) > rules.longest:
        raise UsageError(f"A segment has at most {rules.longest} samples, not {len(samples)}: use `segments` first.")
    if len(samples) < rules.least:
        raise MediaError(
            f"The audio is too short: {len(samples) * 1000 / rules.rate:.1f} ms, and at least "
            f"{rules.least * 1000 / rules.rate:.1f} ms are needed."
        )
    finite = np.isfinite(samples)
    if not finite.all():
        raise MediaError(
            f"The audio is damaged: after {int(finite.argmin()) / rules.rate:.3f} seconds it has values that are not "
            "finite numbers. Save the file again."
        )
    features = log_mel(samples, rules.frames) if isinstance(rules.frames, MelRules) else _raw(samples, rules.frames)
    return AudioInputs(features, rules.soft_tokens(len(samples)))


def _unreadable(name: str, reason: str) -> MediaError:
    """Return the error for a file without readable audio."""
    return MediaError(
        f"{name} cannot be read as audio ({reason}): the file is damaged, incomplete, or of another kind than WAV, "
        "MP3, OGG, FLAC, MP4 and WebM. Save or download the file again."
    )


def _load_part(part: Recording, name: str, most: int) -> tuple[Samples, int]:
    """Return samples and rate of one recording. Raises MediaError beyond `most` samples."""
    if part.format == "wav":
        _check_wave(part.content, name, most)
    file = io.BytesIO(part.content)
    try:
        # Old programs write tags that are not UTF-8. Tags are not read.
        with av.open(file, "r", format=part.format, metadata_errors="replace") as container:
            if part.format is None and container.format.name in ("mp3", "aac"):
                return _load_part(searched_recording(part.content), name, most)
            if not container.streams.audio:
                raise MediaError(f"{name} has no audio track.")
            return _decode(container, part.samples, name, most)
    except av.FFmpegError as error:
        if not is_whole_file(file):
            raise MediaError(f"{name} is incomplete: its end is missing. Save or download the file again.") from error
        raise _unreadable(name, error.strerror or type(error).__name__) from error


def _decode(container: av.container.InputContainer, known: int | None, name: str, most: int) -> tuple[Samples, int]:
    parts: list[Samples] = []
    rates: list[int] = []
    track, total = AudioTrack(container, known), 0
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
        raise _unreadable(name, "the audio track is empty")
    rate, *others = dict.fromkeys(rates)
    if others:
        raise MediaError(f"{name} has parts with {rate} and with {others[0]} samples a second. Save it at one rate.")
    return rate


def _check_wave(content: bytes, name: str, most: int) -> None:
    """Raise MediaError, before decoding, where the rate or length of a cleaned WAVE file is beyond the limits."""
    if content[12:16] != b"fmt ":
        return
    rate, block = int.from_bytes(content[24:28], "little"), int.from_bytes(content[32:34], "little")
    _check_rate(rate, name)
    _check_samples(len(content) // max(block, 1), rate, name, most)


def _check_rate(rate: int, name: str) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise MediaError(f"{name} has {rate} samples a second; the range is {LOWEST_RATE} to {HIGHEST_RATE}.")


def _check_samples(count: int, rate: int, name: str, most: int) -> None:
    if count > most:
        raise MediaError(f"{name} is longer than {MAX_SAMPLES / rate / 60:.0f} minutes. Cut it first.")


def _mono(frame: av.AudioFrame) -> Samples:
    """Return the mean of a decoded frame's channels."""
    if frame.format.packed.name == "s64":  # to_ndarray does not take s64
        [frame] = av.AudioResampler("dbl", frame.layout, frame.sample_rate).resample(frame)
    values = frame.to_ndarray()
    if frame.format.is_packed:
        values = values.reshape(-1, frame.layout.nb_channels).T
    kind = frame.format.packed.name
    middle = FULL_SCALE["u8"] if kind == "u8" else 0
    mean = (values.mean(axis=0, dtype=np.float64) - middle) / FULL_SCALE[kind]
    return np.asarray(mean, np.float32)


def _raw(samples: Samples, size: int) -> NDArray[np.float32]:
    """Return [tokens, size] f32; silence fills the last row."""
    return np.pad(samples, (0, -len(samples) % size)).reshape(-1, size).astype(np.float32)
