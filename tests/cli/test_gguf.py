"""A GGUF file through the commands: inspected, exported, verified, and answering as the checkpoint that it was made
of."""

import json
from pathlib import Path

import pytest

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.bundle.folder import check_files, read_manifest
from gemtab.checkpoint import open_checkpoint
from gemtab.model.text import text_graph
from gemtab.parity.tolerances import ACTIVATIONS
from tests.chat.gemma3 import write_chat_files
from tests.checkpoint.gguf_files import F32, Q4_0, scale_by_head_size, write_gguf
from tests.cli.conftest import Gemtab
from tests.variants import variant

QUESTION = "Hello! What is your name?"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = variant("gemma3", tmp_path_factory.mktemp("checkpoint"), with_tokenizer=True)
    write_chat_files(folder)
    scale_by_head_size(folder)
    return folder


@pytest.fixture(scope="module")
def file(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(source, tmp_path_factory.mktemp("gguf") / "small-gemma.gguf", F32)


def test_inspect(gemtab: Gemtab, file: Path, source: Path) -> None:
    found, wanted = (json.loads(gemtab("inspect", path, "--json").out) for path in (file, source))
    assert found == {**wanted, "name": "small-gemma"}


def test_it_answers_as_its_checkpoint_does(gemtab: Gemtab, file: Path, source: Path, tmp_path: Path) -> None:
    answers = []
    for path in (file, source):
        bundle = tmp_path / path.stem
        ended = gemtab("export", path, bundle, "--weights", "f32", "--context", "512")
        assert ended.code == 0, ended.err
        answers.append(gemtab("run", bundle, "-p", QUESTION, "--max-tokens", "12").out)
    assert answers[0] == answers[1]
    assert len(answers[0]) > 5
    manifest = read_manifest(tmp_path / "small-gemma")
    check_files(tmp_path / "small-gemma", manifest)
    assert (manifest.source.name, manifest.source.licence) == ("small-gemma", "apache-2.0")


def test_verify_knows_the_file(gemtab: Gemtab, file: Path, tmp_path: Path) -> None:
    assert gemtab("export", file, tmp_path / "out", "--weights", "f32", "--context", "512").code == 0
    ended = gemtab("verify", tmp_path / "out", "--checkpoint", file, "--json")
    assert ended.code == 0, ended.err
    against = [one for one in json.loads(ended.out)["comparisons"] if one["against"] == "checkpoint"]
    assert [one["backend"] for one in against][:2] == ["reference", "webgpu f32"]
    assert all(one["kl"] <= ACTIVATIONS["f32"].kl for one in against[:2])


def test_q4_0_is_the_file_to_the_last_bit(gemtab: Gemtab, tmp_path: Path) -> None:
    """Gemma 4, in the bundle's own files: every matrix and table is what the GGUF's codes and scales stand for."""
    folder = variant("everything", tmp_path / "checkpoint", with_tokenizer=True)
    path = write_gguf(folder, tmp_path / "model.gguf", Q4_0)
    ended = gemtab("export", path, tmp_path / "out", "--weights", "q4", "--context", "512")
    assert ended.code == 0, ended.err
    opened, stored = open_checkpoint(path), BundleWeights(tmp_path / "out", "q4")
    for weight in text_graph(opened.spec.text).weights():
        wanted = [opened.tensors.read(opened.spec.tensor_name(source)) for source in weight.sources]
        start = 0
        for part in wanted:
            found = stored.read_rows(weight, start, start + len(part))
            assert (found == part).all(), weight.name
            start += len(part)


def test_a_model_without_a_template_continues_what_is_written(gemtab: Gemtab, source: Path, tmp_path: Path) -> None:
    path = write_gguf(source, tmp_path / "base.gguf", F32, **{"tokenizer.chat_template": None})
    assert gemtab("export", path, tmp_path / "out", "--context", "256").code == 0
    result = gemtab("run", tmp_path / "out", "-p", "Hello", "--max-tokens", "2")
    assert result.code == 0, result.err
    hello = 2  # <bos>, and the word
    assert f"prompt {hello} tokens" in result.err


def test_what_is_no_gguf_is_refused(gemtab: Gemtab, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGML" + bytes(100))
    for command in (["export", tmp_path / "model.gguf", tmp_path / "out"], ["inspect", tmp_path / "model.gguf"]):
        gemtab(*command).refused(3, "model.gguf", "104 bytes", "GGUF magic invalid")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
