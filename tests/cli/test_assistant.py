"""A draft model's checkpoint on the command line: it is exported, and commands that need answers reject it."""

import json
from pathlib import Path
from typing import get_args

import pytest

from gemtab.backends.onnx.run import OnnxDraft
from gemtab.backends.reference import Reference
from gemtab.bundle.folder import check_files, read_manifest
from gemtab.bundle.manifest import Draft
from gemtab.card import CARD_NAME
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.model.draft import draft_graph
from gemtab.parity.tolerances import ACTIVATIONS
from gemtab.quantize import DequantisedWeights, PlainFormat
from gemtab.server.rerender import rerender
from tests.assistants import assistant, random_draft
from tests.cli.conftest import Gemtab, edit_json
from tests.variants import VOCABULARY

SUFFIXES: dict[PlainFormat, str] = {"f32": "", "f16": "_fp16", "q8": "_quantized", "q4": "_q4"}


@pytest.fixture(scope="session")
def drafter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assistant("centroids", tmp_path_factory.mktemp("assistant") / "drafter")


@pytest.fixture
def drafting_bundle(gemtab: Gemtab, drafter: Path, tmp_path: Path) -> Path:
    ended = gemtab("export", drafter, tmp_path / "bundle")
    assert ended.code == 0, ended.err
    return tmp_path / "bundle"


@pytest.mark.parametrize("weights", get_args(PlainFormat))
def test_an_export_computes_what_the_reference_does(
    gemtab: Gemtab, drafter: Path, tmp_path: Path, weights: PlainFormat
) -> None:
    ended = gemtab("export", drafter, tmp_path / "out", "--weights", weights)
    assert ended.code == 0, ended.err
    manifest = read_manifest(tmp_path / "out")
    check_files(tmp_path / "out", manifest)
    graph = f"onnx/draft_model{SUFFIXES[weights]}.onnx"
    assert set(manifest.files) == {CARD_NAME, "config.json", "generation_config.json", graph, f"{graph}_data"}
    assert (manifest.weights, manifest.plans) == (weights, ())
    assert manifest.draft == Draft(file=graph, target_hidden=160)

    spec, draft = load_spec(drafter), random_draft("centroids", 30)
    assert spec.assistant is not None
    stored = DequantisedWeights(CheckpointWeights(Checkpoint.open(drafter), spec), weights)
    expected = Reference(draft_graph(spec.text, spec.assistant), stored).run(draft.graph_inputs, draft.graph_caches)
    caches = {kind: (cache.k, cache.v) for kind, cache in draft.caches.items()}
    found = OnnxDraft(tmp_path / "out", weights).step(draft.inputs_embeds, draft.position, caches)
    for name, wanted in expected.items():
        assert float((found[name] - wanted).abs().max()) <= ACTIVATIONS["f32"].max


def test_the_table_at_the_end_says_whose_drafter_it_is(gemtab: Gemtab, drafter: Path, tmp_path: Path) -> None:
    out = " ".join(gemtab("export", drafter, tmp_path / "out").out.split())
    assert "model drafter (gemma4_assistant)" in out
    assert (
        "drafts for the model that it was trained with, of hidden size 160; it cannot answer without that model" in out
    )
    assert "verify" not in out and "serve" not in out


def test_a_drafter_that_does_not_say_how_much_to_draft(gemtab: Gemtab, tmp_path: Path) -> None:
    source = assistant("plain", tmp_path / "source")
    (source / "generation_config.json").unlink()
    assert gemtab("export", source, tmp_path / "out").code == 0
    assert "generation_config.json" not in read_manifest(tmp_path / "out").files


def test_config_json_states_the_graphs_for_transformers_js(drafting_bundle: Path) -> None:
    config = json.loads((drafting_bundle / "config.json").read_text())
    assert config["transformers.js_config"] == {
        "dtype": {"draft_model": "q4"},
        "use_external_data_format": {"draft_model_q4.onnx": 1},
    }
    assert load_spec(drafting_bundle).assistant is not None


def test_inspecting_the_bundle(gemtab: Gemtab, drafting_bundle: Path) -> None:
    assert "drafts for the model" in " ".join(gemtab("inspect", drafting_bundle).out.split())
    summary = json.loads(gemtab("inspect", drafting_bundle, "--json").out)
    assert summary["draft"] == {"file": "onnx/draft_model_q4.onnx", "target_hidden": 160}
    assert (summary["plans"], summary["memory"], summary["parity"]) == ([], [], None)
    assert 0 < summary["weight_bytes"] <= summary["sizes"]["weights"]


def test_inspecting_the_checkpoint(gemtab: Gemtab, drafter: Path) -> None:
    out = " ".join(gemtab("inspect", drafter).out.split())
    assert "4: 3 sliding, all with the target's KV" in out
    assert "of hidden size 160" in out and "a tab" not in out
    summary = json.loads(gemtab("inspect", drafter, "--json").out)
    assert (summary["layers_owning_kv"], summary["target_hidden"]) == (0, 160)
    # An entry of the ordering takes 4 bytes too, and so does a layer's own number; neither is a parameter.
    beside = VOCABULARY + summary["layers"]
    assert summary["export_bytes"]["f32"] == 4 * (summary["parameters"] + beside)


@pytest.mark.parametrize("command", [["run", "-p", "Hello"], ["verify"], ["inspect", "--fit", "8GB"]])
def test_a_request_for_an_answer_gets_advice(gemtab: Gemtab, drafting_bundle: Path, command: list[str]) -> None:
    name, *options = command
    ended = gemtab(name, drafting_bundle, *options)
    ended.refused(2, "has a draft model alone (drafter)", "cannot answer without it", "the bundle of the target model")


def test_a_manifest_with_neither_plan_nor_drafter_is_damaged(gemtab: Gemtab, drafting_bundle: Path) -> None:
    edit_json(drafting_bundle / "gemtab.json", draft=None)
    gemtab("run", drafting_bundle, "-p", "Hello").refused(4, "gemtab.json", "damaged", "neither a plan nor a draft")


def test_a_changed_shader_template_is_nothing_to_a_drafter(drafting_bundle: Path) -> None:
    assert rerender(drafting_bundle) == {}


def test_the_card_says_what_it_takes(drafting_bundle: Path) -> None:
    card = (drafting_bundle / CARD_NAME).read_text()
    for words in ("# drafter in ONNX", "onnx/draft_model_q4.onnx", "2 × 160", "its target"):
        assert words in card
    assert "gemtab-chat" not in card and "GPU" not in card and "webgpu" not in card


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--inputs", "text,image"], ["takes text", "'image'"]),
        (["--weights", "qat"], ["not pre-quantized"]),
        (["--context", "4096"], ["out of range", "2,048"]),
    ],
)
def test_options_that_a_draft_model_does_not_have(
    gemtab: Gemtab, drafter: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    gemtab("export", drafter, tmp_path / "out", *options).refused(2, *words)
