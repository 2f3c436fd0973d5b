"""The element on a page that changes at any time: during a load, during an answer, while the element is moved."""

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from playwright_tests.conftest import BOTH_BROWSERS, ChatPage
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving
from playwright_tests.test_attachments import image_bytes

TESTED_IN = BOTH_BROWSERS

LONG = {"maxTokens": 400, "temperature": 100.0, "topK": 0, "topP": 1.0, "seed": 3}
"""Options of a long answer, whatever the model has learned."""

QUESTION = "Tell me everything."


def element(chat_page: ChatPage, script: str, argument: object = None) -> Any:
    """Return the result of `script`, in which `chat` is the element and `argument` the argument."""
    return chat_page.page.evaluate(
        f"async argument => {{ const chat = document.querySelector('gemtab-chat'); {script} }}", argument
    )


def until_progress(chat_page: ChatPage) -> None:
    """Wait for the begin of a load. Playwright's own wait evaluates text in the page, which the page's policy forbids
    in Firefox."""
    while not chat_page.page.evaluate("() => record.some(([type]) => type === 'progress')"):
        chat_page.page.wait_for_timeout(20)


def begin(demo: ChatPage) -> None:
    """Ask, by a call, a question with a long answer, and wait for the first text; `asked` is the call's outcome."""
    demo.set_options(**LONG)
    element(demo, "globalThis.asked = chat.send(argument).then(() => 'ended', (error) => error.name)", QUESTION)
    demo.answers.last.locator("[part~=answer-text]:not(:empty)").wait_for()


def messages(chat_page: ChatPage) -> list[Any]:
    found: list[Any] = element(chat_page, "return chat.messages")
    return found


class TestDuringAnAnswer:
    """Before a fix, 8 of 8 such conversations ended in an error."""

    @pytest.mark.parametrize("how", ["button", "chat.reset()", "chat.messages = []"])
    def test_a_new_conversation_ends_it_cleanly(self, demo: ChatPage, how: str) -> None:
        begin(demo)
        if how == "button":
            demo.page.get_by_role("button", name="New conversation").click()
        else:
            element(demo, how)
        assert element(demo, "return [chat.state, await asked]") == ["ready", "ended"]
        expect(demo.log.locator("> *")).to_have_count(0)
        assert demo.recorded("error") == demo.recorded("message") == []
        assert messages(demo) == []
        demo.say("Hello!")
        assert demo.ended()["finish"] in ("stop", "length")
        assert [message["role"] for message in messages(demo)] == ["user", "assistant"]

    def test_another_conversation_can_be_asked_at_once(self, demo: ChatPage) -> None:
        begin(demo)
        history = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello, Ada!"}]
        element(
            demo,
            """chat.messages = argument; chat.options = { temperature: 0, maxTokens: 4 };
            await chat.send('Who am I?')""",
            history,
        )
        assert messages(demo)[:3] == [*history, {"role": "user", "content": "Who am I?"}]
        assert len(demo.recorded("message")) == 1
        assert demo.recorded("error") == []

    @pytest.mark.parametrize(("name", "value", "off"), [("system", "Be brief.", None), ("thinking", True, False)])
    def test_another_system_prompt_stops_it_and_keeps_it(
        self, demo: ChatPage, name: str, value: object, off: object
    ) -> None:
        begin(demo)
        element(demo, "chat[argument[0]] = argument[1]", [name, value])
        answer = demo.ended()
        assert answer["finish"] == "abort"
        assert messages(demo)[-1]["content"] == answer["text"] != ""
        demo.say("And then?", maxTokens=4)
        demo.ended()
        element(demo, "chat[argument[0]] = argument[1]", [name, off])
        demo.say("And then?", maxTokens=4)
        demo.ended()
        assert demo.recorded("error") == []
        asked = [message["content"] for message in messages(demo) if message["role"] == "user"]
        assert asked == [QUESTION, "And then?", "And then?"]

    def test_another_message_is_rejected_and_not_dropped(self, demo: ChatPage) -> None:
        begin(demo)
        refused = element(demo, "return chat.send('And now?').catch(String)")
        assert refused.startswith("UsageError: The model is still answering.")
        demo.field.fill("And now?")
        demo.field.press("Enter")
        assert element(demo, "return chat.state") == "answering"
        expect(demo.field).to_have_value("And now?")
        demo.page.keyboard.press("Escape")
        assert demo.ended()["finish"] == "abort"
        assert demo.recorded("error") == []
        demo.field.fill("")

    def test_moving_the_element_changes_nothing(self, demo: ChatPage) -> None:
        begin(demo)
        demo.page.evaluate(in_page("element.moveAbout"))
        assert element(demo, "return chat.gemma !== undefined")
        demo.wait_for_state("ready")
        assert demo.ended()["finish"] in ("stop", "length")
        assert [state["state"] for state in demo.recorded("statechange")] == ["answering", "ready"]
        assert len(messages(demo)) == 2


