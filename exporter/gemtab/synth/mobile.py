"""Pre-quantized checkpoints, as from Gemma's quantization-aware training for mobile devices (E2B and E4B)."""

from typing import TYPE_CHECKING, Any

from gemtab.checkpoint.codes import RANGE, TABLE_CODES
from gemtab.errors import UsageError
from gemtab.synth.draw import Drawn, code_deviation, distribution

if TYPE_CHECKING:
    from torch import nn

MOBILE_SIZES = ("E2B", "E4B")

_TOWERS = ["model.vision_tower", "model.audio_tower", "model.embed_vision", "model.embed_audio"]

_ADDED = ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight", "post_per_layer_input_norm.weight")
"""Name endings of the norms that scale a layer's contributions to the residual."""

_SHARE = 0.25
"""Contribution of all layers together to the residual, relative to the embedding's 1. With many times as much, as in
plain random models, one activation that rounds differently would change all later ones beyond recognition. Trained
models do not behave so."""


def as_mobile(config: dict[str, Any], size: str) -> dict[str, Any]:
    """Return the config of a published size as a pre-quantized one: 2 bits for token embeddings, head and MLPs of
    layers that share keys and values, 8 bits around the per-layer embeddings, 4 bits for the rest of the text stack;
    towers are plain.

    Raises UsageError for a size without a pre-quantized form.
    """
    if size not in MOBILE_SIZES:
        raise UsageError(f"--qat: only {' and '.join(MOBILE_SIZES)} are pre-quantized for mobile devices, not {size}.")
    text = config["text_config"]
    layers = text["num_hidden_layers"]
    sharing = "|".join(map(str, range(layers - text["num_kv_shared_layers"], layers)))
    patterns = {r"per_layer_(input_gate|projection|model_projection)": 8, r"lm_head|embed_tokens$": 2}
    if sharing:
        patterns[rf"layers\.({sharing})\.mlp\."] = 2
    return {
        **config,
        # transformers does not tie the head to quantized embeddings.
        "tie_word_embeddings": False,
        "text_config": {**text, "tie_word_embeddings": False},
        "quantization_config": {
            "quant_method": "gemma",
            "num_bits": 4,
            "quantize_embeddings": True,
            "module_quant_configs": {pattern: {"num_bits": bits} for pattern, bits in patterns.items()},
            "modules_to_not_convert": _TOWERS,
        },
    }


def put_codes(model: "nn.Module", quantization: dict[str, Any]) -> None:
    """Replace the model's layers by transformers' quantized layers."""
    from transformers import GemmaQuantizationConfig
    from transformers.integrations.gemma_quant import replace_with_quant_layers

    config = GemmaQuantizationConfig(**quantization)
    replace_with_quant_layers(model, config, config.modules_to_not_convert)


def drawn_codes(model: "nn.Module", layers: int) -> dict[str, Drawn]:
    """Return the tensors of a pre-quantized model that differ from a plain one, by name: tensors of quantized layers
    (the per-layer table has a scale for each layer's part), and the scales of a layer's share of the residual."""
    from transformers.integrations.gemma_quant import QuantizedEmbedding, QuantizedLinear

    found: dict[str, Drawn] = {}
    share = _SHARE / (len(_ADDED) * layers) ** 0.5
    for name, tensor in model.state_dict().items():
        if ".language_model.layers." in name and name.endswith(_ADDED):
            found[name] = Drawn("BF16", tuple(tensor.shape), share, share / 5)
        elif name.endswith("layer_scalar"):
            found[name] = Drawn("BF16", tuple(tensor.shape), 1.0, 0.01)
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):
            codes, scales = _drawn(name, module.weight, module.in_features, module.num_bits, 1)
            found |= {f"{name}.weight": codes, f"{name}.weight_scale": scales}
            for side in ("input", "output"):
                found[f"{name}.{side}{RANGE}"] = _range(f"{name}.{side}{RANGE}")
        elif isinstance(module, QuantizedEmbedding):
            parts = layers if name.endswith("per_layer") else 1
            table = module.embedding_quantized
            codes, scales = _drawn(name, table, module.embedding_dim, module.num_bits, parts)
            found |= {f"{name}.{TABLE_CODES}": codes, f"{name}.embedding_scale": scales}
    return found


def _drawn(name: str, packed: Any, columns: int, bits: int, parts: int) -> tuple[Drawn, Drawn]:  # noqa: ANN401
    """Return codes and scales of a matrix. Scales give the values about the deviation of plain ones."""
    rows = packed.shape[0]
    _, deviation = distribution(f"{name}.weight", (rows, columns))
    mean = deviation / code_deviation(bits)
    codes = Drawn("I8" if bits == 8 else "U8", tuple(packed.shape), bits=bits)
    return codes, Drawn("F32", (rows, parts), mean, mean / 10)


def _range(name: str) -> Drawn:
    return Drawn("F32", (), *distribution(name, ()))
