"""The template of a bundle is the one that transformers takes."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from gemtab.errors import CheckpointError
from tests.chat_files.conftest import chosen, read, write

A, B = "{{ bos_token }}A{{ messages[0]['content'] }}\n", "{{ bos_token }}B{{ messages[0]['content'] }}"


def jinja(folder: Path, template: str = A) -> None:
    (folder / "chat_template.jinja").write_text(template)


def in_tokenizer_config(folder: Path, template: object = A) -> None:
    write(folder / "tokenizer_config.json", {**read(folder / "tokenizer_config.json"), "chat_template": template})


def of_processor(folder: Path, template: object = A) -> None:
    write(folder / "chat_template.json", {"chat_template": template})


def additional(folder: Path, name: str, template: str) -> None:
    (folder / "additional_chat_templates").mkdir(exist_ok=True)
    (folder / "additional_chat_templates" / f"{name}.jinja").write_text(template)


def listed(**templates: str) -> list[dict[str, str]]:
    return [{"name": name, "template": template} for name, template in templates.items()]


Step = Callable[[Path], None]

LOCATIONS: dict[str, list[Step]] = {
    "jinja": [jinja],
    "tokenizer_config": [in_tokenizer_config],
    "list": [lambda folder: in_tokenizer_config(folder, listed(tool_use=B, default=A))],
    "dict": [lambda folder: in_tokenizer_config(folder, {"default": A, "rag": B})],
    "jinja first": [jinja, partial(in_tokenizer_config, template=B)],
    "jinja and others": [jinja, lambda folder: additional(folder, "tool_use", B)],
    "config before the processor's": [in_tokenizer_config, partial(of_processor, template=B)],
    "jinja before the processor's": [jinja, partial(of_processor, template=B)],
}


@pytest.mark.parametrize("steps", LOCATIONS.values(), ids=LOCATIONS)
def test_as_transformers_chooses(tiny_copy: Path, steps: list[Step]) -> None:
    (tiny_copy / "chat_template.jinja").unlink()
    for step in steps:
        step(tiny_copy)
    made = chosen(tiny_copy)
    assert made.texts["chat_template.jinja"] == AutoTokenizer.from_pretrained(tiny_copy).get_chat_template() == A
    assert "chat_template" not in json.loads(made.texts["tokenizer_config.json"])


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_a_processors_template_is_the_last_choice(tiny_copy: Path, name: str) -> None:
    (tiny_copy / "chat_template.jinja").unlink()
    path = tiny_copy / name
    write(path, {**(read(path) if path.exists() else {}), "chat_template": A})
    made = chosen(tiny_copy)
    assert made.texts["chat_template.jinja"] == A
    assert made.notes == ()


def test_a_template_that_is_left_out_is_reported(tiny_copy: Path) -> None:
    jinja(tiny_copy)
    in_tokenizer_config(tiny_copy, B)
    assert "tokenizer_config.json has another one" in chosen(tiny_copy).notes[0]
    in_tokenizer_config(tiny_copy, A.strip())
    assert chosen(tiny_copy).notes == ()
    additional(tiny_copy, "tool_use", B)
    additional(tiny_copy, "same", A)
    assert chosen(tiny_copy).notes == ("The chat template default is used; others are left out: tool_use.",)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_template_is_none(tiny_copy: Path, text: str) -> None:
    jinja(tiny_copy, text)
    with pytest.raises(CheckpointError, match="has no chat template"):
        chosen(tiny_copy)
    in_tokenizer_config(tiny_copy)
    assert chosen(tiny_copy).texts["chat_template.jinja"] == A


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (listed(tool_use=B, rag=A), "rag, tool_use, and none called default"),
        ([A], "neither a template nor a list"),
        (7, "neither a template nor a list"),
        ([*listed(default=A), {"name": "x"}], "neither a template nor a list"),
    ],
)
def test_templates_that_cannot_be_meant(tiny_copy: Path, template: object, words: str) -> None:
    (tiny_copy / "chat_template.jinja").unlink()
    in_tokenizer_config(tiny_copy, template)
    with pytest.raises(CheckpointError, match=words):
        chosen(tiny_copy)


def test_a_template_that_is_no_template(tiny_copy: Path) -> None:
    jinja(tiny_copy, "{% for m in messages %}\n{{ m.content }}\n{% endif %}")
    with pytest.raises(CheckpointError, match=r"template of chat_template\.jinja cannot be read \(line 3\).*endif"):
        chosen(tiny_copy)


def test_no_download_is_advised_for_a_model_that_has_no_template(tiny_copy: Path) -> None:
    (tiny_copy / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja .*missing.*instruction-tuned") as caught:
        chosen(tiny_copy)
    assert "Download" not in str(caught.value)


def test_files_that_need_no_change_are_copied_byte_for_byte(tiny_copy: Path) -> None:
    made = chosen(tiny_copy)
    assert made.notes == ()
    assert set(made.texts) == {
        "chat_template.jinja",
        "generation_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    for name, text in made.texts.items():
        assert text == (tiny_copy / name).read_text(encoding="utf-8"), name