def test_an_error_keeps_what_is_shown_of_earlier_answers(demo: ChatPage) -> None:
    element(demo, "chat.thinking = true")
    demo.say("What is 3 + 4?", maxTokens=32)
    demo.ended()
    thought = demo.answers.locator("[part=thought-text]")
    expect(thought).to_have_count(1)
    shown = demo.answers.first.inner_html()
    demo.say("far too long " * 1500)
    expect(demo.log.get_by_role("alert")).to_contain_text("but the context holds")
    demo.wait_for_state("ready")
    assert demo.answers.first.inner_html() == shown
    expect(demo.answers).to_have_count(1)
    expect(demo.questions).to_have_count(1)
    element(demo, "chat.thinking = false")
    demo.field.fill("")
    demo.say("Hello!")
    demo.ended()
    expect(demo.log.get_by_role("alert")).to_have_count(0)


def test_events_are_the_element_s_own(demo: ChatPage) -> None:
    """Windows have events named `message`, `error` and `progress` too."""
    demo.page.evaluate(in_page("element.listenAround"))
    demo.say("Hello!")
    demo.ended()
    demo.say("far too long " * 1500)
    demo.log.get_by_role("alert").wait_for()
    assert len(demo.recorded("error")) == 1
    assert demo.page.evaluate("window.heard") == []
    demo.field.fill("")


def test_options_that_are_not_known_are_rejected(demo: ChatPage) -> None:
    refusals = demo.page.evaluate(in_page("element.refusals"))
    assert refusals == [
        'UsageError: temprature: this option is unknown. Did you mean "temperature"?',
        "UsageError: messages[0].content: found null; expected text, or a list of parts.",
        'UsageError: examples[0].media.kind: nothing is not known. Choose one of "image", "audio", "video".',
        'UsageError: thinking: found "no"; expected true or false.',
        "UsageError: system: found 5; expected text.",
        "UsageError: src: found an object (Object); expected an address.",
        'content[0].image: found "cat.jpg"; expected a Blob, such as a file.',
    ]
    demo.say("Hello!")
    assert demo.ended()["finish"] in ("stop", "length")


class TestTheChat:
    """The element's model without the element."""

    def test_a_signal_that_has_fired_stops_as_one_that_fires(self, demo: ChatPage) -> None:
        found = demo.page.evaluate(in_page("element.signalled"))
        assert found == [["done", "abort", "", 1]] * 2

    def test_a_system_message_survives(self, demo: ChatPage) -> None:
        history = [{"role": "system", "content": "Your name is Bob."}, {"role": "user", "content": "Who are you?"}]
        found = demo.page.evaluate(in_page("element.askTwice"), history)
        assert found[0] == history
        assert found[1] == found[2]

    def test_a_rejection_leaves_the_conversation(self, demo: ChatPage) -> None:
        found = demo.page.evaluate(in_page("element.refusedBySend"))
        assert [words.split(":")[0] for words in found[0]] == ["topP", "content", "content[0].type", "signal"]
        assert found[1] == [{"role": "user", "content": "Hello!"}]


def test_a_queued_answer_is_stopped_at_once(demo: ChatPage) -> None:
    """Two elements share a model, which answers one after the other."""
    begin(demo)
    found = demo.page.evaluate(in_page("element.stopQueued"))
    assert found == ["ended", "ready", "answering", 1]
    demo.page.get_by_role("button", name="Stop").click()
    assert demo.ended()["finish"] == "abort"


def test_restored_conversations_hide_the_examples(chat_page: ChatPage, served: str) -> None:
    """Also where the messages are set before the model is loaded."""
    chat_page.open(served)
    chat_page.set_options()
    element(chat_page, "chat.messages = [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello!' }]")
    chat_page.load()
    examples = chat_page.page.get_by_role("list", name="Examples")
    expect(chat_page.answers).to_have_count(1)
    expect(examples).to_be_hidden()
    chat_page.page.get_by_role("button", name="New conversation").click()
    expect(examples).to_be_visible()


