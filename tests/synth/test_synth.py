"""`gemtab synth`: random checkpoints that are in everything but their values what a published size is."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from gemtab.bundle.folder import read_manifest
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.errors import OutputError, UsageError
from gemtab.export import export_bundle
from gemtab.graph import Weight
from gemtab.media.audio_rules import audio_rules
from gemtab.media.rules import image_rules
from gemtab.model.text import text_graph
from gemtab.model.towers import tower_graphs
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import TRANSFORMERS_MAX
from gemtab.synth import SIZES, published_config, synthesise, write_checkpoint
from gemtab.synth.draw import code_deviation, distribution, draw, plain
from gemtab.synth.mobile import MOBILE_SIZES, as_mobile
from gemtab.synth.tokenizer import write_chat_files
from gemtab.synth.write import tensors_of
from tests.checkpoint.published import keep_tokens
from tests.coded import load_coded
from tests.silent import Silent
from tests.variants import load_transformers, transformers_logits

# Billions of parameters of the text stacks, and of the 12B in all, as published.
TEXT_PARAMETERS = {"E2B": 4.629, "E4B": 7.463, "26B-A4B": 25.233, "31B": 30.697}


def small_config(size: str) -> dict[str, Any]:
    """The size's architecture, narrow enough for a test: 2,048 tokens, 4 layers."""
    config = published_config(size, layers=4, experts=8 if size == "26B-A4B" else None)
    keep_tokens(config, 2048)
    config["text_config"].update(
        hidden_size=96, intermediate_size=160, head_dim=32, global_head_dim=64, sliding_window=64
    )
    if size in ("E2B", "E4B"):
        config["text_config"].update(hidden_size_per_layer_input=32)
        config["text_config"]["layer_types"][1] = "full_attention"
        config["audio_config"].update(hidden_size=64, output_proj_dims=48, num_attention_heads=2)
    if size == "26B-A4B":
        config["text_config"].update(moe_intermediate_size=64)
    if size == "12B":
        config["vision_config"].update(mm_embed_dim=96, output_proj_dims=96)
    else:
        sizes = {"hidden_size": 64, "intermediate_size": 112, "num_attention_heads": 2, "num_key_value_heads": 2}
        config["vision_config"].update(sizes, head_dim=32, global_head_dim=32, position_embedding_size=256)
    return config


def write_small(size: str, folder: Path, shard_bytes: int = 1 << 20, qat: bool = False) -> Path:
    folder.mkdir()
    config = as_mobile(small_config(size), size) if qat else small_config(size)
    write_checkpoint(config, tensors_of(config), folder, lambda _: None, shard_bytes)
    write_chat_files(folder, config)
    return folder


def weights_of(spec: Any) -> list[Weight]:
    return [weight for graph in (text_graph(spec.text), *tower_graphs(spec).values()) for weight in graph.weights()]


@pytest.mark.parametrize("size", SIZES)
def test_the_true_shapes_hold_every_tensor_that_an_export_reads(size: str) -> None:
    config = published_config(size)
    tensors, spec = tensors_of(config), parse_config(config, size)
    for weight in weights_of(spec):
        read = sum(prod(tensors[spec.tensor_name(source)].shape) for source in weight.sources)
        assert read == prod(weight.shape), weight.name
    if size == "12B":
        assert round(sum(prod(tensor.shape) for tensor in tensors.values()) / 1e9, 3) == 11.960
    else:
        held = sum(prod(weight.shape) for weight in text_graph(spec.text).weights())
        assert round(held / 1e9, 3) == TEXT_PARAMETERS[size]


@pytest.mark.parametrize("size", SIZES)
def test_transformers_and_gemtab_take_what_is_written(size: str, tmp_path: Path) -> None:
    folder = write_small(size, tmp_path / size)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    spec = load_spec(folder)
    CheckpointWeights(Checkpoint.open(folder), spec).check(weights_of(spec))
    logits = transformers_logits(load_transformers(folder), [2, 105, 300, 400, 106, 700])
    assert torch.isfinite(logits).all()
    # Neither flat nor all at the cap of 30, and each token gives others.
    assert 0.5 < float(logits.std()) < 15
    assert float((logits[2] - logits[3]).std()) > 0.3


@pytest.mark.parametrize("size", SIZES)
def test_processors_and_tokenizer_fit_the_model(size: str, tmp_path: Path) -> None:
    config = small_config(size)
    write_chat_files(tmp_path, config)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == config["text_config"]["vocab_size"]
    assert tokenizer.token_to_id("<|image|>") == config["image_token_id"]
    processor = json.loads((tmp_path / "processor_config.json").read_text())
    assert image_rules(processor).merged == (size == "12B")
    assert image_rules(processor).max_soft_tokens == 280
    assert isinstance(audio_rules(processor).frames, int) == (size == "12B")


def test_the_tokenizer_has_262144_entries_and_the_published_ids(tmp_path: Path) -> None:
    write_chat_files(tmp_path, published_config("E2B"))
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 262_144
    assert sorted(tokenizer.get_vocab().values()) == list(range(262_144))
    ids = {"<|turn>": 105, "<turn|>": 106, "<|image|>": 258_880, "<|audio|>": 258_881, "<|video|>": 258_884}
    assert {token: tokenizer.token_to_id(token) for token in ids} == ids
    text = "What is the tallest mountain, and who climbed it? Ü 山"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [1, 106, 50]


