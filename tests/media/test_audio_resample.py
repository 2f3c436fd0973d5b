"""The resampler against what its docstring promises."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gemtab.media.resample import coefficients, reach, resample
from tests.media.audio_files import speechlike

TARGET = 16_000
RATES = [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]


def response(rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz, and the gain of the whole filter (all its phases, interleaved) in dB."""
    divisor = math.gcd(rate, TARGET)
    up, down = TARGET // divisor, rate // divisor
    before = reach(up, down)
    filters = np.zeros(2 * before * up + up)
    for phase in range(up):
        filters[np.arange(1, 2 * before + 1) * up - phase] = coefficients(up, down, phase) / up
    length = 1 << (len(filters) * 16).bit_length()
    gains = np.abs(np.fft.rfft(filters, length))
    hertz = np.asarray(np.arange(len(gains)) * (rate * up / length))
    return hertz, np.asarray(20 * np.log10(np.maximum(gains, 1e-12)))


@pytest.mark.parametrize("rate", RATES)
def test_what_passes_is_level_and_what_does_not_is_90_db_down(rate: int) -> None:
    hertz, gains = response(rate)
    lower = min(rate, TARGET)
    ripple, stopped = np.abs(gains[hertz <= 0.455 * lower]).max(), gains[hertz >= 0.5 * lower].max()
    assert ripple < 0.01
    assert stopped < -90


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [100, 1000, 3500])
def test_a_tone_stays_itself(rate: int, hertz: int) -> None:
    def tone(at: int) -> NDArray[np.float32]:
        return np.asarray(np.sin(np.arange(at) * (2 * math.pi * hertz / at)), np.float32)

    found = resample(tone(rate), rate, TARGET)
    assert found.dtype == np.float32 and len(found) == TARGET
    inner = slice(400, -400)  # the audio begins and ends suddenly, which is no tone
    assert np.abs(found - tone(TARGET))[inner].max() < 1e-4


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_what_16_khz_cannot_hold_is_gone(rate: int) -> None:
    sweep = np.sin(np.cumsum(np.linspace(8_000, rate / 2, rate)) * (2 * math.pi / rate)).astype(np.float32)
    assert np.abs(resample(sweep, rate, TARGET))[400:-400].max() < 10 ** (-80 / 20)


def test_the_same_audio_at_every_rate() -> None:
    expected = speechlike(TARGET, TARGET)
    for rate in RATES:
        assert np.abs(resample(speechlike(rate, rate).astype("f4"), rate, TARGET) - expected)[400:-400].max() < 1e-4


@given(rate=st.integers(8_000, 192_000), count=st.integers(1, 3_000))
@settings(max_examples=30, deadline=None)
def test_any_rate_any_length(rate: int, count: int) -> None:
    """Each output sample is the sum of the inputs around it, and there are as many as the time takes."""
    assume(rate != TARGET)
    audio = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    found = resample(audio, rate, TARGET)
    assert len(found) == math.ceil(count * TARGET / rate)
    divisor = math.gcd(rate, TARGET)
    up, down = TARGET // divisor, rate // divisor
    n = len(found) // 2
    last, phase = divmod(n * down, up)
    inputs = last + 1 - reach(up, down) + np.arange(2 * reach(up, down))
    inside = (inputs >= 0) & (inputs < count)
    expected = coefficients(up, down, phase)[inside] @ audio[inputs[inside]].astype(np.float64)
    assert found[n] == pytest.approx(expected, abs=1e-6)


def test_the_same_rate_changes_nothing() -> None:
    audio = speechlike(1000, TARGET).astype(np.float32)
    assert resample(audio, TARGET, TARGET) is audio
    assert len(resample(audio[:0], 48_000, TARGET)) == 0


def test_a_constant_stays_constant() -> None:
    for rate in RATES:
        assert np.abs(resample(np.ones(rate, np.float32), rate, TARGET)[400:-400] - 1).max() < 1e-6
