"""Gemma 3's text configs -> ModelSpec, in the form of published ones and in that of transformers 5."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from gemtab.checkpoint import load_spec
from gemtab.errors import CheckpointError
from gemtab.model.spec import RopeSpec
from tests.checkpoint.published import GEMMA3


def write(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("name", "layers", "full", "heads", "window", "positions", "factor"),
    [
        ("270M", 18, [5, 11, 17], (4, 1), 512, 32_768, 1.0),
        ("1B", 26, [5, 11, 17, 23], (4, 1), 512, 32_768, 1.0),
        ("4B", 34, [5, 11, 17, 23, 29], (8, 4), 1024, 131_072, 8.0),
    ],
)
def test_published_models(
    name: str,
    layers: int,
    full: list[int],
    heads: tuple[int, int],
    window: int,
    positions: int,
    factor: float,
    tmp_path: Path,
) -> None:
    spec = load_spec(write(tmp_path, GEMMA3[name]))
    text = spec.text
    assert (spec.model_type, spec.text_prefix, spec.norm_offset) == ("gemma3_text", "model.", 1.0)
    assert (len(text.layers), text.max_positions, text.layer_scalars) == (layers, positions, False)
    assert [layer.index for layer in text.layers if layer.attention.kind == "full"] == full
    for layer in text.layers:
        a, is_full = layer.attention, layer.index in full
        assert (a.heads, a.kv_heads, a.head_size, a.scale, a.v_normed) == (*heads, 256, 256**-0.5, False)
        assert a.window == (None if is_full else window)
        assert a.rope == (RopeSpec(1e6, 128, factor) if is_full else RopeSpec(1e4, 128))
        assert layer.owns_kv


@pytest.mark.parametrize("name", GEMMA3)
def test_the_form_that_transformers_saves_means_the_same(name: str, tmp_path: Path) -> None:
    written = write(tmp_path / "published", GEMMA3[name])
    AutoConfig.from_pretrained(written).save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "rope_parameters" in saved and "rope_theta" not in saved
    assert load_spec(tmp_path / "saved") == load_spec(written)


@pytest.mark.parametrize(
    "scaling", [{"rope_type": "linear", "factor": 2.0}, {"rope_type": "linear", "factor": 3.0, "rope_theta": 5e5}]
)
@pytest.mark.parametrize(
    "saved", [{"rope_type": "default", "rope_theta": 1e6}, {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0}]
)
def test_a_scaling_that_is_added_to_a_saved_form_counts(saved: Any, scaling: Any, tmp_path: Path) -> None:
    """As people do to reach longer contexts."""
    both = {"rope_parameters": {"full_attention": saved}, "rope_scaling": scaling}
    folder = write(tmp_path, {"model_type": "gemma3_text", **both})
    wanted = AutoConfig.from_pretrained(folder).rope_parameters["full_attention"]
    rope = load_spec(folder).text.layers[5].attention.rope
    assert (rope.theta, rope.factor) == (wanted["rope_theta"], wanted["factor"])


def test_missing_keys_have_the_defaults_of_transformers(tmp_path: Path) -> None:
    folder = write(tmp_path, {"model_type": "gemma3_text"})
    config = AutoConfig.from_pretrained(folder)
    text = load_spec(folder).text
    assert (text.vocabulary, text.hidden, text.eps) == (config.vocab_size, config.hidden_size, config.rms_norm_eps)
    assert [f"{layer.attention.kind}_attention" for layer in text.layers] == config.layer_types
    first = text.layers[0].attention
    assert (first.window, first.scale) == (config.sliding_window, config.query_pre_attn_scalar**-0.5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping = 50.0"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention = True"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, "rope_scaling.rope_type = 'yarn'"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries, expected 18"),
        ({"num_key_value_heads": 3}, "4 heads and 3 KV heads"),
        ({"hidden_size_per_layer_input": 256}, "hidden_size_per_layer_input = 256 is not known"),
    ],
)
def test_what_is_unknown_is_rejected_and_named(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_spec(write(tmp_path, {**GEMMA3["270M"], **changes}))
    assert named in str(caught.value)
    assert "config.json" in str(caught.value)
