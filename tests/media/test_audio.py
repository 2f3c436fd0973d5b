"""Sounds from files to what a model hears; transformers' feature extractors are the oracle."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import Gemma4AudioFeatureExtractor, Gemma4Processor, Gemma4UnifiedAudioFeatureExtractor

from gemtab.errors import CheckpointError, MediaError, UsageError
from gemtab.media.audio import MOST_SAMPLES, audio_inputs, load_audio, segments
from gemtab.media.audio_rules import AudioRules, audio_rules
from gemtab.resources import REPOSITORY
from tests.media.sounds import SOUNDS, Sound, clip, encode, speechlike

TINY = REPOSITORY / "models" / "tiny"
PROCESSOR: dict[str, Any] = json.loads((TINY / "processor_config.json").read_text())
RULES = audio_rules(PROCESSOR)
UNIFIED = audio_rules({"feature_extractor": Gemma4UnifiedAudioFeatureExtractor().to_dict()})
LONGEST = 480_000


@pytest.fixture(scope="module")
def extractor() -> Gemma4AudioFeatureExtractor:
    return Gemma4AudioFeatureExtractor(**PROCESSOR["feature_extractor"])


def noise(count: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.3 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


SIGNALS = {
    "noise": noise(48_000),
    "speechlike": speechlike(48_000, 16_000).astype(np.float32),
    "full scale": np.sin(np.arange(48_000) * (2 * math.pi * 440 / 16_000)).astype(np.float32),
    "clipped": np.sign(np.sin(np.arange(48_000) * (2 * math.pi * 100 / 16_000))).astype(np.float32),
    "silence": np.zeros(16_000, np.float32),
    "constant": np.ones(16_000, np.float32),
    "impulse": np.eye(1, 16_000, 777, dtype=np.float32)[0],
    "loud": 30 * noise(16_000),
    "quiet": 1e-6 * noise(16_000),
    "shortest": noise(161),
    "longest": noise(LONGEST),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_spectrograms_are_those_of_transformers(name: str, extractor: Gemma4AudioFeatureExtractor) -> None:
    expected = extractor([SIGNALS[name]], return_tensors="np")
    [features], [mask] = expected["input_features"], expected["input_features_mask"]
    found = audio_inputs(SIGNALS[name], RULES).features
    assert found.dtype == np.float32
    assert np.array_equal(mask, np.arange(len(mask)) < len(found)), "frames that count, and no others"
    assert np.abs(found - features[mask]).max() < 1e-5


def lengths() -> list[int]:
    return [*range(1, 2001), *map(int, np.random.default_rng(5).integers(2001, LONGEST, 40)), LONGEST]


def test_tokens_are_as_many_as_the_processor_writes(extractor: Gemma4AudioFeatureExtractor) -> None:
    # Not a whole processor: that needs torchvision, for pictures.
    processor = SimpleNamespace(boa_token="(", audio_token="a", eoa_token=")")
    for samples in lengths():
        heard = extractor([np.zeros(samples, np.float32)], return_tensors="np")
        written = Gemma4Processor.replace_audio_token(processor, heard, 0).count("a")
        assert RULES.soft_tokens(samples) == written, samples
        assert (samples >= RULES.least) == (written > 0), samples


def test_without_a_tower_each_token_has_so_many_samples() -> None:
    extractor = Gemma4UnifiedAudioFeatureExtractor()
    for samples in [1, 639, 640, 641, 1280, 16_000, 479_999, LONGEST]:
        expected = extractor([noise(samples)], return_tensors="np")
        found = audio_inputs(noise(samples), UNIFIED)
        assert np.array_equal(found.features, expected["input_features"][0])
        assert found.soft_tokens == expected["input_features_mask"].sum() == math.ceil(samples / 640)


@pytest.mark.parametrize("rules", [RULES, UNIFIED], ids=["tower", "unified"])
@pytest.mark.parametrize("samples", [1, LONGEST - 1, LONGEST, LONGEST + 1, LONGEST + 160, LONGEST + 161, 1_040_000])
def test_segments_hold_every_sample_once(rules: AudioRules, samples: int) -> None:
    sound = noise(samples)
    cut = segments(sound, rules)
    assert np.array_equal(np.concatenate(cut), sound)
    assert len(cut) == math.ceil(samples / LONGEST)
    assert all(len(segment) <= LONGEST for segment in cut)
    if samples >= rules.least:
        assert all(audio_inputs(segment, rules).soft_tokens > 0 for segment in cut)


def test_a_long_sound_is_refused_where_the_caller_says_so() -> None:
    assert len(segments(noise(LONGEST), RULES, "refuse")) == 1
    with pytest.raises(MediaError, match=r"lasts 30\.1 seconds; the model hears 30 at once"):
        segments(noise(LONGEST + 1600), RULES, "refuse")
    with pytest.raises(UsageError, match="use `segments` first"):
        audio_inputs(noise(LONGEST + 1), RULES)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rules", [RULES, UNIFIED], ids=["tower", "unified"])
def test_values_that_are_no_numbers(rules: AudioRules, value: float) -> None:
    sound = noise(16_000)
    sound[8_000] = value
    with pytest.raises(MediaError, match=r"damaged: after 0\.500 seconds"):
        audio_inputs(sound, rules)


def test_a_sound_without_a_single_frame() -> None:
    assert audio_inputs(noise(161), RULES).soft_tokens == 1
    with pytest.raises(MediaError, match=r"too short: 10\.0 ms, and at least 10\.1 ms are needed"):
        audio_inputs(noise(160), RULES)
    with pytest.raises(MediaError, match=r"too short: 0\.0 ms"):
        audio_inputs(noise(0), UNIFIED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dither", 0.1),
        ("fft_overdrive", True),
        ("input_scale_factor", 2.0),
        ("per_bin_mean", [0.0] * 128),
        ("per_bin_stddev", [1.0] * 128),
        ("preemphasis", 0.97),
        ("padding_side", "left"),
        ("fft_length", 500),
        ("fft_length", 256),
        ("chunk_length", 30),
    ],
)
def test_settings_that_are_not_known_are_refused_by_name(name: str, value: object) -> None:
    changed = {**PROCESSOR, "feature_extractor": {**PROCESSOR["feature_extractor"], name: value}}
    with pytest.raises(CheckpointError, match=name):
        audio_rules(changed)


def test_rules_of_other_sizes() -> None:
    with pytest.raises(CheckpointError, match="no feature_extractor"):
        audio_rules({})
    assert audio_rules({"feature_extractor": {}}) == RULES, "transformers' defaults"
    assert audio_rules({**PROCESSOR, "audio_seq_length": 100}).longest == 64_000
    assert (RULES.rate, RULES.longest, UNIFIED.frames) == (16_000, LONGEST, 640)


@pytest.mark.parametrize("name", SOUNDS)
def test_files_are_decoded(name: str) -> None:
    sound = SOUNDS[name]
    found, rate = load_audio(sound.content())
    expected = sound.samples().mean(axis=0)
    assert rate == sound.rate and found.dtype == np.float32
    if sound.bits is not None:
        assert len(found) == len(expected)
        assert np.abs(found - expected).max() <= (2.0**-sound.bits if sound.bits else 0) + 1.2e-7
    else:
        # Codecs change the wave, and some round up to their frames; it must not be moved by a single sample.
        assert 0 <= len(found) - len(expected) < 0.02 * rate
        assert lag(found, expected) == 0


def lag(found: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    """By how many samples `found` comes later than `expected`."""
    length = 1 << (len(found) + len(expected)).bit_length()
    spectrum = np.fft.rfft(found, length) * np.conj(np.fft.rfft(expected, length))
    at = int(np.fft.irfft(spectrum, length).argmax())
    return at if at < length // 2 else at - length


def test_channels_are_averaged() -> None:
    left, right = noise(4800, 1), noise(4800, 2)
    found, _ = load_audio(encode(np.stack([left, right]), 48_000, "wav", "pcm_f32le"))
    assert np.abs(found - (left + right) / 2).max() < 1e-7
    found, _ = load_audio(encode(np.stack([left, -left]), 48_000, "wav", "pcm_f32le"))
    assert not found.any()


@pytest.mark.parametrize(
    "name", ["wav 16 bit", "mp3 44.1", "flac stereo 48", "ogg opus", "ogg vorbis stereo", "mp4 opus"]
)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.97])
def test_files_that_were_cut_off(name: str, part: float, tmp_path: Path) -> None:
    content = SOUNDS[name].content()
    file = tmp_path / "cut.bin"
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(MediaError, match=r"cut\.bin (is incomplete|cannot be read as sound)"):
        load_audio(file)


def test_a_webm_that_was_cut_off() -> None:
    content = Sound("webm", "libopus", 48_000, seconds=3).content()
    with pytest.raises(MediaError, match=r"declares 3\.0 seconds of sound, but has 1\."):
        load_audio(content[: len(content) // 2])


def wave_of_declared_size(size: int) -> bytes:
    content = bytearray(SOUNDS["wav 16 bit"].content())
    data = content.index(b"data")
    content[4:8] = content[data + 4 : data + 8] = size.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wave_file_written_before_its_length_was_known(size: int) -> None:
    assert len(load_audio(wave_of_declared_size(size))[0]) == 16_000


def test_an_mp3_with_tags_before_it() -> None:
    content = SOUNDS["mp3 44.1"].content()
    assert content[:3] == b"ID3"
    tags = b"ID3\x04\0\0" + bytes([0, 0, 8, 0]) + bytes(1024)
    assert len(load_audio(tags + content)[0]) == 44_100
    with pytest.raises(MediaError, match="incomplete"):
        load_audio((tags + content)[:-500])


@pytest.mark.parametrize(
    "content",
    [b"This is a letter.\n" * 200, b"RIFF", bytes(5000), b"ID3" + bytes(40), b"\x89PNG\r\n\x1a\n" + bytes(100)],
    ids=["text", "header only", "zeros", "tags only", "picture"],
)
def test_files_that_are_no_sounds(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "sound.mp3"
    file.write_bytes(content)
    with pytest.raises(MediaError, match=r"sound\.mp3 (cannot be read as sound|has no sound track)"):
        load_audio(file)


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(MediaError, match=r"empty\.wav is empty"):
        load_audio(tmp_path / "empty.wav")
    with pytest.raises(MediaError, match=r"none\.wav cannot be read"):
        load_audio(tmp_path / "none.wav")
    with pytest.raises(MediaError, match="no sound is in it"):
        load_audio(wave_of_declared_size(0)[: wave_of_declared_size(0).index(b"data") + 8])


def test_clips() -> None:
    sound = Sound("mp4", "libopus", 48_000, seconds=0.7).samples()
    found, rate = load_audio(clip(sound))
    assert (len(found), rate) == (33_600, 48_000)
    assert lag(found, sound[0]) == 0
    with pytest.raises(MediaError, match=r"The sound has no sound track"):
        load_audio(clip(None))


def test_a_stream_that_changes_its_rate() -> None:
    sound = noise(20_000)[None]
    parts = [encode(sound, rate, "adts", "aac") for rate in (44_100, 48_000)]
    with pytest.raises(MediaError, match="has now 44100, now 48000 samples a second"):
        load_audio(b"".join(parts))


def test_rates_and_lengths_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in (4_000, 384_000):
        with pytest.raises(MediaError, match=f"has {rate} samples a second; from 8000 to 192000"):
            load_audio(encode(np.zeros((1, 4000), np.float32), rate, "wav", "pcm_s16le"))
    assert MOST_SAMPLES == 1 << 27
    monkeypatch.setattr("gemtab.media.audio.MOST_SAMPLES", 16_000 * 60)
    with pytest.raises(MediaError, match="longer than 1 minutes"):
        load_audio(SOUNDS["wav 65 s"].content())
