"""The words and bounds of a conversation. The tab has them by `npm run gen`."""

import math
from typing import Final

SETTINGS: Final[dict[str, tuple[float, float]]] = {
    "temperature": (0, math.inf),
    "top_k": (0, 2**31 - 1),
    "top_p": (0, 1),
    "seed": (0, 2**32 - 1),
    "max_tokens": (1, math.inf),
}
"""The least and the most that a setting of the sampler may be. Control buffers hold whole numbers of 32 bits."""

MEDIA: Final = ("image", "audio", "video")
"""Kinds of media in a message."""

THOUGHTS: Final = ("reasoning_content", "thinking", "reasoning")
"""The names under which a message's thoughts come, as in transformers; the first is the one that templates read."""

THOUGHT: Final = "thought"
"""The channel of thoughts; text in other channels is text of the answer."""

FENCE: Final = '<|"|>'
"""Stands before and after a string in a call of a tool."""

VIDEO_TOKEN: Final = "<|video|>"
"""transformers' processor adds it by this name; tokenizer_config.json has no key for it."""

MOST_PLACEHOLDER: Final = 1000
"""Characters of a placeholder: an expression is made of all of them."""

FIRST_TWIN: Final = 0xF0000
"""The first of the private characters that stand in for those of control tokens."""
