"""Why a quantised checkpoint is refused: which program quantised it, and where the values can be had instead."""

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
"""By quant_method of quantization_config."""

_DEQUANTISED = ("bitsandbytes", "mxfp4")
"""Methods whose models transformers turns back into values."""


def quantisation(config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of the quantisation of the whole model or of its text stack; empty where it says
    nothing."""
    found = config.get("quantization_config") or text.get("quantization_config") or _mlx(config)
    return found if isinstance(found, dict) else {"quant_method": str(found)} if found else {}


def method_of(found: Mapping[str, Any]) -> str | None:
    """The quant_method; that of bitsandbytes and MLX by their own keys, since older files of theirs do not name it."""
    method = found.get("quant_method")
    if method is None and (found.get("load_in_4bit") or found.get("load_in_8bit")):
        return "bitsandbytes"
    return "mlx" if method is None and {"bits", "group_size"} <= found.keys() else method


def refusal(method: str | None, model_type: str, where: str) -> CheckpointError:
    """The error for weights of this method."""
    name = next((each for each in PROGRAMS if method is not None and each in method.lower()), None)
    if name is None:
        return CheckpointError(
            f"{where}: quantization_config (quant_method {method!r}) is not supported for {model_type}. "
            "Export the checkpoint's unquantised form and choose a format with --weights."
        )
    by_hand = (
        " Where there is none, load this one with transformers, call dequantize() and write it with save_pretrained."
        if name in _DEQUANTISED
        else ""
    )
    return CheckpointError(
        f"{where}: the weights are quantised by {PROGRAMS[name]} (quantization_config, quant_method {method!r}), whose "
        "files gemtab does not read. Export the model that they were made of, in bf16 or f32, and choose a format with "
        f"--weights; name an adapter that was trained on this one by --adapter.{by_hand} If the weights are not "
        "quantised after all, remove quantization_config."
    )


def _mlx(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """MLX has a key of its own beside the usual one."""
    found = config.get("quantization")
    return found if isinstance(found, dict) and "bits" in found else None
