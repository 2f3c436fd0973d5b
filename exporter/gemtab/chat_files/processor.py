"""Make a bundle's processor_config.json: the preparation of media. Sections that the checkpoint lacks get the published
models' settings, which are the defaults of transformers' classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gemtab.bundle.manifest import Input
from gemtab.bundle.soft_tokens import FRAME_TOKENS, IMAGE_TOKENS
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError
from gemtab.media.audio_rules import audio_rules
from gemtab.media.rules import PROCESSOR_CONFIG_NAME, ImageRules, image_rules, video_rules
from gemtab.model.spec import FrameSpec, ModelSpec, PatchSpec, VisionSpec

OLD_NAME = "preprocessor_config.json"
OLD_VIDEO_NAME = "video_preprocessor_config.json"
"""Files of older releases: for images and audio, and for video."""

_PIXELS: Mapping[str, Any] = {
    "do_convert_rgb": True,
    "do_normalize": False,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_std": [1.0, 1.0, 1.0],
    "max_soft_tokens": IMAGE_TOKENS,
    "resample": 3,
    "rescale_factor": 1 / 255,
}
_FRAMES: Mapping[str, Any] = {
    **_PIXELS,
    "do_normalize": True,
    "do_sample_frames": True,
    "max_soft_tokens": FRAME_TOKENS,
    "num_frames": 32,
}
_SPECTROGRAM: Mapping[str, Any] = {
    "dither": 0.0,
    "feature_size": 128,
    "fft_length": 512,
    "fft_overdrive": False,
    "frame_length": 320,
    "hop_length": 160,
    "input_scale_factor": 1.0,
    "max_frequency": 8000.0,
    "mel_floor": 0.001,
    "min_frequency": 0.0,
    "padding_side": "right",
    "padding_value": 0.0,
    "per_bin_mean": None,
    "per_bin_stddev": None,
    "preemphasis": 0.0,
    "preemphasis_htk_flavor": True,
    "return_attention_mask": True,
    "sampling_rate": 16_000,
}
_SAMPLES: Mapping[str, Any] = {"audio_samples_per_token": 640, "sampling_rate": 16_000}

_SECTIONS: Mapping[Input, tuple[str, str]] = {
    "image": ("image_processor", OLD_NAME),
    "video": ("video_processor", OLD_VIDEO_NAME),
    "audio": ("feature_extractor", OLD_NAME),
}
"""The section of each input, and the file in which older releases keep it."""

_RULES: Mapping[Input, Callable[[Mapping[str, Any]], object]] = {
    "image": image_rules,
    "video": lambda content: video_rules(content).image,
    "audio": audio_rules,
}


def processor_config(files: Files, spec: ModelSpec, inputs: Sequence[Input]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the content of processor_config.json with a section for each of the inputs, and notes.

    Raises CheckpointError where a section has an unknown setting, or does not fit the tower.
    """
    content = read_object(files, PROCESSOR_CONFIG_NAME) or {}
    defaults = published_sections(spec)
    content.setdefault("processor_class", "Gemma4UnifiedProcessor" if _unified(spec) else "Gemma4Processor")
    assumed: list[Input] = []
    for one in inputs:
        if one == "text":
            continue
        section, old = _SECTIONS[one]
        if not isinstance(content.get(section), dict):
            earlier = _earlier(files, one, old)
            content[section] = earlier or defaults[one]
            assumed += [] if earlier else [one]
        _check(files, content, spec, one)
    if not assumed:
        return content, ()
    note = (
        f"{PROCESSOR_CONFIG_NAME} has no settings for {', '.join(assumed)}: the published models' settings are used. "
        "--inputs text leaves images, video and audio out."
    )
    return content, (note,)


def published_sections(spec: ModelSpec) -> dict[Input, dict[str, Any]]:
    """Return the sections of processor_config.json of the published models, for towers of these sizes."""
    name = "Gemma4Unified" if _unified(spec) else "Gemma4"
    tower = spec.vision
    patch, pooling = (tower.patch, tower.pooling) if isinstance(tower, VisionSpec) else (16, 3)
    cut = {"patch_size": patch, "pooling_kernel_size": pooling}
    features = _SAMPLES if isinstance(spec.audio, FrameSpec) else _SPECTROGRAM
    return {
        "image": {**_PIXELS, **cut, "image_processor_type": f"{name}ImageProcessor"},
        "video": {**_FRAMES, **cut, "video_processor_type": f"{name}VideoProcessor"},
        "audio": {**features, "feature_extractor_type": f"{name}AudioFeatureExtractor"},
    }


def _unified(spec: ModelSpec) -> bool:
    return isinstance(spec.vision, PatchSpec) or isinstance(spec.audio, FrameSpec)


def _earlier(files: Files, one: Input, old: str) -> dict[str, Any] | None:
    """Return the section from an older release's file; images and audio may share one file."""
    found = read_object(files, old) or {}
    section = _SECTIONS[one][0]
    if f"{section}_type" not in found:
        return None
    if one != "audio":
        return found
    known = {*_SPECTROGRAM, *_SAMPLES, f"{section}_type"}
    return {key: value for key, value in found.items() if key in known}


def _check(files: Files, content: Mapping[str, Any], spec: ModelSpec, one: Input) -> None:
    """Raise CheckpointError where the section is unknown, or cuts images differently from the tower."""
    section = _SECTIONS[one][0]
    kind = content[section].get(f"{section}_type", "Gemma4")
    if "Gemma4" not in str(kind):
        raise CheckpointError(
            f"{files.where}: {section}_type is {kind}; expected a type of Gemma 4. Take the {PROCESSOR_CONFIG_NAME} of "
            "the base model, or leave images, video and audio out by --inputs text."
        )
    try:
        rules = _RULES[one](content)
    except CheckpointError as error:
        raise CheckpointError(f"{files.where}: {error} --inputs text leaves images, video and audio out.") from None
    if not isinstance(rules, ImageRules):
        return
    tower = spec.vision
    found, wanted = f"{rules.patch} × {rules.pooling}", ""
    if isinstance(tower, VisionSpec):
        wanted = f"{tower.patch} × {tower.pooling}"
    elif isinstance(tower, PatchSpec) and rules.side != tower.side:
        wanted = f"{tower.side}"
    if wanted not in ("", found):
        raise CheckpointError(
            f"{files.where}: {PROCESSOR_CONFIG_NAME} cuts {one}s into squares of {found} pixels, but vision_config in "
            f"config.json has {wanted}. Take both files from one model, or leave images and video out by --inputs text."
        )
