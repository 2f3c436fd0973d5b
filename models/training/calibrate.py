"""Finite bounds for the towers' clipped linears, from what flows through them on training data."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import Gemma4ForConditionalGeneration
from transformers.models.gemma4.modeling_gemma4 import Gemma4ClippableLinear

MARGIN = 1.25
"""Factor of the bounds beyond the extremes seen, so that clipping is rare on other inputs."""


class _Extremes:
    """The least and greatest value seen at each clipped linear's input and output."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, float]] = {}

    def note(self, key: str, values: Tensor) -> None:
        low, high = self.seen.get(key, (float("inf"), -float("inf")))
        self.seen[key] = min(low, values.min().item()), max(high, values.max().item())


def _clipped(model: nn.Module) -> dict[str, Gemma4ClippableLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Gemma4ClippableLinear)}


def release(model: nn.Module) -> None:
    """Takes the bounds away, in place, so that training does not run into them."""
    for module in _clipped(model).values():
        for side in ("input", "output"):
            getattr(module, f"{side}_min").fill_(-float("inf"))
            getattr(module, f"{side}_max").fill_(float("inf"))


@torch.no_grad()
def calibrate(model: Gemma4ForConditionalGeneration, inputs: Iterable[dict[str, Tensor]]) -> None:
    """Sets every bound, in place.

    Each of `inputs` holds the arguments of `get_image_features` (`pixel_values`, `image_position_ids`) or of
    `get_audio_features` (`input_features`, `input_features_mask`). Raises ValueError if they leave a linear unused.
    """
    release(model)
    linears, extremes = _clipped(model), _Extremes()

    def watch(name: str, module: Gemma4ClippableLinear) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            extremes.note(f"{name}.input", given[0])
            extremes.note(f"{name}.output", made)

        handle: torch.utils.hooks.RemovableHandle = module.register_forward_hook(hook)
        return handle

    handles = [watch(name, module) for name, module in linears.items()]
    for one in inputs:
        (model.model.get_image_features if "pixel_values" in one else model.model.get_audio_features)(**one)
    for handle in handles:
        handle.remove()
    for name, module in linears.items():
        for side in ("input", "output"):
            if f"{name}.{side}" not in extremes.seen:
                raise ValueError(f"no calibration input reached {name}: give images and audio")
            low, high = extremes.seen[f"{name}.{side}"]
            getattr(module, f"{side}_min").fill_(min(low * MARGIN, -1e-3))
            getattr(module, f"{side}_max").fill_(max(high * MARGIN, 1e-3))
