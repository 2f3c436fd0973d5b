"""Log-mel spectrograms for Gemma 4's audio tower, as in transformers' `Gemma4AudioFeatureExtractor`.

Twin: webruntime/src/input/audio/mel.ts.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""[samples] f32, mono, full scale ±1."""


@dataclass(frozen=True)
class MelRules:
    """How audio becomes a spectrogram.

    rate: samples a second. frame, hop: samples of a frame, and between the starts of two frames. transform: length of
    the Fourier transform, a power of two. bins: number of mel bins from `lowest` to `highest` Hz. floor: added before
    the logarithm.
    """

    rate: int
    frame: int
    hop: int
    transform: int
    bins: int
    lowest: float
    highest: float
    floor: float

    def frames(self, samples: int) -> int:
        """Return the number of frames of `samples` samples.

        Frame i is centred on sample i * hop, as if half a frame of silence preceded the audio. A frame counts only if
        the
        sample after its last one exists: with 20 ms frames every 10 ms at 16 kHz, every 160 samples but the first make
        a frame.
        """
        return max(0, (samples + self.frame // 2 - (self.frame + 1)) // self.hop + 1)

    @property
    def least(self) -> int:
        """The minimum number of samples for one frame."""
        return self.frame + 1 - self.frame // 2


def log_mel(samples: Samples, rules: MelRules) -> NDArray[np.float32]:
    """Return [frames, bins] f32: the natural logarithm of mel magnitudes, for frames inside the audio only."""
    padded = np.pad(samples.astype(np.float32), (rules.frame // 2, 0))
    count = rules.frames(len(samples))
    starts = np.lib.stride_tricks.sliding_window_view(padded, rules.frame)[:: rules.hop][:count]
    # The window is applied in f32, as in transformers: in silent bins of a loud frame only that rounding remains.
    spectrum = np.abs(np.fft.rfft(starts * _hann(rules.frame), n=rules.transform))
    return np.log(spectrum @ mel_filters(rules) + rules.floor).astype(np.float32)


@functools.cache
def mel_filters(rules: MelRules) -> NDArray[np.float64]:
    """Return [transform / 2 + 1, bins] f64: one triangle of height 1 a bin, with corners equally spaced on HTK's mel
    scale. The lowest triangles are narrower than the distance of two frequencies; some of them are empty."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (rules.lowest, rules.highest))
    corners = 700 * (10 ** (np.linspace(lowest, highest, rules.bins + 2) / 2595) - 1)
    hertz = np.arange(rules.transform // 2 + 1)[:, None] * (rules.rate / rules.transform)
    left, top, right = corners[:-2], corners[1:-1], corners[2:]
    filters: NDArray[np.float64] = np.minimum((hertz - left) / (top - left), (right - hertz) / (right - top))
    return np.maximum(filters, 0)


@functools.cache
def _hann(length: int) -> Samples:
    """Return the periodic Hann window, [length] f32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
