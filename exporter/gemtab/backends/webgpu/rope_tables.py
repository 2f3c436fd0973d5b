"""The angle tables of the kernels `qkv_heads` and `rope_heads`."""

import numpy as np


def low_size(context: int) -> int:
    """Return the positions of the low table: the next power of two above sqrt(context), so that both tables are
    small."""
    return int(1 << ((context - 1).bit_length() + 1) // 2)


def angle_table(theta: float, head_size: int, pairs: int, context: int, factor: float = 1.0) -> np.ndarray:
    """Return (cos, sin) of the angles, f32 [low_size + ceil(context / low_size), pairs, 2], computed in f64.

    Row `low` < low_size has the angles low * theta^(-2i / head_size) / factor of pairs i. Row low_size + `high` has
    high * low_size instead of low. The angle of position high * low_size + low is the sum of both.
    """
    low = low_size(context)
    high = -(-context // low)
    frequency = np.float64(theta) ** (-2.0 * np.arange(pairs) / head_size) / factor
    positions = np.concatenate([np.arange(low), low * np.arange(high)])
    angles = positions[:, None] * frequency
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
