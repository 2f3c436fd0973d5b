"""The work of one workgroup. Lowering computes grids from these numbers, and the templates of shaders read them."""

from typing import Final

TILE_TOKENS: Final = 64
"""Tokens of a workgroup of `fill`'s matrix product."""

EXPERT_TOKENS: Final = 32
"""The same for the tokens of one expert, which has few."""

TILE_ROWS: Final = 32
"""Rows of the matrix of a workgroup of `fill`; of a gated unit, half of them are partners."""

DECODE_ROWS: Final = 4
"""Rows of the matrix of a workgroup of `decode`."""
