"""Runs transformers' Gemma 4 processors on a folder of images (*.npy) and videos: `python processors.py FOLDER BUDGET
FRAMES`. For each and each processor, writes FOLDER/NAME.PROCESSOR.npz with what the model would be given.

These processors need torchvision, whose builds fit one build of torch alone, so the three functions that they take
from it are restated here where it is missing: resizing is torch's own, which torchvision's calls. Run as a process of
its own, for transformers decides when it is imported what there is.
"""

import sys
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL.Image import Resampling

MODULES = ("", ".io", ".transforms", ".transforms.functional", ".transforms.v2", ".transforms.v2.functional")
FILTERS = ("NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")
FAMILIES = ("gemma4", "gemma4_unified")


def resize(image: torch.Tensor, size: list[int], interpolation: int | str, antialias: bool) -> torch.Tensor:
    assert interpolation in (Resampling.BICUBIC, "BICUBIC")
    batch = image if image.ndim == 4 else image[None]
    resized = torch.nn.functional.interpolate(batch, size, mode="bicubic", antialias=antialias)
    return resized if image.ndim == 4 else resized[0]


def normalize(image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, inplace: bool) -> torch.Tensor:
    del inplace
    return (image - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def colour(image: torch.Tensor) -> torch.Tensor:
    assert image.shape[-3] == 3
    return image


def stand_in_for_torchvision() -> None:
    modules = {name: ModuleType(f"torchvision{name}") for name in MODULES}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
        parent, _, child = name.rpartition(".")
        if child:
            setattr(modules[parent], child, module)
    modes = SimpleNamespace(**{name: name for name in FILTERS})
    functions = {"resize": resize, "normalize": normalize, "grayscale_to_rgb": colour, "InterpolationMode": modes}
    modules[".transforms.v2.functional"].__dict__.update(functions)
    modules[".transforms"].__dict__.update(InterpolationMode=modes)
    modules[".transforms.functional"].__dict__.update(pil_to_tensor=None)
    modules[""].__dict__.update(__version__="0.28.0")


def processors(module: ModuleType, family: str) -> tuple[Any, Any, Any]:
    """The image processor, the video processor, and the class that lays out prompts, of a family."""
    name = {"gemma4": "Gemma4", "gemma4_unified": "Gemma4Unified"}[family]
    image, video = getattr(module, f"{name}ImageProcessor"), getattr(module, f"{name}VideoProcessor")
    return image(), video(), getattr(module, f"{name}Processor")


def of_image(processor: Any, pixels: Any, budget: int) -> dict[str, Any]:
    out = processor(pixels, max_soft_tokens=budget, input_data_format="channels_last", return_tensors="np")
    real = out["image_position_ids"][0][:, 0] >= 0
    return {
        "patches": out["pixel_values"][0][real],
        "positions": out["image_position_ids"][0][real],
        "soft_tokens": out["num_soft_tokens_per_image"][0],
    }


def of_video(processor: Any, layout: Any, path: Path, budget: int, frames: int) -> dict[str, Any]:
    from transformers.video_utils import load_video

    choose = partial(processor.sample_frames, num_frames=frames)
    video, metadata = load_video(str(path), sample_indices_fn=choose, backend="pyav")
    out = processor(
        [video],
        video_metadata=[metadata],
        max_soft_tokens=budget,
        do_sample_frames=False,
        return_metadata=True,
        return_tensors="pt",
    )
    names = SimpleNamespace(boi_token="[", eoi_token="]", video_token=".")
    real = out["video_position_ids"][0][:, 0] >= 0
    return {
        "patches": out["pixel_values_videos"][:, real].numpy(),
        "positions": out["video_position_ids"][:, real].numpy(),
        "soft_tokens": int(out["num_soft_tokens_per_video"][0]),
        "seconds": out["video_metadata"][0].timestamps,
        "layout": layout.replace_video_token(names, out, 0),
    }


def main(folder: Path, budget: int, frames: int) -> None:
    if find_spec("torchvision") is None:
        stand_in_for_torchvision()
    import transformers

    for family in FAMILIES:
        image, video, layout = processors(transformers, family)
        for path in sorted(folder.glob("*.npy")):
            np.savez(path.with_suffix(f".{family}.npz"), **of_image(image, np.load(path), budget))
        for path in sorted([*folder.glob("*.mp4"), *folder.glob("*.webm")]):
            np.savez(path.with_suffix(f".{family}.npz"), **of_video(video, layout, path, budget, frames))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
