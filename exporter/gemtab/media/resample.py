"""Changing the rate of sound, by a polyphase filter: a sinc under a Kaiser window.

webruntime/src/input/audio/resample.ts computes the same coefficients by the same formula. A browser's own resampler is
not specified, and a model's greedy answers may differ with it.

Measured (tests/media/test_audio_resample.py): level to 0.01 dB up to 0.455 of the lower of the two rates, everything
above half of it at least 90 dB down. At 16 kHz that is 7.28 and 8 kHz. There is no delay.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gemtab.media.mel import Samples

REACH = 64
"""Samples of the lower rate that the filter reaches to either side."""

BETA = 9.0
"""Of the Kaiser window: what the filter stops is 90 dB down."""

CUTOFF = 0.955
"""Where the filter is 6 dB down, as a part of half the lower rate: at half the rate it has just come down."""

_CHUNK = 1 << 21
"""Elements of input windows that are multiplied at once (16 MiB)."""


def resample(samples: Samples, rate: int, target: int) -> Samples:
    """ceil(len(samples) * target / rate) samples at `target` Hz of sound at `rate` Hz; both whole numbers."""
    if rate == target or not len(samples):
        return samples
    divisor = math.gcd(rate, target)
    up, down = target // divisor, rate // divisor
    before = reach(up, down)
    result = np.zeros(-(-len(samples) * up // down))
    padded = np.pad(samples.astype(np.float64), before)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * before)
    # Output n lies at input n * down / up. Outputs `up` apart have the same phase, and are `down` inputs apart.
    for first in range(min(up, len(result))):
        start, phase = divmod(first * down, up)
        outputs = result[first::up]
        _multiply(windows[start + 1 :: down][: len(outputs)], coefficients(up, down, phase), outputs)
    return result.astype(np.float32)


def reach(up: int, down: int) -> int:
    """Input samples that an output sample depends on, to either side."""
    return math.ceil(REACH * max(1, down / up))


def coefficients(up: int, down: int, phase: int) -> NDArray[np.float64]:
    """[2 * reach] factors of the inputs 1 - reach … reach, counted from the last one not after an output that lies
    phase / up behind it. They add up to 1."""
    before = reach(up, down)
    scale = min(1, up / down)
    t = (np.arange(1 - before, before + 1) - phase / up) * scale
    window = np.i0(BETA * np.sqrt(np.maximum(0, 1 - (t / REACH) ** 2)))
    taps = np.sinc(CUTOFF * t) * np.where(np.abs(t) < REACH, window, 0)
    return np.asarray(taps / taps.sum())


def _multiply(windows: NDArray[np.float64], taps: NDArray[np.float64], outputs: NDArray[np.float64]) -> None:
    """outputs = windows @ taps, in parts: the windows overlap, and a product copies them."""
    rows = max(1, _CHUNK // len(taps))
    for row in range(0, len(outputs), rows):
        outputs[row : row + rows] = windows[row : row + rows] @ taps
