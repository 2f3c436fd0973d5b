"""A Gemma 3 text model through the commands: exported, verified, and answering by its own template."""

import json
from pathlib import Path

import pytest
import torch

from gemtab.chat import ChatTemplate, ChatTokenizer
from gemtab.parity.tolerances import ACTIVATIONS
from tests.chat.gemma3 import write_chat_files
from tests.cli.conftest import Gemtab
from tests.variants import load_transformers, variant

QUESTION = "Hello! What is your name?"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = variant("gemma3", tmp_path_factory.mktemp("checkpoint"), with_tokenizer=True)
    write_chat_files(folder)
    (folder / "processor_config.json").unlink()
    return folder


def test_it_answers_as_transformers_does(gemtab: Gemtab, source: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    assert gemtab("export", source, bundle, "--weights", "f32", "--context", "256").code == 0
    rendered = ChatTemplate(bundle).render([{"role": "user", "content": QUESTION}])
    assert rendered == f"<bos><start_of_turn>user\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n"
    tokenizer = ChatTokenizer(bundle)
    ids = tokenizer.encode(rendered)
    markers = 5  # <bos>, two <start_of_turn>, <end_of_turn> and the line break after it
    assert len(ids) == markers + len(tokenizer.encode("user\n" + QUESTION)) + len(tokenizer.encode("model\n"))
    answer = gemtab("run", bundle, "-p", QUESTION, "--max-tokens", "12")
    assert answer.code == 0, answer.err
    assert answer.out == tokenizer.decode(continued(source, ids, 12)) + "\n"


def continued(source: Path, ids: list[int], steps: int) -> list[int]:
    """Return transformers' greedy continuation of ids."""
    model, found = load_transformers(source), list(ids)
    with torch.inference_mode():
        for _ in range(steps):
            found.append(int(model(input_ids=torch.tensor([found])).logits[0, -1].argmax()))
    return found[len(ids) :]


def test_it_is_verified_against_its_checkpoint(gemtab: Gemtab, source: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    assert gemtab("export", source, bundle, "--weights", "f32", "--context", "512").code == 0
    ended = gemtab("verify", bundle, "--checkpoint", source, "--json")
    assert ended.code == 0, ended.err
    comparisons = json.loads(ended.out)["comparisons"]
    assert {one["backend"] for one in comparisons} >= {"reference", "onnx", "webgpu f32"}
    for one in comparisons:
        assert one["kl"] <= ACTIVATIONS["f16" if one["backend"] == "webgpu f16" else "f32"].kl
