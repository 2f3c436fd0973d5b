"""LoRA adapters of small models, made by peft."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from tests.variants import load_transformers


def trained(base: Path, folder: Path, seed: int, **options: Any) -> Path:
    """An adapter as peft saves it, with random values as if it had been trained."""
    trained_model(load_transformers(base), seed, **options).save_pretrained(str(folder))
    return folder


def trained_model(model: PreTrainedModel, seed: int, **options: Any) -> PeftModel:
    """The model with an adapter of random values, as if it had been trained."""
    config = LoraConfig(r=options.pop("r", 4), lora_alpha=options.pop("lora_alpha", 6), **options)
    adapted: PeftModel = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        drawn = 0.1 * torch.randn(parameter.shape, generator=generator)
        # In place, since tied adapters share their values.
        if "lora_magnitude" in name:
            parameter.data.mul_(1 + drawn)
        elif "lora_" in name:
            parameter.data.copy_(drawn)
        elif "modules_to_save" in name or "trainable_tokens_delta" in name:
            parameter.data.add_(drawn)
    adapted.eval()
    return adapted
