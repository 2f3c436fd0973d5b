"""Images, audio and videos in the page: attached, dropped, pasted and recorded, and the errors where that fails."""

import base64
import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from playwright_tests.conftest import BOTH_BROWSERS, ChatPage
from playwright_tests.in_page import in_page
from tests.media.videos import add_tone, audio_alone, video_file

TESTED_IN = BOTH_BROWSERS


def image_bytes() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((300, 200)).convert("RGB").save(file, "PNG")
    return file.getvalue()


def audio_bytes(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes((np.sin(np.arange(16_000 * seconds) / 20) * 8000).astype("<i2").tobytes())
    return file.getvalue()


def voice_bytes() -> bytes:
    """Return audio in WebM, as messengers save it."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as output:
        add_tone(output, output.add_stream("libopus", rate=48_000), 1)
    return file.getvalue()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each kind, and some unusable ones."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "image.png").write_bytes(image_bytes())
    (folder / "audio.wav").write_bytes(audio_bytes(1))
    (folder / "long.wav").write_bytes(audio_bytes(31))
    (folder / "voice.webm").write_bytes(voice_bytes())
    (folder / "voice.mp4").write_bytes(audio_alone())
    (folder / "film.webm").write_bytes(video_file("webm", "libvpx", frames=3, with_audio=True, b="1M"))
    (folder / "silent.webm").write_bytes(video_file("webm", "libvpx", frames=3, b="1M"))
    (folder / "long.webm").write_bytes(video_file("webm", "libvpx", frames=32, rate=1, with_audio=True, b="1M"))
    (folder / "noise.webm").write_bytes(bytes(range(256)))
    (folder / "notes.txt").write_text("Nothing to see.")
    (folder / "empty.png").write_bytes(b"")
    (folder / "broken.png").write_bytes(image_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def context(tested: Browser) -> Iterator[BrowserContext]:
    """A context that allows microphone and camera; the browser has fake ones. Firefox allows them by its start
    options."""
    chromium = tested.browser_type.name == "chromium"
    context = tested.new_context(permissions=["microphone", "camera"] if chromium else None)
    yield context
    context.close()


@pytest.fixture(scope="module")
def loaded(context: BrowserContext, served: str) -> ChatPage:
    chat_page = ChatPage(context.new_page())
    chat_page.open(served)
    chat_page.set_options()
    chat_page.load()
    return chat_page


@pytest.fixture
def chat_page(loaded: ChatPage) -> ChatPage:
    """A new conversation."""
    loaded.page.get_by_role("button", name="New conversation").click()
    return loaded


def attach(chat_page: ChatPage, *files: Path) -> None:
    """Choose files by the button; in Firefox by the input, since it reports only a page's first chooser."""
    page = chat_page.page
    if "Firefox" in page.evaluate("navigator.userAgent"):
        page.locator("gemtab-chat input[type=file]").set_input_files(list(files))
        return
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach a file").click()
    chooser.value.set_files(list(files))


def ask(chat_page: ChatPage, text: str) -> None:
    """Send a message, and wait for the end of the answer."""
    chat_page.say(text)
    chat_page.ended()


def user_messages(page: Page) -> list[list[str]]:
    """Return the kinds of parts in the user's messages."""
    found: list[list[str]] = page.evaluate(in_page("element.partsOfQuestions"))
    return found


def first_message(page: Page) -> list[dict[str, Any]]:
    """Return the parts of the user's first message, without their bytes."""
    found: list[dict[str, Any]] = page.evaluate(in_page("element.firstParts"))
    return found


def test_every_kind_is_sent_with_the_words(chat_page: ChatPage, media: Path) -> None:
    page = chat_page.page
    attach(chat_page, media / "image.png", media / "audio.wav", media / "film.webm")
    tray = page.get_by_role("list", name="Attached")
    expect(tray.get_by_role("listitem")).to_have_count(3)
    expect(tray.get_by_role("img", name="image.png")).to_be_visible()
    ask(chat_page, "What is this?")
    expect(tray).to_be_hidden()
    assert user_messages(page) == [["image", "audio", "video", "text"]]
    log = page.get_by_role("log")
    expect(log.get_by_role("img", name="Image")).to_be_visible()
    expect(log.locator("audio[aria-label=Audio]")).to_be_visible()
    expect(log.locator("video[aria-label=Video]")).to_be_visible()
    ask(chat_page, "And now?")
    assert user_messages(page) == [["image", "audio", "video", "text"], ["text"]]


@pytest.mark.parametrize(
    ("example", "kind", "answer"),
    [
        ("What do you see?", "image", "A red circle left of a blue star."),
        ("What do I say?", "audio", "You say: three blue fish."),
    ],
)
def test_an_example_is_asked_by_a_click(chat_page: ChatPage, example: str, kind: str, answer: str) -> None:
    chat_page.set_options(maxTokens=24)
    chat_page.page.get_by_role("button", name=example).click()
    expect(chat_page.answers).to_contain_text(answer, timeout=60_000)
    chat_page.ended()
    assert user_messages(chat_page.page) == [[kind, "text"]]


def test_what_is_attached_can_be_taken_away(chat_page: ChatPage, media: Path) -> None:
    page = chat_page.page
    attach(chat_page, media / "image.png", media / "audio.wav")
    page.get_by_role("button", name="Remove image.png").click()
    expect(page.get_by_role("list", name="Attached").get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("button", name="Attach a file")).to_be_focused()
    page.get_by_role("button", name="Remove audio.wav").press("Enter")
    expect(page.get_by_role("list", name="Attached")).to_be_hidden()


def files_event(page: Page, selector: str, kind: str) -> None:
    """Drop or paste an image."""
    page.evaluate(
        in_page("element.transferImage"),
        [selector, kind, base64.b64encode(image_bytes()).decode()],
    )


@pytest.mark.parametrize(("selector", "kind"), [("[part~=log]", "drop"), ("textarea", "paste")])
def test_dropped_and_pasted(chat_page: ChatPage, selector: str, kind: str) -> None:
    page = chat_page.page
    files_event(page, selector, kind)
    expect(page.get_by_role("img", name="held.png")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.get_by_role("button", name="Remove held.png").click()


def test_files_that_cannot_be_taken_are_named(chat_page: ChatPage, media: Path) -> None:
    attach(chat_page, media / "notes.txt", media / "empty.png")
    notice = chat_page.page.get_by_role("alert").filter(has_text="notes.txt")
    expect(notice).to_contain_text("notes.txt is text/plain; this model takes an image, a video, an audio file.")
    expect(notice).to_contain_text("empty.png is empty")
    expect(chat_page.page.get_by_role("list", name="Attached")).to_be_hidden()


def test_a_damaged_image_leaves_conversation_and_draft(chat_page: ChatPage, media: Path) -> None:
    page = chat_page.page
    ask(chat_page, "Hello!")
    before = page.evaluate("document.querySelector('gemtab-chat').messages.length")
    attach(chat_page, media / "broken.png")
    field = page.get_by_label("Message", exact=True)
    field.fill("What is this?")
    field.press("Enter")
    expect(page.get_by_role("log").get_by_role("alert")).to_contain_text("damaged or incomplete")
    assert page.evaluate("document.querySelector('gemtab-chat').messages.length") == before
    expect(field).to_have_value("What is this?")
    page.get_by_role("button", name="Remove broken.png").click()
    field.fill("")


def ogg_bytes() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as output:
        add_tone(output, output.add_stream("libopus", rate=48_000), 1)
    return file.getvalue()


def test_files_are_what_they_hold_whatever_their_type(chat_page: ChatPage) -> None:
    page = chat_page.page
    files = {
        "voice.ogx": ("application/ogg", ogg_bytes(), "audio"),
        "audio": ("application/octet-stream", audio_bytes(1), "audio"),
        "image": ("application/octet-stream", image_bytes(), "img"),
        "film": ("application/x-matroska", video_file("matroska", "libvpx", frames=3, b="1M"), "video"),
    }
    page.locator("gemtab-chat input[type=file]").set_input_files(
        [FilePayload(name=name, mimeType=kind, buffer=content) for name, (kind, content, _) in files.items()]
    )
    for name, (_, _, element) in files.items():
        label = "alt" if element == "img" else "aria-label"
        expect(page.locator(f"{element}[{label}='{name}']")).to_have_count(1)
        page.get_by_role("button", name=f"Remove {name}").click()
    for content in (b"%PDF-1.7", b"PK\x03\x04" + bytes(99), b"Dear all,"):
        page.locator("gemtab-chat input[type=file]").set_input_files(
            [FilePayload(name="other", mimeType="application/octet-stream", buffer=content)]
        )
        expect(chat_page.notice).to_contain_text("other is application/octet-stream; this model takes")


def test_a_recording_is_attached(chat_page: ChatPage) -> None:
    page = chat_page.page
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_text("1 of 30 s")).to_be_visible()
    expect(page.get_by_label("Microphone level")).to_be_visible()
    page.get_by_role("button", name="Stop recording").click()
    expect(page.locator("audio[aria-label=Recording]")).to_be_visible()
    expect(page.get_by_label("Microphone level")).to_be_hidden()
    ask(chat_page, "What do I say?")
    assert user_messages(page) == [["audio", "text"]]


def test_an_image_from_the_camera_is_attached(chat_page: ChatPage) -> None:
    page = chat_page.page
    page.get_by_role("button", name="Camera").click()
    take = page.get_by_role("button", name="Take the photo")
    expect(take).to_be_focused()
    take.click()
    expect(page.get_by_role("img", name="Photo")).to_be_visible()
    expect(take).to_be_hidden()
    ask(chat_page, "What is this?")
    assert user_messages(page) == [["image", "text"]]


def test_image_detail_is_a_choice(chat_page: ChatPage, media: Path) -> None:
    page = chat_page.page
    page.get_by_label("Image detail").select_option("280 tokens")
    attach(chat_page, media / "image.png")
    ask(chat_page, "What is this?")
    detail = page.evaluate("document.querySelector('gemtab-chat').messages[0].content[0].detail")
    assert detail == 280
    page.get_by_label("Image detail").select_option("default")


def test_frames_and_detail_of_videos_are_a_choice(chat_page: ChatPage, media: Path) -> None:
    """The message is sent at once, while the page still detects the file's kind."""
    page = chat_page.page
    page.get_by_label("Image detail").select_option("140 tokens")
    page.get_by_label("Frames").select_option("8 frames")
    attach(chat_page, media / "silent.webm")
    chat_page.say("What is this?")
    expect(chat_page.questions).to_have_count(1)
    chat_page.ended()
    [film, _] = first_message(page)
    assert film == {"type": "video", "detail": 140, "frames": 8, "long": "segments"}
    page.get_by_label("Image detail").select_option("default")
    page.get_by_label("Frames").select_option("default")


def test_choices_fit_a_small_screen(chat_page: ChatPage) -> None:
    """The element's edge cuts no choice off; that would not make the page wider."""
    page = chat_page.page
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size({"width": 320, "height": 800})
    edge = chat_page.chat.evaluate("chat => chat.getBoundingClientRect().right")
    for label in ("Image detail", "Frames", "Long audio"):
        box = page.get_by_label(label).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] < edge, label
    page.set_viewport_size(before)