def test_an_export_takes_it(tmp_path: Path) -> None:
    folder = write_small("E2B", tmp_path / "E2B")
    export_bundle(folder, tmp_path / "out", "q4", context=256, force=False, progress=Silent())
    assert read_manifest(tmp_path / "out").inputs == ("text", "image", "video", "audio")


@pytest.mark.parametrize("size", MOBILE_SIZES)
def test_transformers_and_gemtab_take_the_codes_that_are_written(size: str, tmp_path: Path) -> None:
    folder = write_small(size, tmp_path / size, qat=True)
    spec = load_spec(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), spec)
    weights.check(weights_of(spec))
    assert {weight.bits for weight in text_graph(spec.text).weights() if weight.role in ("matrix", "table")} == {
        2,
        4,
        8,
    }
    ids = [2, 105, 300, 400, 106, 700]
    logits = transformers_logits(load_coded(folder), ids)
    assert 0.5 < float(logits.std()) < 15
    assert float((logits[2] - logits[3]).std()) > 0.3
    # Most values are on no edge of a rounding, and are then the same.
    moved = (ReferenceText(spec.text, weights).logits(ids) - logits).abs() > TRANSFORMERS_MAX
    assert float(moved.float().mean()) < 0.25
    export_bundle(folder, tmp_path / "out", None, context=256, force=False, progress=Silent())
    assert read_manifest(tmp_path / "out").weights == "qat"


def test_codes_are_packed_and_stand_for_what_was_asked_for() -> None:
    tensors = tensors_of(as_mobile(published_config("E2B"), "E2B"))
    assert round(sum(tensor.bytes for name, tensor in tensors.items() if "tower" not in name) / 1e9, 2) == 2.10
    module = "model.language_model.layers.20.mlp.down_proj"
    codes, scales = tensors[f"{module}.weight"], tensors[f"{module}.weight_scale"]
    assert (codes.bits, codes.shape, scales.shape) == (2, (1536, 12_288 // 4), (1536, 1))
    assert tensors["model.language_model.embed_tokens_per_layer.embedding_scale"].shape == (262_144, 35)
    drawn = torch.from_numpy(np.concatenate(list(draw(module, codes))))
    values = torch.stack([drawn >> 2 * index & 3 for index in range(4)]).double() - 2
    assert set(values.flatten().tolist()) == {-2, -1, 0, 1}
    # Nineteen million values: their mean is known to deviation / 4,000.
    assert abs(float(values.mean())) < 1e-3
    assert float(values.std()) == pytest.approx(code_deviation(2), rel=1e-3)
    assert scales.mean * code_deviation(2) == pytest.approx(12_288**-0.5)


def test_there_are_codes_of_the_small_sizes_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only E2B and E4B are pre-quantized for mobile devices, not 12B"):
        synthesise("12B", tmp_path / "out", None, None, lambda *_: None, lambda _: None, qat=True)


def test_values_have_the_mean_and_deviation_that_was_asked_for() -> None:
    name, shape = "model.language_model.layers.0.mlp.down_proj.weight", (1024, 4096)
    mean, deviation = distribution(name, shape)
    bits = np.concatenate(list(draw(name, plain(name, shape))))
    values = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).double()
    assert len(values) == prod(shape) and (mean, deviation) == (0.0, 1 / 64)
    # Four million values: the mean is known to deviation / 2,000, the deviation to 1 part in 3,000, bf16 to 1 in 256.
    assert abs(float(values.mean())) < 5 * deviation / 2000
    assert float(values.std()) == pytest.approx(deviation, rel=2e-3)


def test_fewer_layers_and_experts() -> None:
    text = published_config("E2B", layers=10)["text_config"]
    assert (text["num_hidden_layers"], len(text["layer_types"]), text["num_kv_shared_layers"]) == (10, 10, 5)
    for layers in range(1, 36):
        parse_config(published_config("E2B", layers=layers), "E2B")
    moe = published_config("26B-A4B", experts=4)["text_config"]
    assert (moe["num_experts"], moe["top_k_experts"]) == (4, 4)


@pytest.mark.parametrize(
    ("size", "layers", "experts", "words"),
    [
        ("27B", None, None, "E2B, E4B, 12B"),
        ("E2B", 36, None, "1 to 35 layers"),
        ("E2B", 0, None, "1 to 35 layers"),
        ("E2B", None, 4, "has no experts"),
        ("26B-A4B", None, 129, "1 to 128 experts"),
    ],
)
def test_what_a_size_does_not_have_is_refused(size: str, layers: int | None, experts: int | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        published_config(size, layers, experts)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty"):
        synthesise("E2B", tmp_path, None, None, lambda *_: None, lambda _: None)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A model of as many layers as no disk takes: what the disk has is asked for real.
    monkeypatch.setattr("gemtab.synth.write._bytes", lambda tensors: 10**15 * len(tensors))
    with pytest.raises(OutputError, match="free"):
        synthesise("E2B", tmp_path / "out", None, None, lambda *_: None, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_has_the_published_keys_and_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemtab.synth.write.published_config", lambda size, *_: small_config(size))
    synthesise("E4B", tmp_path / "out", None, None, lambda *_: None, lambda _: None)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {"eoa_token_id", "vision_soft_tokens_per_image", "transformers_version"} <= config.keys()
    assert {"expert_intermediate_size", "use_cache", "vocab_size_per_layer_input"} <= config["text_config"].keys()
    assert {"default_output_length", "global_head_dim", "is_encoder_decoder"} <= config["vision_config"].keys()
    assert {"id2label", "gradient_clipping", "return_dict"} <= config["audio_config"].keys()
