"""Audio in browsers equals Python's, which equals transformers'."""

import base64
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser

from gemtab.media.audio import AudioInputs, audio_inputs, load_audio, segments
from gemtab.media.audio_rules import audio_rules
from gemtab.media.resample import resample
from gemtab.resources import REPOSITORY
from playwright_tests.conftest import BOTH_BROWSERS
from playwright_tests.in_page import in_page
from playwright_tests.media.conftest import Media, ScriptError
from playwright_tests.serving import serving
from tests.media.audio_files import AUDIO_FILES, AudioFile, encode, grey_video

TESTED_IN = BOTH_BROWSERS

PROCESSOR: dict[str, Any] = json.loads((REPOSITORY / "models" / "tiny" / "processor_config.json").read_text())
UNIFIED: dict[str, Any] = {"feature_extractor": {"feature_extractor_type": "Gemma4UnifiedAudioFeatureExtractor"}}

CODEC = 1e-5
"""Tolerance of samples of lossy codecs: decoders compute in f32, in any order."""

AAC_IN_FIREFOX = 1e-6
"""Tolerance of another build of the same decoder, which sums in another order."""

SHORT = 2 / (1 << 15)
"""Tolerance of MP3 in Firefox, whose decoder computes in whole numbers and rounds to 16 bits, up and down by turns."""

LOG_MEL = 1e-3
LOG_MEL_MP3 = 0.1
LOG_MEL_SHORT = 1.0
"""Tolerance of MP3's frames. Two builds of ffmpeg's decoder differ by up to 3e-6. In bands that the encoder has left
empty, that is a few hundredths of almost nothing and the floor under the logarithm. Where samples have only 16 bits,
the noise of rounding fills such bands."""


def codec_bound(media: Media, name: str) -> float:
    """Return the tolerance of samples."""
    return SHORT if media.in_firefox and name.startswith("mp3") else CODEC


def log_mel_bound(media: Media, name: str) -> float:
    """Return the tolerance of frames."""
    if not name.startswith("mp3"):
        return LOG_MEL
    return LOG_MEL_SHORT if media.in_firefox else LOG_MEL_MP3


def heard(samples: NDArray[np.float32], rate: int, processor: dict[str, Any]) -> list[AudioInputs]:
    rules = audio_rules(processor)
    return [audio_inputs(each, rules) for each in segments(resample(samples, rate, rules.rate), rules)]


