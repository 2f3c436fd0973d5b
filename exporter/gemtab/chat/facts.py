"""Names and bounds that conversations use. `npm run gen` writes the same constants for the tab."""

import math
from typing import Final

SETTINGS: Final[dict[str, tuple[float, float]]] = {
    "temperature": (0, math.inf),
    "top_k": (0, 2**31 - 1),
    "top_p": (0, 1),
    "seed": (0, 2**32 - 1),
    "max_tokens": (1, math.inf),
}
"""Inclusive range of each setting of the sampler. Control buffers hold integers of 32 bits."""

MEDIA: Final = ("image", "audio", "video")
"""Kinds of media in a message."""

THOUGHTS: Final = ("reasoning_content", "thinking", "reasoning")
"""Keys of a message's thoughts, as in transformers; templates read the first one."""

THOUGHT: Final = "thought"
"""Name of the channel of thoughts; text in other channels belongs to the answer."""

FENCE: Final = '<|"|>'
"""Token before and after a string in a tool call."""

VIDEO_TOKEN: Final = "<|video|>"
"""transformers' processor adds this token by name; tokenizer_config.json has no key for it."""

MAX_PLACEHOLDER: Final = 1000
"""Maximum characters of a placeholder: all placeholders together make one regular expression."""

FIRST_TWIN: Final = 0xF0000
"""The first private-use character that can replace a character of a control token."""
