"""Log-mel spectrograms, as Gemma 4's audio tower hears: see `Gemma4AudioFeatureExtractor` in transformers.

webruntime/src/input/audio/mel.ts computes the same.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono sound, full scale ±1."""


@dataclass(frozen=True)
class MelRules:
    """How sound becomes a spectrogram.

    frame, hop: samples in a frame, and from one frame to the next. transform: length of the Fourier transform, a power
    of two. bins: on the mel scale, from `lowest` to `highest` Hz. floor: is added before the logarithm.
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
        """Frames of so many samples.

        Frame i is centred on sample i * hop, as if half a frame of silence came before the sound. It counts only if
        the sample after its last is there too: at 20 and 10 ms, every 160 samples but the first make a frame.
        """
        return max(0, (samples + self.frame // 2 - (self.frame + 1)) // self.hop + 1)

    @property
    def least(self) -> int:
        """The fewest samples that make a frame."""
        return self.frame + 1 - self.frame // 2


def log_mel(samples: Samples, rules: MelRules) -> NDArray[np.float32]:
    """[frames, bins] of the natural logarithm of mel magnitudes; only frames that lie in the sound."""
    padded = np.pad(samples.astype(np.float32), (rules.frame // 2, 0))
    count = rules.frames(len(samples))
    starts = np.lib.stride_tricks.sliding_window_view(padded, rules.frame)[:: rules.hop][:count]
    # Windowed in f32 as in transformers: in silent bins of a loud frame that rounding is all there is to hear.
    spectrum = np.abs(np.fft.rfft(starts * _hann(rules.frame), n=rules.transform))
    return np.log(spectrum @ mel_filters(rules) + rules.floor).astype(np.float32)


@functools.cache
def mel_filters(rules: MelRules) -> NDArray[np.float64]:
    """[transform / 2 + 1, bins]: a triangle of height 1 for each bin, in Hz, its corners equally far on the mel scale
    of HTK. The lowest triangles are narrower than the distance of two frequencies, and some of them are empty."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (rules.lowest, rules.highest))
    corners = 700 * (10 ** (np.linspace(lowest, highest, rules.bins + 2) / 2595) - 1)
    hertz = np.arange(rules.transform // 2 + 1)[:, None] * (rules.rate / rules.transform)
    left, top, right = corners[:-2], corners[1:-1], corners[2:]
    filters: NDArray[np.float64] = np.minimum((hertz - left) / (top - left), (right - hertz) / (right - top))
    return np.maximum(filters, 0)


@functools.cache
def _hann(length: int) -> Samples:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
