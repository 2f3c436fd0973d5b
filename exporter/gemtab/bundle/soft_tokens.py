"""Numbers of soft tokens of images and audio."""

from typing import Final

BUDGETS: Final = (70, 140, 280, 560, 1120)
"""The choices for the most soft tokens of an image. Gemma 4 was trained with these."""

IMAGE_TOKENS: Final = 280
"""Most soft tokens of an image if processor_config.json has no number."""

FRAME_TOKENS: Final = 70
"""Most soft tokens of a frame of a video if processor_config.json has no number."""

AUDIO_TOKENS: Final = 750
"""Most soft tokens of audio if processor_config.json has no number: 30 s."""

AUDIO_TOKEN_MS: Final = 40
"""Milliseconds of a soft token of audio if processor_config.json has no number."""
