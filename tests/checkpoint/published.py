"""The text configurations of the five published Gemma 4 models, without their towers."""

from typing import Any

from gemtab.synth import SIZES, published_config

CONFIGS: dict[str, dict[str, Any]] = {
    size: {**published_config(size), "vision_config": None, "audio_config": None} for size in SIZES
}
