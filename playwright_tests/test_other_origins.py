"""A page whose bundle, and whose copy of gemtab, are on other origins: a model hub, a content delivery network."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gemtab import resources
from playwright_tests.conftest import COMPILE_MS, REPOSITORY, ChatPage
from playwright_tests.in_page import in_page
from playwright_tests.serving import running

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Elsewhere</title>
<script type="module" src="{script}gemtab-chat.js"></script><gemtab-chat src="{bundle}"></gemtab-chat></html>"""

POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src {script}; worker-src blob: {script}; "
    "img-src {script}; connect-src {connect}"
)


@dataclass(frozen=True)
class Origins:
    """Addresses of servers. open: lets every origin read the built site and bundles/tiny; closed: does not."""

    open: str
    closed: str


@pytest.fixture(scope="module")
def origins(bundles: dict[str, Path]) -> Iterator[Origins]:
    routes = [
        Mount("/bundles/tiny", StaticFiles(directory=bundles["tiny"])),
        Mount("/examples", StaticFiles(directory=REPOSITORY / "site" / "examples")),
        Mount("/npm", StaticFiles(directory=REPOSITORY / "dist" / "npm")),
        Mount("/", StaticFiles(directory=resources.site())),
    ]
    anyone = Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["Range"])
    with ExitStack() as stack:
        apps = (Starlette(routes=routes, middleware=[anyone]), Starlette(routes=routes))
        yield Origins(*(stack.enter_context(running(app)) for app in apps))


def open_page(chat_page: ChatPage, stack: ExitStack, script: str, bundle: str, policy: str | None = None) -> None:
    """Open a page of its own origin with that script and bundle."""
    headers = {} if policy is None else {"Content-Security-Policy": policy}
    html = PAGE.format(script=script, bundle=bundle)
    app = Starlette(routes=[Route("/", lambda _: HTMLResponse(html, headers=headers))])
    chat_page.open(stack.enter_context(running(app)))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_a_page_with_all_of_it_elsewhere_answers(chat_page: ChatPage, origins: Origins, stack: ExitStack) -> None:
    """Under a policy that allows only what is needed."""
    policy = POLICY.format(script=origins.open, connect=origins.open)
    open_page(chat_page, stack, origins.open, f"{origins.open}bundles/tiny/", policy)
    chat_page.set_options()
    chat_page.load()
    chat_page.say("Hello!")
    assert chat_page.ended()["text"] != ""
    assert chat_page.watched.errors == []


@pytest.mark.parametrize("folder", ["npm/", "npm/cdn/"])
def test_the_packed_files_on_a_delivery_network_answer_about_an_image(
    chat_page: ChatPage, origins: Origins, stack: ExitStack, folder: str
) -> None:
    """As `<script type=module>` alone: the package's modules with their scripts beside them, and the one file."""
    script = origins.open + folder
    policy = POLICY.format(script=f"blob: {origins.open}", connect=origins.open)
    open_page(chat_page, stack, script, f"{origins.open}bundles/tiny/", policy)
    chat_page.page.set_default_timeout(COMPILE_MS)
    _, answer = chat_page.page.evaluate(in_page("element.describe"), f"{origins.open}examples/shapes.webp")
    assert "circle" in answer
    assert chat_page.watched.errors == []
    scripts = [address.removeprefix(script) for address in chat_page.watched.scripts if address.startswith(script)]
    assert (scripts == ["gemtab-chat.js"]) == (folder == "npm/cdn/")


def test_a_bundle_that_no_other_origin_may_read(chat_page: ChatPage, origins: Origins, stack: ExitStack) -> None:
    open_page(chat_page, stack, origins.open, f"{origins.closed}bundles/tiny/")
    chat_page.notice.get_by_text("It is on another origin than the page").first.wait_for()
    found = chat_page.notice.first.inner_text()
    assert f"{origins.closed.rstrip('/')} must allow that (Access-Control-Allow-Origin)" in found
    assert "connect-src" in found


def test_a_policy_that_forbids_the_bundles_origin(chat_page: ChatPage, origins: Origins, stack: ExitStack) -> None:
    policy = POLICY.format(script=origins.open, connect="'self'")
    open_page(chat_page, stack, origins.open, f"{origins.open}bundles/tiny/", policy)
    chat_page.notice.get_by_text("security policy where it has one (connect-src)").first.wait_for()


def test_a_policy_that_forbids_what_the_bundles_origin_redirects_to(
    chat_page: ChatPage, origins: Origins, stack: ExitStack
) -> None:
    """As a model hub does with large files."""

    def elsewhere(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{origins.open}{request.url.path[1:]}")

    anyone = Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["Range"])
    hub = stack.enter_context(running(Starlette(routes=[Route("/{path:path}", elsewhere)], middleware=[anyone])))
    open_page(chat_page, stack, origins.open, f"{hub}bundles/tiny/", POLICY.format(script=origins.open, connect=hub))
    notice = chat_page.notice.get_by_text(f"name the hosts that {hub.rstrip('/')} redirects to").first
    notice.wait_for()
    both = POLICY.format(script=origins.open, connect=f"{hub} {origins.open}")
    open_page(chat_page, stack, origins.open, f"{hub}bundles/tiny/", both)
    chat_page.chat.locator("[part=facts]").get_by_text("of the GPU's memory").wait_for()


def test_a_policy_that_forbids_the_worker(chat_page: ChatPage, origins: Origins, stack: ExitStack) -> None:
    policy = POLICY.format(script=origins.open, connect=origins.open).replace("worker-src blob: ", "worker-src ")
    open_page(chat_page, stack, origins.open, f"{origins.open}bundles/tiny/", policy)
    chat_page.notice.get_by_text("The worker of gemtab could not run").first.wait_for()
    assert "worker-src blob:" in chat_page.notice.first.inner_text()
