"""`gemtab inspect` and `gemtab verify`: what they print, and that they agree."""

import json
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.backends.webgpu.engine.device import Device
from gemtab.bundle.folder import check_files, load_plan, read_manifest
from gemtab.checkpoint import load_spec
from gemtab.cli import console
from gemtab.parity import extent
from gemtab.parity.extent import EXTENTS, choose_extent
from gemtab.parity.prompts import prompts
from gemtab.synth import published_config
from tests.cli.conftest import Gemtab, accept_changes
from tests.variants import variant

TINY_LAYERS = 8
MAX_DISPATCHES_A_LAYER = 12
"""One merges what the splits of attention left."""


def test_a_bundle(gemtab: Gemtab, exported: Path) -> None:
    out = " ".join(gemtab("inspect", exported).out.split())
    for words in ("bits a weight", "dispatches a decoded token", "dispatches a prompt chunk", "not verified yet"):
        assert words in out
    summary = json.loads(gemtab("inspect", exported, "--json").out)
    assert summary["kind"] == "bundle"
    assert [plan["weights"] for plan in summary["memory"]] == [summary["weight_bytes"]] * 2
    assert sum(summary["sizes"].values()) == sum(
        path.stat().st_size for path in exported.rglob("*") if path.is_file() and path.name != "gemtab.json"
    )


def test_dispatches(gemtab: Gemtab, exported: Path) -> None:
    plans = json.loads(gemtab("inspect", exported, "--json").out)["plans"]
    assert {plan["activation"] for plan in plans} == {"f32", "f16"}
    for plan in plans:
        decode, fill = plan["programs"]["decode"], plan["programs"]["fill"]
        assert decode["tokens"] == 1
        assert decode["longest_layer"] <= MAX_DISPATCHES_A_LAYER
        # Embeddings, their projection, the head and the sampler are the rest.
        assert decode["dispatches"] <= MAX_DISPATCHES_A_LAYER * TINY_LAYERS + 10
        # Half of the layers share another's KV, so prompt tokens skip them.
        assert fill["dispatches"] <= decode["dispatches"] / 2


def test_towers(gemtab: Gemtab, tmp_path: Path) -> None:
    source = variant("hearing", tmp_path / "hearing", with_tokenizer=True)
    assert gemtab("export", source, tmp_path / "bundle", "--weights", "q4", "--context", "512").code == 0
    out = " ".join(gemtab("inspect", tmp_path / "bundle").out.split())
    # Two layers of 18, two convolutions and four matrices and norms around them.
    assert "audio 42 dispatches an audio segment of 750 tokens, at most 18 a layer" in out
    (plan,) = json.loads(gemtab("inspect", tmp_path / "bundle", "--json").out)["towers"]["audio"]
    assert plan["programs"]["encode"]["dispatches"] == 42


def test_a_checkpoint(gemtab: Gemtab, tiny: Path) -> None:
    text = load_spec(tiny).text
    out = " ".join(gemtab("inspect", tiny).out.split())
    assert f"{len(text.layers)}: 6 sliding (window 64), 4 with their own KV" in out
    summary = json.loads(gemtab("inspect", tiny, "--json").out)
    assert summary["kind"] == "checkpoint"
    assert summary["layers"] == TINY_LAYERS
    sizes = summary["export_bytes"]
    # transformers' counts: 7,359,472 of all, 3,654,560 of the text stack, beside a number for each of 8 layers.
    assert (summary["parameters"], summary["text_parameters"]) == (7_359_472, 3_654_560)
    assert "7,359,472 parameters, 3,654,560 of them in the text stack" in out
    assert sizes["f32"] == 4 * (summary["text_parameters"] + TINY_LAYERS)
    assert sizes["f32"] > sizes["f16"] > sizes["q8"] > sizes["q4"] > summary["text_parameters"] / 2


PUBLISHED = {**published_config("31B"), "unsloth_fixed": True, "model_name": "unsloth/gemma-4-31B-it"}


