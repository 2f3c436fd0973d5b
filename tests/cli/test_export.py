"""`gemtab export`: what it makes, and what it leaves alone."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.bundle.folder import check_files, read_manifest
from gemtab.checkpoint import Checkpoint, CheckpointWeights, adapted, load_spec
from gemtab.model.audio import audio_graph
from gemtab.model.text import text_graph
from gemtab.model.vision import vision_graph
from gemtab.quantize import DequantisedWeights
from tests.adapters import trained, trained_model
from tests.chat.gemma3 import write_chat_files
from tests.cli.conftest import Gemtab, edit_json
from tests.variants import load_transformers, variant

BITS = {"f32": (32.0, 32.1), "f16": (16.0, 16.3), "q8": (8.5, 9.2), "q4": (4.5, 5.2)}


@pytest.mark.parametrize("weights", BITS)
def test_a_bundle_is_whole(gemtab: Gemtab, tiny: Path, tmp_path: Path, weights: str) -> None:
    ended = gemtab("export", tiny, tmp_path / "out", "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)
    manifest = read_manifest(tmp_path / "out")
    check_files(tmp_path / "out", manifest)
    on_disk = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert set(manifest.files) == on_disk - {"gemtab.json"}
    assert manifest.weights == summary["weights"] == weights
    least, most = BITS[weights]
    assert least <= summary["bits_per_weight"] <= most


def test_the_table_at_the_end(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    out = gemtab("export", tiny, tmp_path / "out").out
    for words in ("bits a weight", "GPU memory", "dispatches a decoded token", "dispatches a prompt chunk", "parity"):
        assert words in " ".join(out.split())


def test_the_manifest_says_nothing_of_this_machine(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    gemtab("export", tiny, tmp_path / "out")
    text = (tmp_path / "out" / "gemtab.json").read_text()
    assert str(tiny) not in text
    assert read_manifest(tmp_path / "out").source.name == "tiny"


def test_the_licence_is_taken_from_the_readme(gemtab: Gemtab, checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# A model\n")
    gemtab("export", checkpoint, tmp_path / "out")
    assert read_manifest(tmp_path / "out").source.licence == "apache-2.0"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning", "ignore:.*tie_word_embed:UserWarning")
def test_adapters_are_merged_and_named(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    """The bundle's weights are those of checkpoint and adapter, and verify asks for the adapter by name."""
    adapter, out = trained(tiny, tmp_path / "fluent", 1, target_modules=r".*language_model.*q_proj"), tmp_path / "out"
    (adapter / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    options = ["--weights", "f32", "--inputs", "text"]
    ended = gemtab("export", tiny, out, *options, "--adapter", adapter)
    assert ended.code == 0, ended.err
    assert f"--adapter {adapter}" in " ".join(ended.out.split())
    assert read_manifest(out).source.adapters == ("fluent",)
    assert "fluent" in gemtab("inspect", out).out
    assert (out / "chat_template.jinja").read_text() == (adapter / "chat_template.jinja").read_text()
    note = "The chat template is from the adapter fluent."
    assert note in ended.out and f"| note | {note} |" in (out / "README.md").read_text()
    graph = text_graph(load_spec(out).text)
    weight = next(weight for weight in graph.weights() if weight.name == "layers.0.qkv")
    plain, merged = (
        CheckpointWeights(adapted(Checkpoint.open(tiny), adapters), load_spec(tiny)).read(weight)
        for adapters in ([], [adapter])
    )
    stored = BundleWeights(out, "f32").read(weight)
    assert torch.equal(stored, merged) and not torch.equal(stored, plain)
    ended = gemtab("verify", out, "--checkpoint", tiny)
    assert ended.code == 2 and "exported with the adapters fluent, not with no adapter" in " ".join(ended.err.split())
    ended = gemtab("verify", out, "--adapter", adapter)
    assert ended.code == 2 and "--adapter needs --checkpoint" in ended.err


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_an_adapters_head_and_vocabulary_are_in_the_bundle(gemtab: Gemtab, tmp_path: Path) -> None:
    """The config says what the tensors are, and all backends find them: an odd number of tokens among it."""
    base = variant("gemma3", tmp_path / "base", with_tokenizer=True)
    write_chat_files(base)
    model = load_transformers(base)
    model.resize_token_embeddings(model.config.vocab_size + 1, mean_resizing=False)
    adapter = trained_model(model, 1, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    adapter.save_pretrained(str(tmp_path / "grown"))
    out = tmp_path / "out"
    ended = gemtab("export", base, out, "--weights", "f32", "--context", "128", "--adapter", tmp_path / "grown")
    assert ended.code == 0, ended.err
    config = json.loads((out / "config.json").read_text())
    assert (config["vocab_size"], config["tie_word_embeddings"]) == (model.config.vocab_size, False)
    ended = gemtab("verify", out, "--checkpoint", base, "--adapter", tmp_path / "grown")
    assert ended.code == 0, ended.err


def test_config_json_states_the_graphs_for_transformers_js(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    gemtab("export", tiny, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == json.loads((tiny / "config.json").read_text())["model_type"]
    graphs = ("embed_tokens", "decoder_model_merged", "vision_encoder", "audio_encoder")
    assert config["transformers.js_config"]["dtype"] == dict.fromkeys(graphs, "q4")
    assert config["transformers.js_config"]["use_external_data_format"] == {f"{name}_q4.onnx": 1 for name in graphs}


def onnx_graphs(bundle: Path) -> set[str]:
    return {path.name.removesuffix("_q4.onnx") for path in bundle.glob("onnx/*.onnx")}


@pytest.mark.parametrize(
    ("wanted", "inputs", "towers"),
    [
        ([], ("text", "image", "video", "audio"), {"vision_encoder", "audio_encoder"}),
        (["--inputs", "text"], ("text",), set()),
        (["--inputs", "text,image"], ("text", "image"), {"vision_encoder"}),
        (["--inputs", "audio"], ("text", "audio"), {"audio_encoder"}),
    ],
)
def test_towers_that_nobody_asked_for_are_left_out(
    gemtab: Gemtab, tiny: Path, tmp_path: Path, wanted: list[str], inputs: tuple[str, ...], towers: set[str]
) -> None:
    assert gemtab("export", tiny, tmp_path / "out", *wanted).code == 0
    manifest = read_manifest(tmp_path / "out")
    assert manifest.inputs == inputs
    assert onnx_graphs(tmp_path / "out") == {"embed_tokens", "decoder_model_merged"} | towers
    assert ("processor_config.json" in manifest.files) == bool(towers)
    assert ("preprocessor_config.json" in manifest.files) == bool(towers)


def test_the_towers_weights_are_read_back_as_they_are_stored(tiny: Path, exported: Path) -> None:
    spec = load_spec(tiny)
    assert spec.vision and spec.audio
    stored = DequantisedWeights(CheckpointWeights(Checkpoint.open(tiny), spec), "q4")
    found = BundleWeights(exported, "q4")
    for graph in (vision_graph(spec.vision, spec.text), audio_graph(spec.audio, spec.text)):
        for weight in graph.weights():
            assert found.read(weight).equal(stored.read(weight)), weight.name


@pytest.mark.parametrize("wanted", ["text,smell", "text, image", ""])
def test_inputs_that_nothing_takes_are_wrong_use(gemtab: Gemtab, tiny: Path, tmp_path: Path, wanted: str) -> None:
    gemtab("export", tiny, tmp_path / "out", "--inputs", wanted).refused(2, "--inputs", "text, image, video, audio")
    assert not (tmp_path / "out").exists()


def test_inputs_that_this_model_does_not_take_are_wrong_use(gemtab: Gemtab, checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", audio_config=None)
    gemtab("export", checkpoint, tmp_path / "out", "--inputs", "audio").refused(2, "text, image, video", "'audio'")


def test_a_model_that_sees_says_where_its_processors_settings_are_from(
    gemtab: Gemtab, checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "processor_config.json").unlink()
    ended = gemtab("export", checkpoint, tmp_path / "out")
    assert ended.code == 0, ended.err
    note = "processor_config.json has no settings for image, video, audio: the published models' settings are used."
    assert note in " ".join(ended.out.split()) and "--inputs text" in ended.out
    assert note in " ".join(gemtab("inspect", tmp_path / "out").out.split())
    assert note in read_manifest(tmp_path / "out").notes[0]
    assert gemtab("export", checkpoint, tmp_path / "text", "--inputs", "text").code == 0
    assert read_manifest(tmp_path / "text").notes == ()


def test_what_is_printed_can_be_copied_into_a_shell(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "my [b]model & <co>", tmp_path / "it's $HOME"
    source.symlink_to(tiny)
    ended = gemtab("export", source, out)
    assert ended.code == 0, ended.err
    verify, serve = re.findall(r"`(.*?)`[,.]", ended.out.strip().splitlines()[-1])
    assert shlex.split(verify) == ["gemtab", "verify", str(out), "--checkpoint", str(source)]
    assert shlex.split(serve) == ["gemtab", "serve", str(out)]
    assert "my [b]model & <co>" in ended.out
    assert read_manifest(out).source.name == "my [b]model & <co>"
    assert "my [b]model & <co>" in gemtab("inspect", out).out
    printed = [shlex.split(line) for line in gemtab("publish", out).out.splitlines() if line.startswith("    ")]
    assert ["rsync", "-a", "--delete", f"{out}/", "user@host:/var/www/bundles/it's $HOME/"] in printed
    assert ["gemtab", "publish", str(out), "--to", "user/it-s-HOME"] in printed
    gemtab("inspect", tmp_path / "no [b]where").refused(2, "no [b]where")


def test_the_context_is_what_was_asked_for(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    gemtab("export", tiny, tmp_path / "out", "--context", "300")
    assert read_manifest(tmp_path / "out").context == 300
    plan = json.loads((tmp_path / "out" / "plan" / "f32.json").read_text())
    assert plan["context"] == 300


@pytest.mark.parametrize("context", ["0", "8193"])
def test_a_context_that_the_model_cannot_have_is_refused(
    gemtab: Gemtab, checkpoint: Path, tmp_path: Path, context: str
) -> None:
    edit_json(checkpoint / "config.json", text_config__max_position_embeddings=8192)
    gemtab("export", checkpoint, tmp_path / "out", "--context", context).refused(2, context, "8,192")


def test_an_unknown_weight_format_is_wrong_use(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    ended = gemtab("export", tiny, tmp_path / "out", "--weights", "q5")
    assert ended.code == 2
    assert "q5" in ended.err
    assert not (tmp_path / "out").exists()


def test_an_existing_bundle_is_kept_unless_forced(gemtab: Gemtab, tiny: Path, bundle: Path) -> None:
    before = (bundle / "gemtab.json").read_bytes()
    gemtab("export", tiny, bundle, "--weights", "q8").refused(8, str(bundle), "--force")
    assert (bundle / "gemtab.json").read_bytes() == before
    assert gemtab("export", tiny, bundle, "--weights", "q8", "--force").code == 0
    assert read_manifest(bundle).weights == "q8"
    assert not list(bundle.glob("onnx/*_q4*")), "files of the replaced bundle are left"
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_folder_that_is_no_bundle_is_never_replaced(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    gemtab("export", tiny, tmp_path / "out", "--force").refused(8, "is not a bundle")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_as_good_as_none(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert gemtab("export", tiny, tmp_path / "out").code == 0
    assert read_manifest(tmp_path / "out").weights == "q4"
