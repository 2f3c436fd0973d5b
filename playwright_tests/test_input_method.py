"""Keys that an input method uses. Only Chromium's protocol can imitate an input method."""

from playwright.sync_api import expect

from playwright_tests.conftest import ChatPage
from playwright_tests.in_page import in_page

IME_KEY_CODE = 229
"""The key code that browsers report for a key that an input method uses."""


def test_enter_during_composition_does_not_send(demo: ChatPage) -> None:
    """An input method uses the Enter key to accept a composition."""
    demo.field.focus()
    input_method = demo.page.context.new_cdp_session(demo.page)
    input_method.send("Input.imeSetComposition", {"selectionStart": 2, "selectionEnd": 2, "text": "にほ"})
    demo.page.evaluate(in_page("element.noteKey"))
    enter = {"type": "rawKeyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": IME_KEY_CODE}
    input_method.send("Input.dispatchKeyEvent", enter)
    assert demo.page.evaluate("window.noted") == "Enter true"
    expect(demo.questions).to_have_count(0)
    input_method.send("Input.insertText", {"text": "日本"})
    assert demo.field.input_value() == "日本"
    demo.field.press("Enter")
    demo.ended()
    expect(demo.questions).to_have_text(["You日本"])