def test_audio_is_heard_alike(media: Media, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for name, audio in AUDIO_FILES.items():
        content = audio.content()
        expected, rate = load_audio(content)
        found = media.call("hear", content, processor=PROCESSOR)
        assert found["rate"] == rate, name
        assert len(found["samples"]) == len(expected), name
        wave = np.abs(found["samples"] - expected).max()
        assert wave <= (0 if audio.bits is not None else codec_bound(media, name)), name
        worst, tokens = compare(media, name, found["segments"], heard(expected, rate, PROCESSOR))
        samples = f"{len(expected):>9,} at {rate:>6,} Hz"
        lines.append(f"{name:<24} {samples}  wave {wave:.0e}  log-mel {worst:.1e}  {tokens:>4} tokens")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def compare(media: Media, name: str, found: list[dict[str, Any]], expected: list[AudioInputs]) -> tuple[float, int]:
    """Return the largest difference of the frames, and the number of tokens."""
    worst = 0.0
    for segment, inputs in zip(found, expected, strict=True):
        rows = len(inputs.features)
        assert (segment["rows"], segment["softTokens"]) == (rows, inputs.soft_tokens), name
        features = segment["features"].reshape(segment["rows"], segment["width"])
        worst = max(worst, float(np.abs(features - inputs.features).max()))
    assert worst < log_mel_bound(media, name), name
    return worst, sum(inputs.soft_tokens for inputs in expected)


def test_audio_for_models_without_a_tower(media: Media) -> None:
    for name in ("wav 16 bit stereo 44.1", "wav 0.1 s", "wav 65 s"):
        content = AUDIO_FILES[name].content()
        found = media.call("hear", content, processor=UNIFIED)["segments"]
        expected = heard(*load_audio(content), UNIFIED)
        for segment, inputs in zip(found, expected, strict=True):
            assert segment["softTokens"] == inputs.soft_tokens
            assert np.abs(segment["features"].reshape(-1, 640) - inputs.features).max() <= 1e-6


@pytest.mark.parametrize("rate", [8_000, 8_001, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 191_999, 192_000])
def test_resamplers_agree(media: Media, rate: int) -> None:
    audio = np.random.default_rng(rate).standard_normal(rate // 4).astype(np.float32)
    found = media.call("resampleAudio", audio.tobytes(), rate=rate)
    expected = resample(audio, rate, 16_000)
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() <= 1e-6


def test_every_length_has_as_many_tokens(media: Media) -> None:
    lengths = [*range(2001), *map(int, np.random.default_rng(6).integers(2001, 480_001, 500))]
    for processor in (PROCESSOR, UNIFIED):
        rules = audio_rules(processor)
        found = media.call("audioTokens", processor=processor, lengths=lengths)
        assert found == [rules.soft_tokens(length) for length in lengths]


def test_what_the_browser_records(media: Media, tested: Browser) -> None:
    """A tone, recorded as the page records a microphone: in a file that does not state its duration. Firefox has a fake
    microphone; without an audio device it computes no audio."""
    with serving({}) as site:
        page = tested.new_page()
        page.goto(site)
        text = page.evaluate(in_page("media.recordTone"))
        page.close()
    content = base64.b64decode(text)
    found = media.call("decodeAudio", content)
    expected, rate = load_audio(content)
    assert found["rate"] == rate
    assert len(expected) > rate / 2
    assert len(found["samples"]) == len(expected)
    assert np.abs(found["samples"] - expected).max() <= CODEC
    assert np.abs(expected).max() > 0.1


def refused(media: Media, content: bytes, name: str = "audio.wav", function: str = "decodeAudio") -> str:
    with pytest.raises(ScriptError) as caught:
        media.call(function, content, name=name)
    assert caught.value.name == "MediaError"
    return str(caught.value)


@pytest.mark.parametrize("name", ["wav 16 bit", "mp3 44.1", "flac stereo 48", "ogg opus", "webm opus"])
@pytest.mark.parametrize("part", [0.5, 0.89])
def test_files_that_were_cut_off_are_read_as_in_python(media: Media, name: str, part: float) -> None:
    content = replace(AUDIO_FILES[name], seconds=3).content()
    content = content[: int(len(content) * part)]
    expected, _ = load_audio(content)
    assert len(expected) > 48_000 * part / 3
    found = media.call("decodeAudio", content)["samples"]
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() <= codec_bound(media, name)


def test_an_mp4_whose_list_of_frames_is_missing(media: Media) -> None:
    content = AUDIO_FILES["mp4 opus"].content()
    assert "audio.wav is incomplete: its end is missing" in refused(media, content[: len(content) // 2])


@pytest.mark.parametrize(
    ("container", "codec", "named"),
    [
        ("aiff", "pcm_s16be", "an AIFF file"),
        ("au", "pcm_s16be", "an AU file"),
        ("caf", "pcm_s16be", "a CAF file"),
        ("w64", "pcm_s16le", "a Wave64 file"),
        ("wav", "adpcm_ms", "a WAV file with Microsoft ADPCM in it"),
        ("wv", "wavpack", "a WavPack file"),
        ("ipod", "alac", "the codec alac"),
    ],
)
def test_what_python_alone_reads_is_rejected_with_its_name(
    media: Media, container: str, codec: str, named: str
) -> None:
    content = encode(AUDIO_FILES["wav 16 bit"].samples(), 16_000, container, codec)
    assert len(load_audio(content)[0]) >= 16_000
    message = refused(media, content)
    assert named in message and "WAV" in message.split(named)[1], "and what to make of it"


@pytest.mark.parametrize(
    "content",
    [b"This is a letter.\n" * 200, b"RIFF\x04\0\0\0WAVE", bytes(5000), b"ID3" + bytes(40)],
    ids=["text", "header only", "zeros", "tags only"],
)
def test_files_that_are_not_audio(media: Media, content: bytes) -> None:
    assert "audio.wav cannot be read as audio" in refused(media, content)


def test_an_empty_file(media: Media) -> None:
    assert "audio.wav is empty: it has 0 bytes" in refused(media, b"")


def test_a_codec_that_the_browser_does_not_have(media: Media) -> None:
    content = encode(AUDIO_FILES["wav 16 bit"].samples(), 16_000, "mp4", "alac")
    assert "video.m4a has audio in the codec alac, which this browser does not decode" in refused(
        media, content, "video.m4a"
    )


def test_videos(media: Media) -> None:
    content = grey_video(AudioFile("mp4", "libopus", 48_000, seconds=0.7).samples())
    expected, _ = load_audio(content)
    found = media.call("decodeAudio", content)["samples"]
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() <= CODEC
    assert "video.mp4 has no audio track" in refused(media, grey_video(None), "video.mp4")


def test_bare_streams_of_aac(media: Media) -> None:
    first, second = (encode(AUDIO_FILES["mp3 44.1"].samples(), rate, "adts", "aac") for rate in (44_100, 48_000))
    found, expected = media.call("decodeAudio", first)["samples"], load_audio(first)[0]
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() <= (AAC_IN_FIREFOX if media.in_firefox else 0)
    refused(media, first + second)


def test_rates_that_are_rejected(media: Media) -> None:
    content = encode(np.zeros((1, 4000), np.float32), 4_000, "wav", "pcm_s16le")
    assert "has 4000 samples a second; the range is 8000 to 192000" in refused(media, content)


def test_values_that_are_no_numbers(media: Media) -> None:
    audio = AUDIO_FILES["wav float 22.05"].samples()
    audio[0, 11_025] = np.nan
    assert "values that are not numbers" in refused(
        media, encode(audio, 22_050, "wav", "pcm_f32le"), function="hearWhole"
    )


def test_decoding_can_be_stopped(media: Media) -> None:
    with pytest.raises(ScriptError) as caught:
        media.call("stopAudio", AUDIO_FILES["wav 65 s"].content())
    assert caught.value.name == "AbortError"
