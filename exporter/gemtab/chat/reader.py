"""From files to media of a conversation, as the bundle's processor_config.json says."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gemtab.bundle.manifest import Manifest
from gemtab.chat.media import Item, Medium
from gemtab.errors import BundleError, UsageError
from gemtab.media.audio import AudioInputs, audio_inputs, load_audio, segments
from gemtab.media.audio_rules import AudioRules, audio_rules
from gemtab.media.images import ImageInputs, Pixels, image_inputs, load_image
from gemtab.media.resample import resample
from gemtab.media.rules import ImageRules, image_rules, target_size

PROCESSOR_CONFIG_NAME = "processor_config.json"
Source = Path | bytes


class MediaReader:
    """Reads pictures and sound for the bundle in `folder`.

    Raises UsageError for a kind of media that the bundle does not take, MediaError for a file that cannot be used.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._inputs = manifest.inputs
        path = folder / PROCESSOR_CONFIG_NAME
        try:
            self._config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be read: {error}. Media need it: export the checkpoint again.") from error

    def image(self, source: Source, detail: int | None = None) -> Medium:
        """A picture; detail: the most soft tokens it may take, by default as the model has it."""
        self._takes("image")
        rules = image_rules(self._config)
        rules = rules if detail is None else rules.within(detail)
        return Medium("image", (_picture(load_image(source), rules),))

    def audio(self, source: Source, long: Literal["segments", "refuse"] = "segments") -> Medium:
        """A sound; long: whether one that is longer than the model hears at once is cut or refused."""
        self._takes("audio")
        rules = audio_rules(self._config)
        samples, rate = load_audio(source)
        heard = resample(samples, rate, rules.rate)
        return Medium("audio", tuple(_sound(part, rules) for part in segments(heard, rules, long)))

    def _takes(self, kind: Literal["image", "audio", "video"]) -> None:
        if kind not in self._inputs:
            raise UsageError(
                f"This bundle takes {', '.join(self._inputs)}, and no {kind}. Export the checkpoint again with "
                f"`--inputs` naming it, if the model has that part."
            )


def _picture(pixels: Pixels, rules: ImageRules) -> Item:
    height, width = target_size(pixels.shape[0], pixels.shape[1], rules)

    def inputs() -> dict[str, np.ndarray]:
        made: ImageInputs = image_inputs(pixels, rules)
        return {"pixel_values": made.patches, "pixel_position_ids": made.positions}

    key = _key(pixels, pixels.shape, rules)
    return Item("image", key, height * width // rules.side**2, inputs)


def _sound(samples: np.ndarray, rules: AudioRules) -> Item:
    # At once, since a sound that cannot be used is to be refused before anything is processed.
    made: AudioInputs = audio_inputs(samples, rules)
    return Item("audio", _key(samples, rules), made.soft_tokens, lambda: {"input_features": made.features})


def _key(content: np.ndarray, *settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(np.ascontiguousarray(content).data)
    return digest.hexdigest()
