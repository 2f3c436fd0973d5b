"""`gemtab export`: what it makes, and what it leaves alone."""

import json
from pathlib import Path

import pytest

from gemtab.bundle.folder import check_files, read_manifest
from tests.cli.conftest import Gemtab, edit_json

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


def test_config_json_tells_transformers_js_what_there_is(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    gemtab("export", tiny, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == json.loads((tiny / "config.json").read_text())["model_type"]
    assert config["transformers.js_config"]["dtype"] == {"embed_tokens": "q4", "decoder_model_merged": "q4"}


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