def test_audio_in_a_container_of_videos_is_attached_as_audio(chat_page: ChatPage, media: Path) -> None:
    """An unreadable container stays a video, and sending it shows the error."""
    page = chat_page.page
    names = ("voice.webm", "silent.webm", "voice.mp4", "film.webm", "noise.webm")
    attach(chat_page, *(media / name for name in names))
    shown = page.get_by_role("list", name="Attached").locator("audio, video")
    expect(shown).to_have_count(5)
    kinds = shown.evaluate_all("shown => shown.map(({ ariaLabel, localName }) => [ariaLabel, localName])")
    assert kinds == [list(pair) for pair in zip(names, ("audio", "video", "audio", "video", "video"), strict=True)]
    for name in ("silent.webm", "film.webm", "noise.webm"):
        page.get_by_role("button", name=f"Remove {name}").click()
    ask(chat_page, "What do I say?")
    assert first_message(page)[:2] == [{"type": "audio", "long": "segments"}] * 2


@pytest.mark.parametrize("name", ["long.wav", "long.webm"])
def test_audio_longer_than_the_model_hears_is_rejected_by_choice(chat_page: ChatPage, media: Path, name: str) -> None:
    """Also a video's audio."""
    page = chat_page.page
    page.get_by_label("Long audio").select_option("rejected")
    attach(chat_page, media / name)
    shown = page.get_by_role("list", name="Attached").get_by_label(name, exact=True)
    expect(shown).to_be_visible()
    chat_page.say("What do I say?")
    expect(page.get_by_role("log").get_by_role("alert")).to_contain_text("the model hears 30 at once")
    page.get_by_role("button", name=f"Remove {name}").click()
    chat_page.field.fill("")
    page.get_by_label("Long audio").select_option("in parts")


@pytest.mark.parametrize(("button", "device"), [("Record", "microphone"), ("Camera", "camera")])
def test_permission_denied_is_explained(chat_page: ChatPage, button: str, device: str) -> None:
    """The error of browsers when the visitor denies access. Chromium's fake devices cannot be denied."""
    page = chat_page.page
    page.evaluate(in_page("element.refuseDevices"), "NotAllowedError")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("alert").filter(has_text="may not be used")).to_contain_text(
        f"The {device} may not be used"
    )
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = globalThis.asked; }")


def test_no_camera_is_explained(chat_page: ChatPage) -> None:
    page = chat_page.page
    page.evaluate(in_page("element.refuseDevices"), "NotFoundError")
    page.get_by_role("button", name="Camera").click()
    expect(page.get_by_role("alert").filter(has_text="was found")).to_contain_text("No camera was found. Connect one")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = globalThis.asked; }")
