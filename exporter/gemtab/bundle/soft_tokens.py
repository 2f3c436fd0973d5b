"""How many soft tokens images and audio become."""

from typing import Final

BUDGETS: Final = (70, 140, 280, 560, 1120)
"""Soft tokens that an image may take at most: the choices Gemma 4 was trained with."""

IMAGE_TOKENS: Final = 280
"""The budget of an image where processor_config.json says nothing."""

FRAME_TOKENS: Final = 70
"""The budget of a frame of a video where processor_config.json says nothing."""

AUDIO_TOKENS: Final = 750
"""The most soft tokens of audio where processor_config.json says nothing: 30 s."""

AUDIO_TOKEN_MS: Final = 40
"""Milliseconds of a soft token of audio where processor_config.json says nothing."""
