"""Checkpoints of codes, as Gemma's quantisation-aware training for mobile devices leaves E2B and E4B."""

from typing import TYPE_CHECKING, Any

from gemtab.checkpoint.codes import RANGE, TABLE_CODES
from gemtab.errors import UsageError
from gemtab.synth.draw import Drawn, code_deviation, distribution

if TYPE_CHECKING:
    from torch import nn

MOBILE_SIZES = ("E2B", "E4B")

_TOWERS = ["model.vision_tower", "model.audio_tower", "model.embed_vision", "model.embed_audio"]

_ADDED = ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight", "post_per_layer_input_norm.weight")
"""The ends of the names of the norms that scale what a layer adds to the residual."""

_SHARE = 0.25
"""What all layers together add to the residual, beside the embedding's 1. Were it many times as much, as in plain
random models, an activation that falls to the other side of an edge by a difference in the last place would change all
that follows beyond recognition, which it does not in a trained model."""


def as_mobile(config: dict[str, Any], size: str) -> dict[str, Any]:
    """The config of a published size, told to be codes: 2 bits for tokens, head and the MLPs of layers that share keys
    and values, 8 for what the per-layer embeddings pass through, 4 for the rest of the text stack; towers stay plain.

    Raises UsageError for a size that there is not in codes.
    """
    if size not in MOBILE_SIZES:
        raise UsageError(
            f"--qat: there are codes for mobile devices of {' and '.join(MOBILE_SIZES)} only, not of {size}."
        )
    text = config["text_config"]
    layers = text["num_hidden_layers"]
    sharing = "|".join(map(str, range(layers - text["num_kv_shared_layers"], layers)))
    patterns = {r"per_layer_(input_gate|projection|model_projection)": 8, r"lm_head|embed_tokens$": 2}
    if sharing:
        patterns[rf"layers\.({sharing})\.mlp\."] = 2
    return {
        **config,
        # transformers has no tied head where the embeddings are codes.
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
    """Gives the model transformers' layers of codes in the place of its own."""
    from transformers import GemmaQuantizationConfig
    from transformers.integrations.gemma_quant import replace_with_quant_layers

    config = GemmaQuantizationConfig(**quantization)
    replace_with_quant_layers(model, config, config.modules_to_not_convert)


def drawn_codes(model: "nn.Module", layers: int) -> dict[str, Drawn]:
    """What a model of codes has otherwise than a plain one, by name: the tensors of all layers of codes, where of the
    per-layer table there is a scale for each layer's part, and what scales a layer's share of the residual."""
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
    """Codes and scales of a matrix; a row's scale lies about what gives its values the deviation of plain ones."""
    rows = packed.shape[0]
    _, deviation = distribution(f"{name}.weight", (rows, columns))
    mean = deviation / code_deviation(bits)
    codes = Drawn("I8" if bits == 8 else "U8", tuple(packed.shape), bits=bits)
    return codes, Drawn("F32", (rows, parts), mean, mean / 10)


def _range(name: str) -> Drawn:
    return Drawn("F32", (), *distribution(name, ()))
