"""Audio from files to a model's inputs; transformers' feature extractors are the oracle."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import Gemma4AudioFeatureExtractor, Gemma4Processor, Gemma4UnifiedAudioFeatureExtractor

from gemtab.errors import CheckpointError, MediaError, UsageError
from gemtab.media.audio import audio_inputs, load_audio, segments
from gemtab.media.audio_rules import AudioRules, audio_rules
from gemtab.media.flac import flac_end
from gemtab.media.limits import MAX_SAMPLES
from gemtab.media.resample import resample
from gemtab.resources import REPOSITORY
from tests.media.audio_files import AUDIO_FILES, AudioFile, encode, grey_video, speechlike
from tests.media.recorded import decoded
from tests.media.recordings import KINDS, edit, edited
from tests.media.waves import SIZES, chunk, layout, riff

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
    # Not a whole processor: that needs torchvision, for images.
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
    audio = noise(samples)
    cut = segments(audio, rules)
    assert np.array_equal(np.concatenate(cut), audio)
    assert len(cut) == math.ceil(samples / LONGEST)
    assert all(len(segment) <= LONGEST for segment in cut)
    if samples >= rules.least:
        assert all(audio_inputs(segment, rules).soft_tokens > 0 for segment in cut)


def test_long_audio_is_refused_where_the_caller_says_so() -> None:
    assert len(segments(noise(LONGEST), RULES, "refuse")) == 1
    with pytest.raises(MediaError, match=r"lasts 30\.1 seconds; the model takes 30 at once"):
        segments(noise(LONGEST + 1600), RULES, "refuse")
    with pytest.raises(UsageError, match="use `segments` first"):
        audio_inputs(noise(LONGEST + 1), RULES)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rules", [RULES, UNIFIED], ids=["tower", "unified"])
def test_values_that_are_no_numbers(rules: AudioRules, value: float) -> None:
    audio = noise(16_000)
    audio[8_000] = value
    with pytest.raises(MediaError, match=r"damaged: after 0\.500 seconds"):
        audio_inputs(audio, rules)


def test_audio_without_a_single_frame() -> None:
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
def test_settings_that_are_not_known_are_rejected_and_named(name: str, value: object) -> None:
    changed = {**PROCESSOR, "feature_extractor": {**PROCESSOR["feature_extractor"], name: value}}
    with pytest.raises(CheckpointError, match=name):
        audio_rules(changed)


def test_rules_of_other_sizes() -> None:
    with pytest.raises(CheckpointError, match="no feature_extractor"):
        audio_rules({})
    assert audio_rules({"feature_extractor": {}}) == RULES, "transformers' defaults"
    assert audio_rules({**PROCESSOR, "audio_seq_length": 100}).longest == 64_000
    assert (RULES.rate, RULES.longest, UNIFIED.frames) == (16_000, LONGEST, 640)


@pytest.mark.parametrize("name", AUDIO_FILES)
def test_files_are_decoded(name: str) -> None:
    audio = AUDIO_FILES[name]
    found, rate = load_audio(audio.content())
    expected = audio.samples().mean(axis=0)
    assert rate == audio.rate and found.dtype == np.float32
    if audio.bits is not None:
        assert len(found) == len(expected)
        assert np.abs(found - expected).max() <= (2.0**-audio.bits if audio.bits else 0) + 1.2e-7
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_recordings_of_every_kind_hold_what_ffmpeg_finds(kind: str, seed: int) -> None:
    recording = KINDS[kind](seed)
    found, rate = load_audio(recording.content)
    assert rate == recording.rate, recording.name
    assert len(found) == len(recording.samples), recording.name
    assert np.abs(found - recording.samples).max() <= 1.2e-7, recording.name


@pytest.mark.parametrize("seed", range(len(SIZES)))
def test_wave_files_whose_header_does_not_know_their_size(seed: int) -> None:
    recording = KINDS["WAV: placeholders for sizes"](seed)
    assert np.array_equal(load_audio(recording.content)[0], recording.samples), recording.name


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.03, 2.5])
def test_vorbis_is_in_time_and_as_long_as_its_end_mark_says(seconds: float) -> None:
    audio = AudioFile("ogg", "vorbis", 44_100, 2, seconds)
    found, expected = load_audio(audio.content())[0], audio.samples().mean(axis=0)
    assert 0 <= len(found) - len(expected) < 64, "what the encoder rounds up to"
    assert lag(found, expected) == 0


@pytest.mark.parametrize("codec", ["aac", "libopus", "flac"])
def test_what_an_edit_list_cuts_away_is_not_heard(codec: str) -> None:
    rate = 48_000
    content = encode(AudioFile("mp4", codec, rate, seconds=2).samples(), rate, "mp4", codec)
    whole, _ = load_audio(content)
    delay = edit(content)[1]
    assert len(whole) == 2 * rate
    assert np.array_equal(load_audio(edited(content, 1_000, delay))[0], whole[:rate]), "the end"
    assert np.array_equal(load_audio(edited(content, 2_000, 30_000 + delay))[0], whole[30_000:]), "the beginning"
    assert np.array_equal(load_audio(edited(content, 500, 30_000 + delay))[0], whole[30_000:54_000]), "both"


@pytest.mark.parametrize("name", ["wav 16 bit", "mp3 44.1", "flac stereo 48", "webm opus", "mp4 aac 44.1"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.97])
def test_files_that_were_cut_off_are_read_as_far_as_they_are_there(name: str, part: float, tmp_path: Path) -> None:
    audio = replace(AUDIO_FILES[name], seconds=3)
    content = fast_start(audio, tmp_path / "with-audio.mp4") if audio.container == "mp4" else audio.content()
    whole, _ = load_audio(content)
    found, rate = load_audio(content[: int(len(content) * part)])
    assert rate == audio.rate
    heads = 0.06 if name == "webm opus" else 0.01  # WebM ends with a list of its clusters
    assert abs(len(found) / len(whole) - part) < 0.07 + heads
    # The last frame of an MP3 goes on in what is missing.
    alike = len(found) - (2 * 1152 if name == "mp3 44.1" else 0)
    assert np.array_equal(found[:alike], whole[:alike])


def fast_start(audio: AudioFile, file: Path) -> bytes:
    """An MP4 that begins with the list of its frames. ffmpeg reads the file again to write it."""
    muxing = {"movflags": "faststart"}
    return encode(audio.samples(), audio.rate, audio.container, audio.codec, {}, muxing, file)


def test_an_mp4_whose_list_of_frames_is_missing() -> None:
    content = AUDIO_FILES["mp4 aac 44.1"].content()
    with pytest.raises(MediaError, match="The audio is incomplete: its end is missing"):
        load_audio(content[:-200])


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("container", ["ogg", "webm", "mp4"])
@pytest.mark.parametrize("options", [{"application": "voip", "b": "20000"}, {}], ids=["speech", "music"])
def test_opus_is_in_time_whatever_it_was_made_from(rate: int, container: str, options: dict[str, str]) -> None:
    audio = AudioFile(container, "libopus", rate)
    found, decoded_rate = load_audio(encode(audio.samples(), rate, container, "libopus", options))
    assert (len(found), decoded_rate) == (48_000, 48_000)
    # Opus by itself delays speech by a few samples.
    assert abs(lag(found, resample(audio.samples()[0], rate, 48_000))) <= (5 if options else 0)


def test_opus_is_decoded_by_libopus() -> None:
    content = encode(
        AUDIO_FILES["wav 16 bit"].samples(), 16_000, "ogg", "libopus", {"application": "voip", "b": "20000"}
    )
    found = load_audio(content)[0]
    assert np.array_equal(found, decoded(content, "libopus"))
    assert np.abs(found - decoded(content, "opus")).max() > 0.01, "ffmpeg's own decoder differs in speech"


def test_whole_numbers_of_64_bits() -> None:
    samples = AUDIO_FILES["wav 16 bit"].samples()
    assert np.abs(load_audio(encode(samples, 16_000, "wav", "pcm_s64le"))[0] - samples[0]).max() < 2**-15


@pytest.mark.parametrize(
    ("container", "codec"),
    [("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("caf", "pcm_s16be"), ("wav", "adpcm_ms"), ("ipod", "alac")],
)
def test_kinds_that_browsers_do_not_read(container: str, codec: str) -> None:
    audio = AUDIO_FILES["wav 16 bit"].samples()
    found, rate = load_audio(encode(audio, 16_000, container, codec))
    assert rate == 16_000 and len(found) >= 16_000
    assert np.abs(found[:16_000] - audio[0]).max() < (0.2 if codec == "adpcm_ms" else 2**-15)


@pytest.mark.parametrize("ending", [b"", bytes(1), bytes(20), b"TAG" + bytes(125), b"\xff\xf8" * 30])
def test_where_a_flac_file_ends(ending: bytes) -> None:
    content = AUDIO_FILES["flac stereo 48"].content()
    assert len(content) <= flac_end(content + ending) <= len(content) + min(2, len(ending))
    cut = flac_end(content[:-1])
    assert 0 < cut < len(content) - 10, "the last frame is left out"
    assert flac_end(content[:cut]) == cut
    assert flac_end(b"fLaC" + bytes(100)) == 104


@pytest.mark.parametrize(
    "content",
    [b"This is a letter.\n" * 200, b"RIFF", bytes(5000), b"ID3" + bytes(40), b"\x89PNG\r\n\x1a\n" + bytes(100)],
    ids=["text", "header only", "zeros", "tags only", "image"],
)
def test_files_that_are_no_audio(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "audio.mp3"
    file.write_bytes(content)
    with pytest.raises(MediaError, match=r"audio\.mp3 (cannot be read as audio|has no audio track)"):
        load_audio(file)


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(MediaError, match=r"empty\.wav is empty"):
        load_audio(tmp_path / "empty.wav")
    with pytest.raises(MediaError, match=r"none\.wav cannot be read"):
        load_audio(tmp_path / "none.wav")
    with pytest.raises(MediaError, match="the audio track is empty"):
        load_audio(riff(chunk(b"fmt ", layout(1, 1, 16_000, 16)) + chunk(b"data", b"")))


def test_videos() -> None:
    audio = AudioFile("mp4", "libopus", 48_000, seconds=0.7).samples()
    found, rate = load_audio(grey_video(audio))
    assert (len(found), rate) == (33_600, 48_000)
    assert lag(found, audio[0]) == 0
    with pytest.raises(MediaError, match=r"The audio has no audio track"):
        load_audio(grey_video(None))


def test_a_stream_that_changes_its_rate() -> None:
    audio = noise(20_000)[None]
    parts = [encode(audio, rate, "adts", "aac") for rate in (44_100, 48_000)]
    with pytest.raises(MediaError, match="has parts with 44100 and with 48000 samples a second"):
        load_audio(b"".join(parts))


def test_rates_and_lengths_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in (4_000, 384_000):
        with pytest.raises(MediaError, match=f"has {rate} samples a second; the range is 8000 to 192000"):
            load_audio(encode(np.zeros((1, 4000), np.float32), rate, "wav", "pcm_s16le"))
    assert MAX_SAMPLES == 1 << 27
    monkeypatch.setattr("gemtab.media.audio.MAX_SAMPLES", 16_000 * 60)
    with pytest.raises(MediaError, match="longer than 1 minutes"):
        load_audio(AUDIO_FILES["wav 65 s"].content())
