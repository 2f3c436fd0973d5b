"""Reject quantized checkpoints that gemtab does not read, with the program that made them and an alternative."""

from collections.abc import Mapping
from typing import Any

from gemtab.errors import CheckpointError

PROGRAMS = {
    "aqlm": "AQLM",
    "auto-round": "AutoRound",
    "awq": "AWQ",
    "bitnet": "BitNet",
    "bitsandbytes": "bitsandbytes",
    "eetq": "EETQ",
    "fbgemm_fp8": "FBGEMM (fp8)",
    "fp8": "fp8 in blocks",
    "fp_quant": "FP-Quant",
    "gptq": "GPTQ",
    "higgs": "HIGGS",
    "hqq": "HQQ",
    "mlx": "MLX",
    "modelopt": "NVIDIA ModelOpt",
    "mxfp4": "MXFP4",
    "quanto": "quanto",
    "quark": "AMD Quark",
    "spqr": "SpQR",
    "torchao": "torchao",
    "vptq": "VPTQ",
}
"""Names of programs by quant_method of quantization_config."""

_DEQUANTISED = ("bitsandbytes", "mxfp4")
"""Methods whose models transformers can dequantize."""


def quantisation(config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quantization settings of the whole model or of its text stack; empty where config.json has none."""
    found = config.get("quantization_config") or text.get("quantization_config") or _mlx(config)
    return found if isinstance(found, dict) else {"quant_method": str(found)} if found else {}


def method_of(found: Mapping[str, Any]) -> str | None:
    """Return the quant_method. Older files of bitsandbytes and MLX do not name it: their own keys decide."""
    method = found.get("quant_method")
    if method is None and (found.get("load_in_4bit") or found.get("load_in_8bit")):
        return "bitsandbytes"
    return "mlx" if method is None and {"bits", "group_size"} <= found.keys() else method


def refusal(method: str | None, model_type: str, where: str) -> CheckpointError:
    """Return the error for weights of this method."""
    name = next((each for each in PROGRAMS if method is not None and each in method.lower()), None)
    if name is None:
        return CheckpointError(
            f"{where}: quantization_config (quant_method {method!r}) is not supported for {model_type}. "
            "Export the unquantized checkpoint and choose a format with --weights."
        )
    by_hand = (
        " If there is none, load this one with transformers, call dequantize() and write it with save_pretrained."
        if name in _DEQUANTISED
        else ""
    )
    return CheckpointError(
        f"{where}: the weights are quantized by {PROGRAMS[name]} (quantization_config, quant_method {method!r}), and "
        "gemtab does not read its files. Export the original model in bf16 or f32, and choose a format with --weights; "
        f"name an adapter that was trained on this model by --adapter.{by_hand} If the weights are not quantized after "
        "all, remove quantization_config."
    )


def _mlx(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return MLX's settings, which are under a key of their own."""
    found = config.get("quantization")
    return found if isinstance(found, dict) and "bits" in found else None
