"""Random conversations with tools, rendered by transformers, in Python and in both browsers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from gemtab.chat import ChatTemplate
from gemtab.errors import GemtabError
from playwright_tests.corpus.conversations import Dice
from playwright_tests.corpus.table import Row
from playwright_tests.corpus.text import Tabs
from tests.tables import CORPUS_LINE
from tests.variants import TINY

TEMPLATES = {
    "models/tiny": TINY / "chat_template.jinja",
    **{path.stem: path for path in sorted(Path(__file__).with_name("templates").glob("*.jinja"))},
}


def by_transformers(tokenizer: Any, template: str, conversation: dict[str, Any]) -> str | None:
    """Return transformers' prompt, or None where the template raises an error."""
    try:
        return str(
            tokenizer.apply_chat_template(
                conversation["messages"],
                tools=conversation["tools"],
                chat_template=template,
                enable_thinking=conversation["thinking"],
                add_generation_prompt=True,
                tokenize=False,
            )
        )
    except Exception:  # whatever a template can raise
        return None


def by_python(template: ChatTemplate, conversation: dict[str, Any]) -> str | None:
    try:
        return template.render(**conversation)
    except GemtabError:
        return None


def table_row(name: str, template: Path, tabs: Tabs, count: int, folder: Path) -> tuple[Row, list[str]]:
    """Return the line of a template, and the differences."""
    tokenizer: Any = AutoTokenizer.from_pretrained(TINY)
    config = json.loads((TINY / "tokenizer_config.json").read_text(encoding="utf-8"))
    source = template.read_text(encoding="utf-8")
    shutil.copyfile(template, folder / "chat_template.jinja")
    shutil.copyfile(TINY / "tokenizer_config.json", folder / "tokenizer_config.json")
    ours = ChatTemplate(folder)
    dice = Dice(7, list(tokenizer.added_tokens_encoder))
    drawn = [dice.conversation() for _ in range(count)]
    found = {"Python": [by_python(ours, one) for one in drawn]}
    found |= tabs.call("rendered", {"tokenizer": {}, "config": config, "template": source}, drawn)
    row, differing, refused = Row("templates", name), [], 0
    for i, conversation in enumerate(drawn):
        expected = by_transformers(tokenizer, source, conversation)
        refused += expected is None
        for implementation, results in found.items():
            row.add(implementation, results[i] == expected)
            if results[i] != expected:
                differing.append(f"{json.dumps(conversation)}\n{expected!r}\n{implementation} {results[i]!r}")
    assert refused < count // 2, "most conversations are to be rendered"
    return row, differing


@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations_with_tools(
    name: str,
    tabs: Tabs,
    drawn: Callable[[int, int], int],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    row, differing = table_row(name, TEMPLATES[name], tabs, drawn(15, 400), tmp_path)
    record_property(CORPUS_LINE, str(row))
    assert not differing, "\n\n".join(differing[:3])
