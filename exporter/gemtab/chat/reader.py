"""Read files into media of a conversation, by the bundle's processor_config.json."""

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
    """Reads images, audio and video for the bundle in `folder`.

    Raises UsageError for a kind of media that the bundle does not take, MediaError for a file that cannot be used.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._inputs = manifest.inputs
        self._folder = folder

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_object(self._folder, PROCESSOR_CONFIG_NAME)

    def image(self, source: Source, detail: int | None = None) -> Medium:
        """Read an image. detail: maximum soft tokens, one of `gemtab.media.rules.BUDGETS`; by default the model's."""
        self._takes("image")
        return self.image_from_pixels(load_image(source), detail)

    def image_from_pixels(self, pixels: Pixels, detail: int | None = None) -> Medium:
        """As `image`, from pixels [height, width, 3] u8, RGB."""
        rules = image_rules(self._config)
        rules = rules if detail is None else rules.within(detail)
        return Medium("image", (_image_item(pixels, rules),))

    def audio(self, source: Source, long: LongAudio = "segments") -> Medium:
        """Read audio. long: whether audio longer than one segment is cut (`segments`) or rejected (`refuse`)."""
        self._takes("audio")
        return self.audio_from_samples(*load_audio(source), long)

    def audio_from_samples(self, samples: Samples, rate: int, long: LongAudio = "segments") -> Medium:
        """As `audio`, from mono samples (full scale ±1) at `rate` Hz."""
        rules = audio_rules(self._config)
        heard = resample(samples, rate, rules.rate)
        return Medium("audio", tuple(_audio_item(part, rules) for part in segments(heard, rules, long)))

    def video(
        self, source: Source, detail: int | None = None, frames: int | None = None, long: LongAudio = "segments"
    ) -> Medium:
        """Read a video: some of its frames, and its audio if it has any and the bundle takes audio.

        detail: maximum soft tokens of a frame. frames: maximum number of frames. Both default to the model's settings.
        long: as in `audio`, for the video's audio.
        """
        self._takes("video")
        rules = self._video_rules(detail)
        video = load_video(source, rules, frames)
        items = [_frame_item(frame, rules.image) for frame in video.frames]
        if video.has_audio and "audio" in self._inputs:
            items += self.audio(source, long).items
        return Medium("video", tuple(items), tuple(video.stamps))

    def video_from_frames(self, frames: Sequence[Pixels], stamps: Sequence[str], detail: int | None = None) -> Medium:
        """As `video`, from frames [height, width, 3] u8 with their stamps ("mm:ss"), without audio."""
        rules = self._video_rules(detail)
        return Medium("video", tuple(_image_item(frame, rules.image) for frame in frames), tuple(stamps))

    def _video_rules(self, detail: int | None) -> VideoRules:
        rules = video_rules(self._config)
        return rules if detail is None else replace(rules, image=rules.image.within(detail))

    def _takes(self, kind: Literal["image", "audio", "video"]) -> None:
        if kind not in self._inputs:
            raise UsageError(
                f"This bundle takes {', '.join(self._inputs)}, not {kind}. If the model takes {kind}, export the "
                f"checkpoint again with `--inputs` that name it."
            )


def _image_item(pixels: Pixels, rules: ImageRules) -> Item:
    height, width = target_size(pixels.shape[0], pixels.shape[1], rules)

    def inputs() -> dict[str, np.ndarray]:
        made: ImageInputs = image_inputs(pixels, rules)
        return {"pixel_values": made.patches, "pixel_position_ids": made.positions}

    key = _key(pixels, pixels.shape, rules)
    return Item("image", key, height * width // rules.side**2, inputs)


def _frame_item(frame: ImageInputs, rules: ImageRules) -> Item:
    inputs = {"pixel_values": frame.patches, "pixel_position_ids": frame.positions}
    return Item("image", _key(frame.patches, frame.positions.max(0), rules), frame.soft_tokens, lambda: inputs)


def _audio_item(samples: np.ndarray, rules: AudioRules) -> Item:
    # Computed at once: unusable audio is to be rejected before anything is processed.
    made: AudioInputs = audio_inputs(samples, rules)
    return Item("audio", _key(samples, rules), made.soft_tokens, lambda: {"input_features": made.features})


def _key(content: np.ndarray, *settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(np.ascontiguousarray(content).data)
    return digest.hexdigest()
