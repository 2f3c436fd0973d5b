"""Template and tokenizer of a bundle in a process of their own, which ends what does not end by itself."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gemtab.chat import prompt_process
from gemtab.chat.media import Item, Medium
from gemtab.chat.prompt_process import PromptProcess
from gemtab.chat.prompt_writer import PromptWriter
from gemtab.errors import BundleError, GemtabError, UsageError
from tests.variants import TINY

HELLO = [{"role": "user", "content": "Hello <turn|> \ud800!"}]


@pytest.fixture(scope="module")
def process() -> Iterator[PromptProcess]:
    made = PromptProcess(TINY)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tiny's files of a chat, to be spoilt."""
    for name in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(TINY / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("trusted", [False, True])
def test_it_writes_what_a_writer_does(process: PromptProcess, trusted: bool) -> None:
    image = Medium("image", (Item("image", "a", 3, dict),))
    video = Medium("video", (Item("image", "b", 2, dict), Item("audio", "c", 1, dict)), ("00:01",))
    parts = [{"type": "image", "medium": image}, {"type": "text", "text": "See"}, {"type": "video", "medium": video}]
    for messages, media in ((HELLO, []), ([{"role": "user", "content": parts}], [image, video])):
        expected = PromptWriter(TINY).prompt(messages, media, trusted=trusted, thinking=True)
        assert process.prompt(messages, media, trusted=trusted, thinking=True) == expected


def test_pieces_are_the_tokenizers(process: PromptProcess) -> None:
    writer = PromptWriter(TINY)
    assert [process.piece(number) for number in range(300)] == [writer.piece(number) for number in range(300)]


def test_errors_keep_their_types(process: PromptProcess) -> None:
    with pytest.raises(UsageError, match="placeholders"):
        process.prompt(HELLO, [Medium("image", (Item("image", "a", 3, dict),))], trusted=True)
    assert process.prompt(HELLO, []).ids


TEMPLATES = {
    "doubling": "{% set n = namespace(x='x' * 1000) %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "endless": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "growing": "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
    "deep": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "nested": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "raising": "{{ raise_exception('x' * 1000000) }}",
    "silent": "{# nothing #}",
    "dividing": "{{ 1 // 0 }}",
    "powers": "{{ 9 ** (9 ** 9) }}",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_without_bounds_is_refused(folder: Path, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_process, "CALL_SECONDS", 2.0)
    monkeypatch.setattr(prompt_process, "LOAD_SECONDS", 6.0)
    monkeypatch.setattr(prompt_process, "MEMORY_BYTES", 1 << 30)
    (folder / "chat_template.jinja").write_text(TEMPLATES[template])
    process, began = PromptProcess(folder), time.monotonic()
    with pytest.raises(BundleError) as error:
        process.prompt(HELLO, [], trusted=True)
    assert len(str(error.value)) < 800
    assert time.monotonic() - began < 30
    process.close()


def greedy(tokenizer: Any) -> None:
    replaced = {"type": "Replace", "pattern": {"Regex": "(?=.)"}, "content": "x" * 10_000_000}
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [replaced, tokenizer["normalizer"]]}


def nothing(tokenizer: Any) -> None:
    tokenizer.clear()


def another_model(tokenizer: Any) -> None:
    tokenizer["model"] = {"type": "WordLevel", "vocab": {}, "unk_token": "?"}


@pytest.mark.parametrize("spoil", [greedy, nothing, another_model], ids=lambda spoil: spoil.__name__)
def test_a_tokenizer_that_cannot_be_used_is_refused(folder: Path, spoil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_process, "CALL_SECONDS", 5.0)
    monkeypatch.setattr(prompt_process, "MEMORY_BYTES", 1 << 30)
    content = json.loads((folder / "tokenizer.json").read_text())
    spoil(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    process = PromptProcess(folder)
    with pytest.raises(GemtabError):
        process.prompt([{"role": "user", "content": "a b c d e f " * 100}], [])
    process.close()


def test_after_a_failure_the_next_prompt_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_process, "CALL_SECONDS", 1.0)
    template = folder / "chat_template.jinja"
    whole = template.read_text()
    template.write_text(TEMPLATES["endless"])
    process = PromptProcess(folder)
    with pytest.raises(BundleError, match="within 1 s"):
        process.prompt(HELLO, [], trusted=True)
    template.write_text(whole)
    monkeypatch.undo()
    assert process.prompt(HELLO, []) == PromptWriter(TINY).prompt(HELLO, [])
    process.close()


@pytest.mark.parametrize(
    "spoil",
    [
        ("tokenizer_config.json", "null"),
        ("tokenizer_config.json", "[" * 100_000),
        ("tokenizer_config.json", "{"),
        ("tokenizer.json", "[" * 100_000),
        ("tokenizer.json", ""),
        ("chat_template.jinja", "\udcff"),
    ],
    ids=str,
)
def test_files_that_are_damaged_are_named(folder: Path, spoil: tuple[str, str]) -> None:
    name, text = spoil
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=name):
        PromptWriter(folder)
