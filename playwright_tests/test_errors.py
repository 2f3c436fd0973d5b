"""Each error ends in one plain paragraph, an error event, and a way to continue."""

import os
import signal
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType, Playwright, Route, expect

from playwright_tests.conftest import BOTH_BROWSERS, ChatPage

TESTED_IN = BOTH_BROWSERS


def embed(chat_page: ChatPage, served: str, bundle: str) -> None:
    """Open the example page and set its element's bundle."""
    chat_page.open(served + "example.html")
    chat_page.set_options()
    chat_page.page.evaluate("src => { document.querySelector('gemtab-chat').src = src }", f"bundles/{bundle}/")


def fails(chat_page: ChatPage) -> dict[str, Any]:
    """Wait for the error. Returns the error of the event, whose message is shown too."""
    chat_page.wait_for_state("error")
    error = chat_page.recorded("error")[-1]
    expect(chat_page.notice).to_have_text(error["message"])
    expect(chat_page.page.get_by_role("button", name="Try again")).to_be_visible()
    return error


def test_a_missing_bundle(chat_page: ChatPage, served: str) -> None:
    embed(chat_page, served, "nothing-here")
    error = fails(chat_page)
    assert error["name"] == "BundleError"
    assert "gemtab.json" in error["message"]


def test_a_bundle_of_another_format_version(chat_page: ChatPage, served: str) -> None:
    def newer(route: Route) -> None:
        manifest = route.fetch().json()
        route.fulfill(json={**manifest, "format": 2})

    chat_page.page.route("**/bundles/exact/gemtab.json", newer)
    embed(chat_page, served, "exact")
    error = fails(chat_page)
    assert error["name"] == "BundleError"
    assert "2" in error["message"] and "1" in error["message"]


def test_a_plan_that_is_not_known(chat_page: ChatPage, served: str) -> None:
    chat_page.open(served + "example.html")
    chat_page.set_options()
    chat_page.page.evaluate("document.querySelector('gemtab-chat').plan = 'f64'")
    chat_page.page.evaluate("document.querySelector('gemtab-chat').src = 'bundles/exact/'")
    error = fails(chat_page)
    assert error["name"] == "UsageError"
    assert 'plan: "f64" is not known. Choose one of "auto", "f16", "f32".' in error["message"]


@pytest.mark.parametrize("damage", ["altered", "short", "missing"])
def test_a_damaged_shard(chat_page: ChatPage, served: str, damage: str) -> None:
    embed(chat_page, served, damage)
    chat_page.load_button.click()
    error = fails(chat_page)
    assert error["name"] == "BundleError"
    assert "onnx/decoder_model_merged" in error["message"]


def test_limits_that_are_too_small(chat_page: ChatPage, served: str) -> None:
    embed(chat_page, served, "large")
    chat_page.load_button.click()
    error = fails(chat_page)
    assert error["name"] == "DeviceError"
    assert "maxComputeInvocationsPerWorkgroup" in error["message"]


def test_a_browser_without_webgpu(chat_page: ChatPage, served: str) -> None:
    chat_page.page.add_init_script("Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })")
    chat_page.open(served + "example.html")
    expect(chat_page.notice).to_contain_text("This browser has no WebGPU")
    expect(chat_page.notice).to_contain_text("Chrome, Edge, Safari and Firefox")


def test_a_browser_that_finds_no_gpu(
    playwright: Playwright, browser_type_launch_args: dict[str, Any], served: str
) -> None:
    arguments = [flag for flag in browser_type_launch_args["args"] if "webgpu" not in flag]
    browser = playwright.chromium.launch(**{**browser_type_launch_args, "args": [*arguments, "--disable-gpu"]})
    chat_page = ChatPage(browser.new_page())
    chat_page.open(served + "example.html")
    chat_page.set_options()
    expect(chat_page.notice).to_contain_text("WebGPU")
    chat_page.page.get_by_role("button", name="Try again").click()
    assert fails(chat_page)["name"] == "DeviceError"
    browser.close()


def test_a_page_that_is_not_secure(browser: Browser, served: str) -> None:
    """WebGPU needs a secure page, and the message says so instead of blaming the browser."""
    chat_page = ChatPage(browser.new_page())

    def from_server(route: Route) -> None:
        address = route.request.url.replace("http://plain.example/", served)
        route.fulfill(response=route.fetch(url=address))

    chat_page.page.route("http://plain.example/**", from_server)
    chat_page.open("http://plain.example/example.html")
    expect(chat_page.notice).to_contain_text("https:// or localhost")
    chat_page.page.unroute_all(behavior="ignoreErrors")
    chat_page.page.close()


def test_a_lost_gpu_is_explained(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any], served: str
) -> None:
    """In its own browser, whose GPU process is killed."""
    browser = browser_type.launch(**browser_type_launch_args)
    chat_page = ChatPage(browser.new_page())
    chat_page.open(served)
    chat_page.set_options()
    chat_page.load()
    kill_gpu_process(browser)
    error = fails(chat_page)
    assert error["name"] == "DeviceError"
    assert "Load the model again" in error["message"]
    # Again, during an answer: the text so far stays.
    chat_page.set_options()
    chat_page.page.get_by_role("button", name="Try again").click()
    chat_page.wait_for_state("ready")
    chat_page.say("What is gemtab?", maxTokens=500, temperature=1)
    chat_page.answers.last.locator("[part~=answer-text]:not(:empty)").wait_for()
    kill_gpu_process(browser)
    assert fails(chat_page)["name"] == "DeviceError"
    [done] = chat_page.recorded("message")
    question, answer = chat_page.page.evaluate("document.querySelector('gemtab-chat').messages")
    assert done["finish"] == "lost" and done["text"] != ""
    assert question == {"role": "user", "content": "What is gemtab?"}
    assert answer == {"role": "assistant", "content": done["text"]}
    browser.close()


def kill_gpu_process(browser: Browser) -> None:
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    (gpu,) = (process["id"] for process in processes if process["type"] == "GPU")
    os.kill(gpu, signal.SIGKILL)
