"""From files to media of a conversation, as the bundle's processor_config.json says."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gemtab.bundle.manifest import Manifest
from gemtab.bundle.reading import read_object
from gemtab.chat.media import Item, Medium
from gemtab.errors import UsageError
from gemtab.media.audio import AudioInputs, audio_inputs, load_audio, segments
from gemtab.media.audio_rules import AudioRules, audio_rules
from gemtab.media.images import ImageInputs, Pixels, image_inputs, load_image
from gemtab.media.mel import Samples
from gemtab.media.resample import resample
from gemtab.media.rules import (
    PROCESSOR_CONFIG_NAME,
    ImageRules,
    LongAudio,
    VideoRules,
    image_rules,
    target_size,
    video_rules,
)
from gemtab.media.video import load_video

Source = Path | bytes


class MediaReader:
    """Reads pictures and sound for the bundle in `folder`.

    Raises UsageError for a kind of media that the bundle does not take, MediaError for a file that cannot be used.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._inputs = manifest.inputs
        self._folder = folder

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_object(self._folder, PROCESSOR_CONFIG_NAME)

    def image(self, source: Source, detail: int | None = None) -> Medium:
        """A picture; detail: the most soft tokens it may take, by default as the model has it."""
        self._takes("image")
        return self.picture(load_image(source), detail)

    def picture(self, pixels: Pixels, detail: int | None = None) -> Medium:
        """As `image`, of pixels [height, width, 3]."""
        rules = image_rules(self._config)
        rules = rules if detail is None else rules.within(detail)
        return Medium("image", (_picture(pixels, rules),))

    def audio(self, source: Source, long: LongAudio = "segments") -> Medium:
        """A sound; long: whether one that is longer than the model hears at once is cut or refused."""
        self._takes("audio")
        return self.sound(*load_audio(source), long)

    def sound(self, samples: Samples, rate: int, long: LongAudio = "segments") -> Medium:
        """As `audio`, of samples, mono and full scale ±1, at `rate` a second."""
        rules = audio_rules(self._config)
        heard = resample(samples, rate, rules.rate)
        return Medium("audio", tuple(_sound(part, rules) for part in segments(heard, rules, long)))

    def video(
        self, source: Source, detail: int | None = None, frames: int | None = None, long: LongAudio = "segments"
    ) -> Medium:
        """A clip: some of its frames, and its sound where it has any and the bundle takes sound. detail: the most soft
        tokens of a frame; frames: how many are looked at; by default both as the model has them. long: as of `audio`,
        for its sound."""
        self._takes("video")
        rules = self._video_rules(detail)
        clip = load_video(source, rules, frames)
        items = [_seen(frame, rules.image) for frame in clip.frames]
        if clip.has_sound and "audio" in self._inputs:
            items += self.audio(source, long).items
        return Medium("video", tuple(items), tuple(clip.stamps))

    def frames(self, frames: Sequence[Pixels], stamps: Sequence[str], detail: int | None = None) -> Medium:
        """As `video`, of frames [height, width, 3] with their stamps and without sound."""
        rules = self._video_rules(detail)
        return Medium("video", tuple(_picture(frame, rules.image) for frame in frames), tuple(stamps))

    def _video_rules(self, detail: int | None) -> VideoRules:
        rules = video_rules(self._config)
        return rules if detail is None else replace(rules, image=rules.image.within(detail))

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


def _seen(frame: ImageInputs, rules: ImageRules) -> Item:
    inputs = {"pixel_values": frame.patches, "pixel_position_ids": frame.positions}
    return Item("image", _key(frame.patches, frame.positions.max(0), rules), frame.soft_tokens, lambda: inputs)


def _sound(samples: np.ndarray, rules: AudioRules) -> Item:
    # At once, since a sound that cannot be used is to be refused before anything is processed.
    made: AudioInputs = audio_inputs(samples, rules)
    return Item("audio", _key(samples, rules), made.soft_tokens, lambda: {"input_features": made.features})


def _key(content: np.ndarray, *settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(np.ascontiguousarray(content).data)
    return digest.hexdigest()