class TestAnExample:
    def test_that_cannot_be_fetched_is_reported(self, demo: ChatPage) -> None:
        demo.page.route("**/shapes-*.webp", lambda route: route.fulfill(status=404))
        demo.page.get_by_role("button", name="What do you see?").click()
        notice = demo.chat.get_by_role("alert").filter(has_text="shapes.webp")
        expect(notice).to_contain_text("The example's file shapes.webp could not be fetched (HTTP 404).")
        demo.page.unroute("**/shapes-*.webp")
        assert element(demo, "return chat.state") == "ready"
        expect(demo.questions).to_have_count(0)
        demo.field.fill("x")
        demo.field.press("Enter")
        demo.ended()


def paste(chat_page: ChatPage, text: str, name: str = "image.png") -> bool:
    """Paste text and an image. Returns whether the browser would paste the text."""
    return bool(
        chat_page.page.evaluate(
            in_page("element.pasteBoth"),
            [text, name, base64.b64encode(image_bytes()).decode()],
        )
    )


def test_paste_from_a_spreadsheet_keeps_the_text(demo: ChatPage) -> None:
    tray = demo.page.get_by_role("list", name="Attached")
    assert paste(demo, "a\tb\n1\t2\n") is True
    expect(tray).to_be_hidden()
    # As file managers do.
    assert paste(demo, "/home/me/cat.png", "cat.png") is False
    expect(tray.get_by_role("img", name="cat.png")).to_be_visible()
    demo.page.get_by_role("button", name="Remove cat.png").click()
    assert paste(demo, "") is False
    demo.page.get_by_role("button", name="Remove image.png").click()


def test_sending_finishes_the_recording_first(tested: Browser, served: str) -> None:
    chromium = tested.browser_type.name == "chromium"
    context = tested.new_context(permissions=["microphone"] if chromium else None)
    chat_page = ChatPage(context.new_page())
    chat_page.open(served)
    chat_page.set_options()
    chat_page.load()
    chat_page.page.get_by_role("button", name="Record").click()
    chat_page.page.get_by_text("1 of 30 s").wait_for()
    chat_page.say("What do I say?")
    expect(chat_page.questions).to_have_count(1)
    assert [part["type"] for part in messages_after(chat_page)] == ["audio", "text"]
    expect(chat_page.page.get_by_label("Microphone level")).to_be_hidden()
    context.close()


def messages_after(chat_page: ChatPage) -> list[dict[str, Any]]:
    """Return the parts of the first message, after its answer."""
    chat_page.ended()
    parts: list[dict[str, Any]] = messages(chat_page)[0]["content"]
    return parts


class TestLoading:
    def test_another_src_replaces_the_load(self, chat_page: ChatPage, served: str) -> None:
        """The first bundle's load is delayed until the second bundle is loaded."""
        held: list[Route] = []
        chat_page.page.route("**/bundles/exact/**/*.json", lambda route: held.append(route))
        chat_page.open(served + "example.html")
        chat_page.set_options()
        element(chat_page, "chat.src = 'bundles/exact/'; globalThis.first = chat.load().catch(error => error.name)")
        until_progress(chat_page)
        element(chat_page, "chat.src = 'bundles/tiny/'; globalThis.second = chat.load()")
        for route in held:
            route.continue_()
        found = element(
            chat_page, "await second; return [await first, chat.state, new URL(chat.gemma.info.url).pathname]"
        )
        assert found == ["AbortError", "ready", "/bundles/tiny/"]
        assert chat_page.recorded("error") == []

    def test_can_be_cancelled_disposed_of_and_begun_again(self, chat_page: ChatPage, served: str) -> None:
        chat_page.open(served + "example.html")
        chat_page.chat.locator("[part=facts]").get_by_text("MB to download").wait_for()
        chat_page.set_options()
        warnings = chat_page.chat.locator("[part~=notice]").first
        expect(warnings).to_contain_text("A software renderer runs the model")
        cancel = chat_page.page.get_by_role("button", name="Cancel")
        for _ in range(3):
            chat_page.load_button.click()
            cancel.click()
            assert element(chat_page, "return chat.state") == "idle"
        expect(warnings).to_contain_text("A software renderer runs the model")
        found = chat_page.page.evaluate(in_page("element.loadDisposeLoad"))
        assert found == ["AbortError", None, "ready"]
        assert chat_page.recorded("error") == []
        # Stopped before it begins.
        found = chat_page.page.evaluate(in_page("element.stopBeforeLoad"))
        assert found == ["ready", 1]
        assert [detail["finish"] for detail in chat_page.recorded("stop")] == ["abort"]
        element(chat_page, "chat.messages = []")
        # Unloaded while it answers.
        begin(chat_page)
        found = element(chat_page, "await chat.dispose(); return [chat.state, await asked, chat.messages.length]")
        assert found == ["idle", "AbortError", 0]
        # Removed for good, and inserted again.
        element(chat_page, "chat.remove(); globalThis.kept = chat; await new Promise(r => setTimeout(r, 1500))")
        chat_page.page.evaluate("document.querySelector('main').append(kept)")
        chat_page.load()
        chat_page.say("Hello!")
        assert chat_page.ended()["finish"] in ("stop", "length")

    def test_reveal_takes_effect_when_it_is_set(self, chat_page: ChatPage, served: str) -> None:
        chat_page.open(served + "example.html")
        chat_page.set_options()
        element(chat_page, "chat.reveal = 'eager'")
        expect(chat_page.notice).to_have_text('reveal: "eager" is not known. Choose one of "auto", "interaction".')
        element(chat_page, "chat.reveal = 'auto'")
        until_progress(chat_page)
        element(chat_page, "await chat.dispose()")


