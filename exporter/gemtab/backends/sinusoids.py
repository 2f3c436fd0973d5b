"""The table of the op `sinusoids`, which backends without that op make at export."""

import numpy as np


def sinusoids(count: int, width: int) -> np.ndarray:
    """Encodings [count, width] f32 of the distances 0 … count - 1, computed in f64: see `GraphBuilder.sinusoids`."""
    half = width // 2
    angles = np.arange(count)[:, None] * 1e4 ** (-np.arange(half) / max(half - 1, 1))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)
