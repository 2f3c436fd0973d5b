"""Answers end where transformers ends them, and the bundle's generation_config.json says so by itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, GenerationConfig

from gemtab.chat.generation_config import read_generation_config
from gemtab.errors import BundleError, CheckpointError
from tests.chat_files.conftest import chosen, read, write

EOS, TURN_END = 1, 6


def given(folder: Path, generation: dict[str, Any] | None, top: object = None, nested: object = None) -> None:
    """generation_config.json, and eos_token_id in config.json and in its text_config; None leaves out."""
    path = folder / "generation_config.json"
    path.unlink() if generation is None else write(path, generation)
    config = read(folder / "config.json")
    config["text_config"].pop("eos_token_id", None)
    config.update({} if top is None else {"eos_token_id": top})
    config["text_config"].update({} if nested is None else {"eos_token_id": nested})
    write(folder / "config.json", config)


def ends(folder: Path, tmp_path: Path) -> set[int]:
    """By the reader that answers in Python."""
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    (out / "generation_config.json").write_text(chosen(folder).texts["generation_config.json"])
    return set(read_generation_config(out).stop)


@pytest.mark.parametrize(
    "generation", [None, {}, {"eos_token_id": None}, {"_from_model_config": True}, {"eos_token_id": []}]
)
@pytest.mark.parametrize(
    ("top", "nested"), [([1, 6, 14], None), (6, None), (6, 1), (None, [1, 6]), ([6], [1])], ids=str
)
def test_else_config_json_as_transformers_reads_it(
    tiny_copy: Path, tmp_path: Path, generation: dict[str, Any] | None, top: object, nested: object
) -> None:
    given(tiny_copy, generation, top, nested)
    expected = GenerationConfig.from_model_config(AutoConfig.from_pretrained(tiny_copy)).eos_token_id
    assert ends(tiny_copy, tmp_path) == ({expected} if isinstance(expected, int) else set(expected))
    (note,) = chosen(tiny_copy).notes
    assert "as config.json says" in note and "generation_config.json has no such token" in note


@pytest.mark.parametrize("eos", [6, [1, 6], [14, 6, 1]])
def test_first_of_all_the_generation_config(tiny_copy: Path, tmp_path: Path, eos: int | list[int]) -> None:
    given(tiny_copy, {"eos_token_id": eos}, top=[1, 6, 14])
    assert ends(tiny_copy, tmp_path) == {eos} if isinstance(eos, int) else set(eos)
    assert json.loads(chosen(tiny_copy).texts["generation_config.json"]) == {"eos_token_id": eos}
    assert chosen(tiny_copy).notes == ()


def test_else_the_tokenizer_and_the_templates_end_of_a_turn(tiny_copy: Path, tmp_path: Path) -> None:
    given(tiny_copy, None)
    assert ends(tiny_copy, tmp_path) == {EOS, TURN_END}
    (note,) = chosen(tiny_copy).notes
    assert note.startswith(
        "Answers end at <eos>, as the tokenizer says, and at <turn|>, with which the template closes"
    )


def test_an_end_that_the_template_never_closes_a_turn_by(tiny_copy: Path, tmp_path: Path) -> None:
    """As config.json of a fine-tune that was saved as a text model has it: answers would run on."""
    given(tiny_copy, {"_from_model_config": True, "eos_token_id": EOS})
    assert ends(tiny_copy, tmp_path) == {EOS, TURN_END}
    written = json.loads(chosen(tiny_copy).texts["generation_config.json"])
    assert "_from_model_config" not in written
    given(tiny_copy, {"eos_token_id": EOS})  # written by hand: transformers obeys
    assert ends(tiny_copy, tmp_path) == {EOS}
    assert "If answers do not stop, add 6 to eos_token_id" in chosen(tiny_copy).notes[0]


@pytest.mark.parametrize(
    ("eos", "words"),
    [
        ("1", "expected an id"),
        ([1, "6"], "expected an id"),
        (True, "expected an id"),
        (1.5, "expected an id"),
        (999_999, "no answer would end"),
        (-1, "no answer would end"),
        ({"id": 1}, "expected an id"),
    ],
)
@pytest.mark.parametrize("place", ["generation_config.json", "config.json"])
def test_ends_that_cannot_be_meant(tiny_copy: Path, eos: object, words: str, place: str) -> None:
    given(tiny_copy, {"eos_token_id": eos} if place == "generation_config.json" else None, eos)
    with pytest.raises(CheckpointError, match=words) as caught:
        chosen(tiny_copy)
    assert place in str(caught.value)


def test_nothing_that_ends_an_answer(tiny_copy: Path) -> None:
    given(tiny_copy, None)
    (tiny_copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    write(tiny_copy / "tokenizer_config.json", {**read(tiny_copy / "tokenizer_config.json"), "eos_token": None})
    with pytest.raises(CheckpointError, match=r"does not state where answers end.*eos_token_id"):
        chosen(tiny_copy)


def test_sampling_keeps_its_meaning(tiny_copy: Path) -> None:
    given(tiny_copy, {"eos_token_id": 6, "top_k": 64.0, "top_p": None, "temperature": 0, "do_sample": True})
    written = json.loads(chosen(tiny_copy).texts["generation_config.json"])
    assert written == {"eos_token_id": 6, "top_k": 64, "top_p": None, "temperature": 0, "do_sample": True}
    assert isinstance(written["top_k"], int)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", -5),
        ("top_k", "64"),
        ("top_k", 2**40),
        ("top_k", 1.5),
        ("top_p", 7),
        ("top_p", "hot"),
        ("temperature", "hot"),
        ("temperature", -1),
        ("temperature", True),
    ],
)
def test_sampling_that_cannot_be_meant(tiny_copy: Path, name: str, value: object) -> None:
    given(tiny_copy, {"eos_token_id": 6, name: value})
    with pytest.raises(CheckpointError, match=f"generation_config.json: {name} is"):
        chosen(tiny_copy)


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
def test_numbers_that_a_tab_cannot_read(tiny_copy: Path, number: str) -> None:
    (tiny_copy / "generation_config.json").write_text(f'{{"eos_token_id": 6, "temperature": {number}}}')
    with pytest.raises(CheckpointError, match=r"generation_config\.json"):
        chosen(tiny_copy)


@pytest.mark.parametrize(
    "content",
    ["null", "[]", "{", "{}", '{"eos_token_id": null}', '{"eos_token_id": "16"}', '{"eos_token_id": 1, "top_k": "x"}'],
)
def test_a_bundle_of_an_older_version_is_refused_in_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(BundleError, match=r"generation_config\.json.*xport the (checkpoint|bundle) again"):
        read_generation_config(tmp_path)