@pytest.mark.parametrize("name", ["config.json", "gemma-4-31B-it.json"])
def test_a_config_without_weights(gemtab: Gemtab, name: str, tmp_path: Path) -> None:
    """By itself, whatever it is called, and as all that a folder has."""
    folder = tmp_path / "gemma-4-31B-it"
    folder.mkdir()
    (folder / name).write_text(json.dumps(PUBLISHED))
    for path in (folder / name, *([folder] if name == "config.json" else [])):
        ended = gemtab("inspect", path)
        assert ended.code == 0, ended.err
        assert "The weights are missing" in " ".join(ended.out.split())
        summary = json.loads(gemtab("inspect", path, "--json").out)
        assert (summary["name"], summary["model_type"], summary["layers"]) == ("gemma-4-31B-it", "gemma4", 60)
        assert round(summary["text_parameters"] / 1e9, 3) == 30.697
    gemtab("export", folder / name, tmp_path / "out").refused(3, name, "without weights")


def test_a_config_without_weights_is_checked(gemtab: Gemtab, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**PUBLISHED, "num_deepstack_layers": 3}))
    gemtab("inspect", path).refused(3, "num_deepstack_layers = 3")
    gemtab("inspect", tmp_path).refused(3, "num_deepstack_layers = 3")


def test_layers_without_end_are_refused_at_once(gemtab: Gemtab, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gemma4_text", "num_hidden_layers": 10**9}))
    gemtab("inspect", path).refused(3, "num_hidden_layers = 1000000000", "at most 1,000")


def test_leftovers_are_reported(gemtab: Gemtab, tmp_path: Path) -> None:
    folder = variant("shared_kv", tmp_path / "checkpoint")
    name = "model.language_model.layers.4.self_attn.k_proj.weight"
    tensors = {**load_file(folder / "model.safetensors"), name: torch.zeros(3)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert name in "".join(gemtab("inspect", folder).out.split())
    notes = json.loads(gemtab("inspect", folder, "--json").out)["notes"]
    (note,) = [one for one in notes if "no chat template" not in one]
    assert name in note


def test_something_else_is_wrong_use(gemtab: Gemtab, tmp_path: Path) -> None:
    gemtab("inspect", tmp_path).refused(2, "neither a bundle", "nor a checkpoint")
    gemtab("inspect", tmp_path / "nowhere").refused(2, "nowhere")


def test_verify_measures_every_backend(
    gemtab: Gemtab, bundle: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    ended = gemtab("verify", bundle, "--checkpoint", tiny, "--json")
    assert (ended.code, ended.err) == (0, "")
    report = json.loads(ended.out)
    assert report == json.loads((bundle / "parity.json").read_text())
    assert "parity.json" in read_manifest(bundle).files
    check_files(bundle, read_manifest(bundle))
    measured = {(one["backend"], one["against"]): one for one in report["comparisons"]}
    assert set(measured) == {
        *((backend, "stored weights") for backend in ("onnx", "webgpu f32", "webgpu f16")),
        *((backend, "checkpoint") for backend in ("reference", "onnx", "webgpu f32", "webgpu f16")),
    }
    # The ring of the sliding layers holds window + chunk rows; a prompt must wrap it.
    assert report["longest_prompt"] > 64 + 256
    # Keys and values come into the upper half of f16 by their scales, and never beyond a half of it.
    edge = report["f16_edge"]
    assert 0.01 < edge["share"] <= 0.5
    assert edge["cache"].startswith("kv.")
    # Four of text, one with an image and audio, one with a video.
    assert report["prompts"] == 6
    assert report["steps"] == 6 * 24
    assert report["extent"] == "full"
    assert report["media_tokens"] > 100
    graphs = {graph["file"]: graph["nodes"] for graph in report["onnx_graphs"]}
    assert set(graphs) == {file for file in read_manifest(bundle).files if file.endswith(".onnx")}
    for file, nodes in graphs.items():
        assert nodes == len(onnx.load(bundle / file, load_external_data=False).graph.node)
    for backend in ("onnx", "webgpu f32"):
        exact = measured[backend, "stored weights"]
        assert exact["max_error"] < 1e-3
        assert exact["kl"] < 1e-6
        assert exact["greedy_match"] == 1
        # Exact arithmetic on quantised weights is as far from the checkpoint as these weights are.
        quantised = measured["reference", "checkpoint"]
        assert abs(measured[backend, "checkpoint"]["kl"] - quantised["kl"]) < 1e-3 * max(1, quantised["kl"])
    assert measured["reference", "checkpoint"]["rms_error"] > 10 * measured["webgpu f32", "stored weights"]["rms_error"]

    shown = " ".join(gemtab("inspect", bundle).out.split())
    assert "Parity over" in shown
    assert f"ONNX: {len(graphs)} graphs with {sum(graphs.values()):,} nodes pass" in shown
    assert f"Largest number kept in f16: {edge['share']:.1%} of 65,504 ({edge['cache']})" in shown
    assert json.loads(gemtab("inspect", bundle, "--json").out)["parity"] == report


def test_verify_is_quick_if_asked(gemtab: Gemtab, bundle: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what it left out, there and in the model card; and meanwhile, without a terminal, what it is doing."""
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    ended = gemtab("verify", bundle, "--checkpoint", tiny, "--extent", "quick")
    assert ended.code == 0, ended.err
    report = json.loads((bundle / "parity.json").read_text())
    assert (report["extent"], report["prompts"], report["steps"]) == ("quick", 3, 12)
    assert report["longest_prompt"] < 64 + 256
    assert "Extent: quick. No prompt was longer than the sliding window." in " ".join(ended.out.split())
    assert "extent quick" in (bundle / "README.md").read_text()
    lines = ended.err.splitlines()
    assert lines[0] == "Checking the files"
    stages = ["WebGPU plan in f32", "WebGPU plan in f16", "ONNX graphs", "reference on the bundle's weights"]
    for number, stage in enumerate([*stages, "reference on the checkpoint"], 1):
        shares = [line for line in lines if line.startswith(f"Running the {stage} ({number} of 5): ")]
        assert shares[0].endswith(": 0 %")
        assert shares[-1].endswith(": 100 %")
        assert len(shares) > 10


def test_a_large_model_without_a_gpu_is_compared_less(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But on as many kinds of prompts, one of which still wraps the rings."""
    plan = load_plan(exported / "plan" / "f32.json")
    gpu, processor = (Device(None, frozenset(), "one", software) for software in (False, True))
    assert choose_extent("auto", plan, processor).name == "full"
    monkeypatch.setattr(extent, "LARGE_BYTES", 1 << 20)
    assert choose_extent("auto", plan, gpu).name == "full"
    assert choose_extent("full", plan, processor).name == "full"
    short = choose_extent("auto", plan, processor)
    assert (short.name, short.questions) == ("short", 3)
    manifest = read_manifest(exported)
    whole, shortened = (
        prompts(exported, manifest, each.long(plan), 500, each) for each in (EXTENTS["full"], EXTENTS["short"])
    )
    assert [len(prompt.items) for prompt in shortened] == [len(prompt.items) for prompt in whole] == [0, 0, 0, 0, 2, 2]
    assert 64 + 256 < max(len(prompt.ids) for prompt in shortened) < max(len(prompt.ids) for prompt in whole)
    assert all(entry.item.tokens <= 70 for prompt in shortened for entry in prompt.items)


def test_verify_says_that_media_do_not_fit(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    assert gemtab("export", tiny, tmp_path / "short", "--context", "96").code == 0
    ended = gemtab("verify", tmp_path / "short", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["media_tokens"] == 0
    assert "Towers were not compared" in " ".join(ended.err.split())


def test_verify_finds_a_wrong_shader(gemtab: Gemtab, bundle: Path) -> None:
    spoilt = [path for path in bundle.glob("shaders/add_norm*") if "inverseSqrt" in path.read_text()]
    assert spoilt, "no shader computes a norm with inverseSqrt"
    for path in spoilt:
        path.write_text(path.read_text().replace("inverseSqrt", "sqrt"))
    accept_changes(bundle, *(path.relative_to(bundle).as_posix() for path in spoilt))
    ended = gemtab("verify", bundle)
    ended.refused(6, "webgpu", "KL divergence")
    assert (bundle / "parity.json").is_file(), "the report of what is wrong is kept"