EARLY = """<!doctype html><html lang="en"><title>Early</title><main><gemtab-chat></gemtab-chat></main>"""


def test_properties_set_before_the_script_are_taken(chat_page: ChatPage, served: str) -> None:
    page = chat_page.page
    page.route("**/early.html", lambda route: route.fulfill(body=EARLY, content_type="text/html"))
    page.goto(served + "early.html")
    words = chat_page.page.evaluate(in_page("element.setEarly"))
    assert words == ["bundles/tiny/", "Be brief.", True, 4, 1, 1, "f32"]
    expect(chat_page.chat.locator("[part=facts]")).to_contain_text("MB to download")


LIGHT, DARK = "rgb(255, 255, 255)", "rgb(22, 24, 29)"
SCHEMES = {
    "": LIGHT,
    ":root { color-scheme: light }": LIGHT,
    ":root { color-scheme: dark }": DARK,
    "main { color-scheme: light } :root { color-scheme: dark }": LIGHT,
}
"""The element's background by the page's style, whatever the system prefers."""


def test_the_page_s_colour_scheme_wins(tested: Browser, served: str) -> None:
    """A page without a preference follows the system. (Firefox does not report a preference for dark.)"""
    page = tested.new_page(color_scheme="dark")
    page.route("**/early.html", lambda route: route.fulfill(body=EARLY, content_type="text/html"))
    page.goto(served + "early.html")
    found = page.evaluate(in_page("element.grounds"), list(SCHEMES))
    assert found[:-2] == list(SCHEMES.values())
    assert found[-2] == (DARK if found[-1] else LIGHT)
    assert found[-1] or tested.browser_type.name == "firefox"
    page.close()


class TestTheDemoPage:
    @pytest.fixture
    def trouble(self, chat_page: ChatPage) -> Locator:
        return chat_page.page.locator("#trouble")

    @pytest.mark.parametrize(
        ("status", "body", "reason"), [(404, "", "HTTP 404"), (200, "{}", "it is not a list of names")]
    )
    def test_says_that_its_list_of_models_cannot_be_read(
        self,
        chat_page: ChatPage,
        served: str,
        trouble: Locator,
        status: int,
        body: str,
        reason: str,
    ) -> None:
        chat_page.page.route("**/bundles/index.json", lambda route: route.fulfill(status=status, body=body))
        chat_page.open(served)
        expect(trouble).to_contain_text(f"bundles/index.json, could not be read ({reason})")
        expect(chat_page.load_button).to_be_enabled()

    def test_works_with_any_name_of_a_bundle(
        self,
        chat_page: ChatPage,
        bundles: dict[str, Path],
        trouble: Locator,
    ) -> None:
        name = "größe 7+b"
        facts = chat_page.chat.locator("[part=facts]")
        with serving({name: bundles["tiny"]}) as site:
            for address in ("", "example.html", "?bundle=gr%C3%B6%C3%9Fe+7%2Bb"):
                chat_page.open(site + address)
                expect(facts).to_contain_text("MB to download")
                assert element(chat_page, "return chat.src") == "bundles/gr%C3%B6%C3%9Fe%207%2Bb/"
            expect(trouble).to_be_hidden()
