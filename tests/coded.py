"""Pre-quantized checkpoints, as Gemma's quantization-aware training for mobile devices leaves them.

A float model's matrices become integers with a scale a row, and its activations get ranges measured on random tokens:
wide enough that few values are clipped, narrow enough that a missing rounding shows. transformers' own layers decide
which weights are integers, and compute with them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.utils.hooks import RemovableHandle
from transformers import Gemma4ForConditionalGeneration, GemmaQuantizationConfig, PreTrainedModel
from transformers.integrations.gemma_quant import QuantizedEmbedding, QuantizedLinear, replace_with_quant_layers

from gemtab.checkpoint import Checkpoint

# As in E2B for mobile: MLPs of the later layers and the vocabulary in 2 bits, the per-layer parts in 8. Patterns
# overlap: the second names gates of all layers, but the first is found earlier in the names of some.
PATTERNS = {
    r"layers\.([4-9]|1\.mlp)\.?.*(gate|up|down)_proj": {"num_bits": 2},
    r"mlp\.gate_proj": {"num_bits": 8},
    r"per_layer_(input_gate|projection|model_projection)": {"num_bits": 8},
    r"lm_head|embed_tokens$": {"num_bits": 2},
    r"layers\.2\.self_attn\.k_proj": {"num_bits": 8},
}

ALL_8: dict[str, dict[str, int]] = {r"": {"num_bits": 8}}
"""Patterns that a model may be given that was trained otherwise: it stays what it is."""

OFF = ("layers.0.self_attn.o_proj", "layers.1.mlp.up_proj")
"""Modules whose activations are not rounded: their scales are 0."""

UNEVEN = ("layers.1.self_attn.k_proj", "layers.2.mlp.up_proj")
"""Modules whose input is rounded otherwise than that of those beside them."""

SKIPPED = ["model.audio_tower", "embed_vision", "vision_tower.patch_embedder"]

UNMEASURED = (2.0, 2.0)
"""The assumed ranges of the towers' activations, which no token passes through."""

Ranges = dict[str, tuple[float, float]]
"""The largest input and output of a module."""


@torch.no_grad()
def save_coded(model: PreTrainedModel, folder: Path, patterns: dict[str, dict[str, int]] = PATTERNS) -> None:
    """Save the float model with integer weights."""
    config = GemmaQuantizationConfig(4, True, patterns, SKIPPED)
    ranges = measured(model)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    coded = coded_model(model, weights, ranges, config)
    coded.config.quantization_config = config
    coded.config.save_pretrained(folder)
    save_file(dict(coded.state_dict()), folder / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def coded_model(
    model: PreTrainedModel, weights: dict[str, torch.Tensor], ranges: Ranges, config: GemmaQuantizationConfig
) -> PreTrainedModel:
    """The model with transformers' layers of codes, for the float `weights`."""
    coded: PreTrainedModel = replace_with_quant_layers(model, config, SKIPPED)
    for name, module in coded.named_modules():
        if isinstance(module, QuantizedEmbedding):
            codes, scales = encoded(weights[f"{name}.weight"], module.num_bits)
            module.embedding_quantized.copy_(codes)
            module.embedding_scale.copy_(scales)
        elif isinstance(module, QuantizedLinear):
            codes, scales = encoded(weights[f"{name}.weight"], module.num_bits)
            module.weight.copy_(codes)
            module.weight_scale.copy_(scales)
            _set_ranges(module, name, *ranges.get(name, UNMEASURED))
    return coded


def _set_ranges(module: QuantizedLinear, name: str, before: float, after: float) -> None:
    if name.endswith(OFF):
        return
    module.input_activation_scale.fill_(before / (100 if name.endswith(UNEVEN) else 120))
    module.output_activation_scale.fill_(after / 120)


def encoded(weight: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """weight [rows, columns] -> packed codes, and scales [rows, 1]."""
    half = 1 << (bits - 1)
    scales = weight.abs().amax(1, keepdim=True) / (half - 0.5)
    numbers = (weight / scales).round().clamp(-half, half - 1)
    if bits == 8:
        return numbers.to(torch.int8), scales
    count = 8 // bits
    codes = torch.nn.functional.pad(numbers + half, (0, -weight.shape[1] % count)).to(torch.uint8)
    packed = codes[:, ::count].clone()
    for index in range(1, count):
        packed |= codes[:, index::count] << (index * bits)
    return packed, scales


def load_coded(folder: Path) -> PreTrainedModel:
    """Load a pre-quantized checkpoint in transformers, in f32. A table in transformers has one scale a row; where the
    checkpoint has more, all of them are put in and used."""
    model = Gemma4ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, ignore_mismatched_sizes=True)
    checkpoint = Checkpoint.open(folder)
    for name, module in model.named_modules():
        if isinstance(module, QuantizedEmbedding):
            scales = checkpoint.read(f"{name}.embedding_scale")
            module.embedding_scale = torch.nn.Parameter(scales, requires_grad=False)
    loaded: PreTrainedModel = model.eval()
    return loaded


def measured(model: PreTrainedModel) -> Ranges:
    """The largest activations on both sides of each linear layer, over random tokens; none where no token comes."""
    ranges: Ranges = {}
    ids = torch.randint(0, 380, (1, 64), generator=torch.Generator().manual_seed(5))
    with _watched(model, ranges):
        model.eval()(input_ids=ids, output_hidden_states=True)
    return ranges


@contextmanager
def _watched(model: PreTrainedModel, ranges: Ranges) -> Iterator[None]:
    def watch(name: str, module: torch.nn.Linear) -> RemovableHandle:
        def seen(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            ranges[name] = float(inputs[0].abs().max()), float(output.abs().max())

        return module.register_forward_hook(seen)

    linears = ((name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    handles = [watch(name, module) for name, module in linears]
    yield
    for handle in handles:
        handle.remove()
