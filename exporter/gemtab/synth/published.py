"""The published models' config.json, from `published/<size>.json`, and smaller configs made from them."""

import json
from pathlib import Path
from typing import Any

from gemtab.errors import UsageError

SIZES = ("E2B", "E4B", "12B", "26B-A4B", "31B")

_FOLDER = Path(__file__).with_name("published")


def published_config(size: str, layers: int | None = None, experts: int | None = None) -> dict[str, Any]:
    """Return the config.json of a published size. layers: keep only this many layers of each stack. experts: keep only
    this many experts.

    Raises UsageError for an unknown size, and for more layers or experts than the model has.
    """
    if size not in SIZES:
        raise UsageError(f"There is no Gemma 4 {size!r}. The sizes are {', '.join(SIZES)}.")
    config: dict[str, Any] = json.loads((_FOLDER / f"{size}.json").read_text(encoding="utf-8"))
    if layers is not None:
        _keep_layers(config, size, layers)
    if experts is not None:
        _keep_experts(config["text_config"], size, experts)
    return config


def _keep_layers(config: dict[str, Any], size: str, layers: int) -> None:
    """Keep the first layers. The share of layers that share KV stays the same, as far as a full layer remains for them.
    As in transformers, the last layer is full."""
    text = config["text_config"]
    types = text["layer_types"]
    if not 1 <= layers <= len(types):
        raise UsageError(f"--layers {layers} is out of range: {size} has 1 to {len(types)} layers.")
    first_full = types.index("full_attention") + 1
    shared = text.get("num_kv_shared_layers", 0) * layers // len(types)
    text.update(
        num_hidden_layers=layers,
        layer_types=[*types[: layers - 1], "full_attention"],
        num_kv_shared_layers=max(0, min(shared, layers - first_full)),
    )
    for tower in (config.get("vision_config"), config.get("audio_config")):
        if tower and "num_hidden_layers" in tower:
            tower["num_hidden_layers"] = min(layers, tower["num_hidden_layers"])


def _keep_experts(text: dict[str, Any], size: str, experts: int) -> None:
    most = text.get("num_experts")
    if most is None:
        raise UsageError(f"--experts {experts}: {size} has no experts.")
    if not 1 <= experts <= most:
        raise UsageError(f"--experts {experts} is out of range: {size} has 1 to {most} experts.")
    text.update(num_experts=experts, top_k_experts=min(experts, text["top_k_experts"]))
