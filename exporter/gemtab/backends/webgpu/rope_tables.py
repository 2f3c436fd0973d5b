"""The angle tables that `qkv_heads` reads."""

import numpy as np


def low_size(context: int) -> int:
    """How many positions the low table covers: the power of two nearest above the context's square root, so that
    both tables are small."""
    return int(1 << ((context - 1).bit_length() + 1) // 2)


def angle_table(theta: float, head_size: int, pairs: int, context: int, factor: float = 1.0) -> np.ndarray:
    """(cos, sin) of low * theta^(-2i/head_size) / factor, then of high * low_size instead of low: float32
    [low_size + ceil(context / low_size), pairs, 2], computed in float64."""
    low = low_size(context)
    high = -(-context // low)
    frequency = np.float64(theta) ** (-2.0 * np.arange(pairs) / head_size) / factor
    positions = np.concatenate([np.arange(low), low * np.arange(high)])
    angles = positions[:, None] * frequency
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
