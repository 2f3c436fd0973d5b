"""How much one workgroup does. Lowering makes grids of these numbers, and the templates of shaders read them."""

from typing import Final

TILE_TOKENS: Final = 64
"""Tokens that a workgroup of `fill` multiplies by rows of a matrix."""

EXPERT_TOKENS: Final = 32
"""The same where the tokens are an expert's, of which there are few."""

TILE_ROWS: Final = 32
"""Rows of a matrix that a workgroup of `fill` multiplies by; of a gated unit, half of them are partners."""

DECODE_ROWS: Final = 4
"""Rows of a matrix that a workgroup of `decode` multiplies by."""
