"""A template or a tokenizer with which no chat can be begun is refused when the checkpoint is exported."""

from pathlib import Path

import pytest

from gemtab.chat_files.trial import check_chat
from gemtab.errors import CheckpointError
from gemtab.resources import tiny_checkpoint
from tests.chat_files.conftest import chosen


def tried(folder: Path, template: str) -> None:
    check_chat({**chosen(folder).texts, "chat_template.jinja": template}, folder)


def test_the_tiny_model_chats(tiny_copy: Path) -> None:
    check_chat(chosen(tiny_copy).texts, tiny_copy)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('no users') }}", "no users"),
        ("{{ messages[9].content }}", "has no element 9"),
        ("{% include 'x' %}", "no loader"),
        ("{{ bos_token * 10**9 }}", "memory"),
        ("", "makes an empty prompt of this conversation"),
    ],
)
def test_a_template_that_takes_no_greeting(tiny_copy: Path, template: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason) as caught:
        tried(tiny_copy, template)
    assert str(tiny_copy) in str(caught.value)
    assert "gemtab-" not in str(caught.value), "the folder of the trial says nothing to anybody"


@pytest.mark.parametrize("template", ["{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "{{" + "-" * 100_000 + "1}}"])
def test_a_template_that_is_nested_too_deeply(tiny_copy: Path, template: str) -> None:
    (tiny_copy / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError, match=r"the chat template of .* cannot be read"):
        chosen(tiny_copy)


def test_the_checkpoint_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"models/tiny: .* template and tokenizer cannot start a chat"):
        tried(tiny_checkpoint(), "{{ 1 / 0 }}")
