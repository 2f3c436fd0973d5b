"""transformers with the angles of its rotary embedding in f64, and after keys and values that it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from gemtab.backends.reference import KV


def with_exact_angles(model: PreTrainedModel) -> PreTrainedModel:
    """The same Gemma 4, whose rotary embedding takes positions times frequencies in f64: transformers takes them in
    f32, where an angle of position 20,000 is off by a thousandth."""
    (rotary,) = (module for module in model.modules() if type(module).__name__.endswith("TextRotaryEmbedding"))
    config = model.config.get_text_config()

    def forward(x: torch.Tensor, position_ids: torch.Tensor, layer_type: str) -> tuple[torch.Tensor, torch.Tensor]:
        angles = position_ids[..., None].double() * _frequencies(rotary, config, layer_type)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos().to(x.dtype), both.sin().to(x.dtype)

    rotary.forward = forward
    return model


def _frequencies(rotary: Any, config: Any, layer_type: str) -> torch.Tensor:
    """theta^(-2i / size) in f64, 0 for pairs that do not turn."""
    rounded = getattr(rotary, f"{layer_type}_inv_freq")
    theta = config.rope_parameters[layer_type]["rope_theta"]
    exact = theta ** (-torch.arange(len(rounded), dtype=torch.float64) / len(rounded))
    exact = torch.where(rounded == 0, 0.0, exact)
    assert torch.allclose(exact, rounded.double(), rtol=1e-6, atol=0.0)
    return exact


@torch.inference_mode()
def logits_after(model: PreTrainedModel, ids: Sequence[int], past: Mapping[int, KV]) -> torch.Tensor:
    """Logits [len(ids), vocabulary] of tokens after those whose keys and values are `past`, by layer."""
    cache = DynamicCache()
    for layer, kv in sorted(past.items()):
        cache.update(kv.k.transpose(0, 1)[None], kv.v.transpose(0, 1)[None], layer)
    begin = len(past[0].k)
    positions = torch.arange(begin, begin + len(ids))[None]
    logits: torch.Tensor = model(input_ids=torch.tensor([ids]), position_ids=positions, past_key_values=cache).logits[0]
    return logits
