"""Template and tokenizer give what transformers gives."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from gemtab.chat import ChatTemplate, ChatTokenizer
from gemtab.errors import BundleError, UsageError
from gemtab.resources import REPOSITORY, tiny_checkpoint

CONVERSATIONS = json.loads((REPOSITORY / "tests" / "models" / "conversations.json").read_text(encoding="utf-8"))
TOKENS = json.loads((REPOSITORY / "tests" / "fixtures" / "tokens.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("one", CONVERSATIONS, ids=lambda one: one["name"])
def test_conversations(one: dict[str, Any]) -> None:
    rendered = ChatTemplate(tiny_checkpoint()).render(
        one["messages"],
        thinking=one["enable_thinking"],
        add_generation_prompt=one["add_generation_prompt"],
        tools=one["tools"],
    )
    assert rendered == one["rendered"]


def test_tokens() -> None:
    tokenizer = ChatTokenizer(tiny_checkpoint())
    assert TOKENS["texts"]
    for one in TOKENS["texts"]:
        assert tokenizer.encode(one["text"]) == one["ids"], one["text"]


def test_a_template_cannot_reach_into_python(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"chat_template\.jinja"):
        ChatTemplate(tmp_path).render([])


@pytest.mark.parametrize("template", ["{% if %}", "{{ raise_exception('no system prompts') }}"])
def test_a_template_that_fails_is_named(tmp_path: Path, template: str) -> None:
    (tmp_path / "chat_template.jinja").write_text(template)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"chat_template\.jinja"):
        ChatTemplate(tmp_path).render([{"role": "system", "content": "x"}])


ASKED = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]

GENERATION_TEMPLATES = {
    "one role": """{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}
{% generation %}{{ m.content + '\\n' }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}""",
    "no white space": """{%- for m in messages -%}
  {%- generation -%}
  {{ loop.index }} {{ m.content }}
  {%- endgeneration -%}
{%- endfor -%}""",
    "blocks are trimmed": """{% for m in messages %}
    {% generation %}
    {{ m.content }}
    {% endgeneration %}
{% endfor %}""",
    "a scope": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "in a macro": """{% macro turn(m) %}{% generation %}<{{ m.content }}>{% endgeneration %}{% endmacro %}
{{ turn(messages[1]) | upper }}""",
    "a namespace": """{% set n = namespace(i=0) %}{% for m in messages %}{% generation %}{% set n.i = n.i + 1 %}
{% endgeneration %}{% endfor %}{{ n.i }}""",
    "empty": "{% generation %}{% endgeneration %}{% generation %}<&>{% endgeneration %}",
}


@pytest.mark.parametrize("template", GENERATION_TEMPLATES.values(), ids=GENERATION_TEMPLATES)
def test_the_tags_of_trainers_change_no_prompt(tmp_path: Path, template: str) -> None:
    (tmp_path / "chat_template.jinja").write_text(template)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (expected,), _ = render_jinja_template([ASKED], chat_template=template)
    assert ChatTemplate(tmp_path).render(ASKED, add_generation_prompt=False) == expected


def write(folder: Path, template: str) -> ChatTemplate:
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text("{}")
    return ChatTemplate(folder)


def test_what_a_template_cannot_do_is_said_with_its_file(tmp_path: Path) -> None:
    template = write(tmp_path, "{{ messages[0].content + 1 }}")
    with pytest.raises(BundleError, match=r"chat_template\.jinja rejects this conversation: can only concatenate"):
        template.render([{"role": "user", "content": "x"}])


def test_a_template_that_joins_strings_says_that_it_takes_no_media(tmp_path: Path) -> None:
    template = write(tmp_path, "{{ 'user: ' + messages[0]['content'] }}")
    with pytest.raises(UsageError, match=r"takes only text, and this conversation has image"):
        template.render(
            [{"role": "user", "content": [{"type": "image", "medium": None}, {"type": "text", "text": "?"}]}]
        )


def test_messages_are_given_as_transformers_gives_them(tmp_path: Path) -> None:
    source = "{{ messages | tojson(separators=(',', ':'), sort_keys=true) }}{{ documents is none }}"
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": None, "name": "a\ud800\ud83d\ude00"},
        {"role": "assistant", "reasoning": "r"},
    ]
    repaired = [{**messages[0], "name": "a\ufffd😀"}, messages[1]]
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_checkpoint())
    expected = tokenizer.apply_chat_template(repaired, chat_template=source, tokenize=False)
    assert write(tmp_path, source).render(messages, add_generation_prompt=False) == expected


def test_lone_surrogates_have_ids() -> None:
    tokenizer = ChatTokenizer(tiny_checkpoint())
    assert tokenizer.encode("a\ud83d\ude00b\udc00") == tokenizer.encode("a😀b\ufffd")


@pytest.mark.parametrize("power", ["7 ** 90000000", "9 ** (9 ** 9)", "(10 ** 5000) ** 3", "messages | length ** 20000"])
def test_a_power_that_would_take_minutes_is_refused(tmp_path: Path, power: str) -> None:
    (tmp_path / "chat_template.jinja").write_text(f"{{{{ {power} }}}}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"power is too large"):
        ChatTemplate(tmp_path).render([{"role": "user", "content": "x"}] * 10)


def test_other_powers_are_pythons(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ 2 ** 64 }} {{ 2 ** -1 }} {{ 2.5 ** 2 }} {{ 0 ** 0 }}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert ChatTemplate(tmp_path).render([]) == f"{2**64} 0.5 6.25 1"
