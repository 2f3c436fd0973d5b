"""The table of the op `sinusoids`, for backends that compute it at export."""

import numpy as np


def sinusoids(count: int, width: int) -> np.ndarray:
    """Return the encodings [count, width] f32 of `GraphBuilder.sinusoids`, computed in f64."""
    half = width // 2
    angles = np.arange(count)[:, None] * 1e4 ** (-np.arange(half) / max(half - 1, 1))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)
