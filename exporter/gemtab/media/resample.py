"""Change the rate of audio by a polyphase filter: a sinc under a Kaiser window.

Twin: webruntime/src/input/audio/resample.ts, with the same coefficients by the same formula. Browsers' own resamplers
are not specified, and greedy answers may differ with them.

Measured (tests/media/test_audio_resample.py): the pass band is level to 0.01 dB up to 0.455 of the lower rate;
everything above half that rate is at least 90 dB down. At 16 kHz these are 7.28 kHz and 8 kHz. There is no delay.
"""

import math

import numpy as np
from numpy.typing import NDArray

from gemtab.media.mel import Samples

REACH = 64
"""Half width of the filter, in samples of the lower rate."""

BETA = 9.0
"""Shape of the Kaiser window: the stop band is 90 dB down."""

CUTOFF = 0.955
"""Frequency at which the filter is 6 dB down, relative to half the lower rate."""

_CHUNK = 1 << 21
"""Elements of input windows in one product (16 MiB)."""


def resample(samples: Samples, rate: int, target: int) -> Samples:
    """Return ceil(len(samples) * target / rate) samples at `target` Hz from samples at `rate` Hz; both rates are
    integers.
    """
    if rate == target or not len(samples):
        return samples
    divisor = math.gcd(rate, target)
    up, down = target // divisor, rate // divisor
    before = reach(up, down)
    result = np.zeros(-(-len(samples) * up // down))
    padded = np.pad(samples.astype(np.float64), before)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * before)
    # Output n is at input n * down / up. Outputs that are `up` apart share a phase and are `down` inputs apart.
    for first in range(min(up, len(result))):
        start, phase = divmod(first * down, up)
        outputs = result[first::up]
        _multiply(windows[start + 1 :: down][: len(outputs)], coefficients(up, down, phase), outputs)
    return result.astype(np.float32)


def reach(up: int, down: int) -> int:
    """Return how many input samples to either side an output sample depends on."""
    return math.ceil(REACH * max(1, down / up))


def coefficients(up: int, down: int, phase: int) -> NDArray[np.float64]:
    """Return [2 * reach] f64 factors, of sum 1, for the inputs 1 - reach … reach. Input 0 is the last one at or before
    the output, which is phase / up after it."""
    before = reach(up, down)
    scale = min(1, up / down)
    t = (np.arange(1 - before, before + 1) - phase / up) * scale
    window = np.i0(BETA * np.sqrt(np.maximum(0, 1 - (t / REACH) ** 2)))
    taps = np.sinc(CUTOFF * t) * np.where(np.abs(t) < REACH, window, 0)
    return np.asarray(taps / taps.sum())


def _multiply(windows: NDArray[np.float64], taps: NDArray[np.float64], outputs: NDArray[np.float64]) -> None:
    """Compute outputs = windows @ taps in chunks: a product copies the overlapping windows."""
    rows = max(1, _CHUNK // len(taps))
    for row in range(0, len(outputs), rows):
        outputs[row : row + rows] = windows[row : row + rows] @ taps
