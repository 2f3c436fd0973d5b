"""Sizes that kernels cannot take are refused by the config's key, before any weight is read."""

from pathlib import Path
from typing import Any

import pytest

from gemtab.backends.webgpu.fuse import fuse
from gemtab.checkpoint import load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.errors import CheckpointError
from gemtab.graph import GraphBuilder
from gemtab.synth import published_config
from tests.checkpoint.configs import assert_refused, write
from tests.checkpoint.published import GEMMA3
from tests.checkpoint.test_assistant import E2B as ASSISTANT
from tests.checkpoint.test_unread_keys import copy

FULL, SLIDING = "full_attention", "sliding_attention"


def changed(size: str, part: str, **keys: object) -> dict[str, Any]:
    config = copy(published_config(size))
    config[part].update(keys)
    return config


def rotated(factor: float) -> dict[str, Any]:
    rope = {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": factor}
    both = {SLIDING: {"rope_type": "default", "rope_theta": 1e4}, FULL: rope}
    return changed("E2B", "text_config", rope_parameters=both)


TEXT = [
    ("hidden_size", 1538),
    ("intermediate_size", 6146),
    ("intermediate_size", 6145),
    ("head_dim", 254),
    ("head_dim", 1028),
    ("global_head_dim", 510),
    ("hidden_size_per_layer_input", 254),
    ("num_hidden_layers", 10**9),
    ("num_attention_heads", 10**6),
    ("sliding_window", 2**31),
]
EXPERTS = [("moe_intermediate_size", 706), ("num_experts", 1025), ("top_k_experts", 65)]
VISION = [
    ("hidden_size", 770),
    ("intermediate_size", 3074),
    ("head_dim", 66),
    ("head_dim", 132),
    ("patch_size", 15),
    ("num_hidden_layers", 10**9),
]
AUDIO = [
    ("hidden_size", 1026),
    ("output_proj_dims", 1538),
    ("num_hidden_layers", 10**9),
    ("attention_context_left", 1026),
    ("subsampling_conv_channels", [100, 3]),
    ("subsampling_conv_channels", [128, 400]),
]

CONFIGS = [
    *((changed("E2B", "text_config", **{key: value}), key) for key, value in TEXT),
    *((changed("26B-A4B", "text_config", **{key: value}), key) for key, value in EXPERTS),
    *((changed("E2B", "vision_config", **{key: value}), key) for key, value in VISION),
    *((changed("E2B", "audio_config", **{key: value}), key) for key, value in AUDIO),
    (changed("12B", "vision_config", mm_embed_dim=3842, output_proj_dims=3842), "mm_embed_dim = 3842"),
    (changed("12B", "vision_config", patch_size=15, model_patch_size=45), "patch_size 15"),
    (changed("12B", "audio_config", audio_embed_dim=642), "audio_embed_dim = 642"),
    (changed("E2B", "text_config", vocab_size_per_layer_input=262_143), "vocab_size_per_layer_input = 262143"),
    (changed("E2B", "text_config", pad_token_id=262_144), "pad_token_id = 262144"),
    (rotated(0.003), "partial_rotary_factor = 0.003"),
    ({**GEMMA3["1B"], "intermediate_size": 6914}, "intermediate_size = 6914"),
    ({**GEMMA3["1B"], "head_dim": 258}, "head_dim = 258"),
    ({**GEMMA3["1B"], "hidden_size": 1154}, "hidden_size = 1154"),
    ({**GEMMA3["1B"], "num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000"),
    ({**ASSISTANT, "backbone_hidden_size": 1538}, "backbone_hidden_size = 1538"),
    ({**ASSISTANT, "text_config": {**ASSISTANT["text_config"], "intermediate_size": 2050}}, "intermediate_size = 2050"),
]


@pytest.mark.parametrize(("config", "named"), CONFIGS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_kernels_cannot_take_is_refused(config: dict[str, Any], named: str, tmp_path: Path) -> None:
    assert_refused(tmp_path, config, named)


def test_the_message_says_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"text_config\.intermediate_size = 102: expected a multiple of 4"):
        load_spec(write(tmp_path, changed("E2B", "text_config", intermediate_size=102)))


def test_a_larger_per_layer_table_is_fine() -> None:
    config = changed("E2B", "text_config", vocab_size_per_layer_input=262_400)
    assert parse_config(config, "config.json").text.per_layer_vocabulary == 262_400


def test_a_graph_with_ragged_rows_is_refused_whatever_made_it() -> None:
    b = GraphBuilder("ragged")
    x = b.input("x", ("T", 102))
    graph = b.finish(y=b.linear(x, b.weight("ragged", (8, 102), "matrix", "ragged.weight")))
    with pytest.raises(CheckpointError, match="ragged has rows of 102 numbers; expected a multiple of 4"):
        fuse(graph)
