"""The defaults of the config classes of the installed transformers.

`python -m tests.checkpoint.class_defaults` writes them where gemtab reads them, for a newer transformers.
"""

import json
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedConfig

import gemtab.checkpoint
from gemtab.checkpoint.unread_keys import is_bookkeeping

PATH = Path(gemtab.checkpoint.__file__).with_name("class_defaults.json")

# transformers has no assistant with an empty text config.
_PLAIN = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}

CONFIGS: dict[str, PreTrainedConfig] = {
    config.model_type: config
    for config in (
        transformers.Gemma3TextConfig(),
        transformers.Gemma4Config(),
        transformers.Gemma4TextConfig(),
        transformers.Gemma4VisionConfig(),
        transformers.Gemma4AudioConfig(),
        transformers.Gemma4AssistantConfig(text_config=transformers.Gemma4TextConfig(**_PLAIN)),
        transformers.Gemma4UnifiedConfig(),
        transformers.Gemma4UnifiedTextConfig(),
        transformers.Gemma4UnifiedVisionConfig(),
        transformers.Gemma4UnifiedAudioConfig(),
        transformers.Gemma4UnifiedAssistantConfig(text_config=transformers.Gemma4UnifiedTextConfig()),
    )
}
"""A config of each class, by model_type."""

_PARTS = ("text_config", "vision_config", "audio_config")


def installed_defaults() -> dict[str, dict[str, Any]]:
    """Return the defaults of each class, by model_type, without bookkeeping and without the configs of parts."""
    found = {}
    for kind, config in CONFIGS.items():
        said: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
        found[kind] = {key: value for key, value in said.items() if key not in _PARTS and not is_bookkeeping(key)}
    return found


if __name__ == "__main__":
    PATH.write_text(json.dumps(installed_defaults(), indent=1) + "\n", encoding="utf-8")
