"""Unusual pages: without an origin, under strict policies, with bundles at signed and redirected addresses."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect
from playwright.sync_api import Route as Intercepted
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gemtab import resources
from playwright_tests.conftest import REPOSITORY, ChatPage
from playwright_tests.in_page import in_page
from playwright_tests.serving import running

ANYONE = Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["Range"])
"""Headers that let every origin read, including none."""

EXAMPLES = Mount("/examples", StaticFiles(directory=REPOSITORY / "site" / "examples"))

STRICT = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self'; require-trusted-types-for 'script'; trusted-types gemtab"
)


BASE = '<base href="/">'
SCRIPT = '<script type="module" src="gemtab-chat.js"></script>'
FRAME = '<iframe sandbox="allow-scripts" src="inner.html"></iframe>'
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}

NOTHING = "nothing-here/"
"""An address without a bundle: a running worker reports that the bundle is missing."""

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers with the built site behind `routes`. Returns their addresses."""
    with ExitStack() as stack:

        def start(*routes: BaseRoute, middleware: tuple[Middleware, ...] = ()) -> str:
            rest = [
                Route("/favicon.ico", lambda _: Response(status_code=204)),
                Mount("/", StaticFiles(directory=resources.site())),
            ]
            return stack.enter_context(running(Starlette(routes=[*routes, *rest], middleware=list(middleware))))

        yield start


@pytest.fixture
def page(patient_page: Page) -> Page:
    return patient_page


def html(path: str, body: str = "", headers: Mapping[str, str] | None = None) -> Route:
    """Return a page with that body."""
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Page</title>{body}</html>'
    return Route(path, lambda _: HTMLResponse(text, headers=headers))


def bundle(folder: Path) -> Mount:
    return Mount("/bundles/tiny", StaticFiles(directory=folder))


def load(page: Page, src: str, **options: str) -> str:
    """Return 'loaded', or the error message of a load on the open page."""
    words: str = page.evaluate(in_page("gemma.tryLoad"), [src, options])
    return words


class Signed(StaticFiles):
    """Files that need the correct signature."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Reply 403 without the signature."""
        if scope["query_string"] != b"signature=a%2Fb&until=9":
            return Response(status_code=403)
        return await super().get_response(path, scope)


class TestAFrameWithoutAnOrigin:
    def test_answers_about_an_image(self, page: Page, serve: Serve, bundles: dict[str, Path]) -> None:
        element = f'{SCRIPT}<gemtab-chat src="bundles/tiny"></gemtab-chat>'
        preload = '<link rel="modulepreload" href="gemtab-chat.js">'
        routes = [html("/", FRAME), html("/inner.html", preload + element), EXAMPLES, bundle(bundles["tiny"])]
        page.goto(serve(*routes, middleware=(ANYONE,)))
        origin, answer = page.frames[-1].evaluate(in_page("element.describe"), "examples/shapes.webp")
        assert origin == "null"
        assert "circle" in answer

    def test_is_reported_where_a_host_forbids_reading(self, page: Page, serve: Serve, bundles: dict[str, Path]) -> None:
        closed = serve(bundle(bundles["tiny"]))
        site = serve(html("/", FRAME), html("/inner.html"), middleware=(ANYONE,))
        page.goto(site)
        words = page.frames[-1].evaluate(in_page("gemma.tryLoad"), [f"{closed}bundles/tiny", {}])
        assert "sandboxed frame without allow-same-origin" in words
        assert f"{closed.rstrip('/')} must allow that (Access-Control-Allow-Origin)" in words


def test_the_demo_page_under_trusted_types(chat_page: ChatPage, serve: Serve, bundles: dict[str, Path]) -> None:
    """The strictest policy, for everything: no violation, and no download that appears failed."""
    failed: list[str] = []
    chat_page.page.on("requestfailed", lambda request: failed.append(f"{request.url} {request.failure}"))
    text = (resources.site() / "index.html").read_text(encoding="utf-8")
    demo = Route("/", lambda _: HTMLResponse(text, headers={"Content-Security-Policy": STRICT}))
    chat_page.open(serve(demo, bundle(bundles["tiny"])))
    chat_page.set_options()
    chat_page.load()
    chat_page.page.get_by_role("button", name="What do you see?").click()
    chat_page.wait_for_state("answering")
    assert "circle" in chat_page.ended()["text"]
    assert chat_page.watched.errors == []
    assert failed == []


def test_the_demo_page_offers_what_a_static_host_lists(
    chat_page: ChatPage, serve: Serve, bundles: dict[str, Path]
) -> None:
    """The site has its own list, which a host may replace."""
    listed = Route("/bundles/index.json", lambda _: JSONResponse(["my own"]))
    chat_page.open(serve(listed, Mount("/bundles/my own", StaticFiles(directory=bundles["tiny"]))) + "index.html")
    expect(chat_page.chat.locator("[part=facts]")).to_contain_text("tiny: ")
    assert chat_page.watched.errors == []


class TestTheWorker:
    """The errors where a page cannot start the worker."""

    def test_is_blocked_by_the_content_security_policy(self, page: Page, serve: Serve) -> None:
        policy = {"Content-Security-Policy": "script-src 'self'; worker-src 'none'"}
        page.goto(serve(html("/", headers=policy)))
        words = load(page, NOTHING)
        assert "UsageError: The worker of gemtab could not run: the page's content security policy blocks it" in words
        assert "Allow worker-src 'self'." in words

    def test_is_blocked_by_trusted_types(self, page: Page, serve: Serve) -> None:
        policy = {"Content-Security-Policy": "require-trusted-types-for 'script'; trusted-types other"}
        page.goto(serve(html("/", headers=policy)))
        assert "must allow the policy gemtab (trusted-types gemtab)" in load(page, NOTHING)

    def test_is_sent_without_the_embedder_policy_of_the_page(self, page: Page, serve: Serve) -> None:
        page.goto(serve(html("/", headers=ISOLATED)))
        words = load(page, NOTHING)
        assert "The page is sent with the header Cross-Origin-Embedder-Policy" in words
        assert "must be sent with it too" in words

    def test_of_another_origin_runs_in_an_isolated_page(self, page: Page, serve: Serve) -> None:
        page.goto(serve(html("/", headers=ISOLATED)))
        assert "gemtab.json is missing" in load(page, NOTHING, assets=serve(middleware=(ANYONE,)))

    def test_is_missing(self, page: Page, serve: Serve) -> None:
        page.goto(serve(html("/")))
        words = load(page, NOTHING, assets="copies")
        assert f"its script did not load from {page.url}copies/gemtab-worker-" in words
        assert ".js (HTTP 404). Copy the file there, or name its folder" in words

    def test_is_a_page_instead(self, page: Page, serve: Serve) -> None:
        """As hosts of single-page applications reply."""
        page.goto(serve(html("/"), html("/copies/{path:path}")))
        assert 'is not a script, but "text/html; charset=utf-8"' in load(page, NOTHING, assets="copies")

    def test_runs_from_the_folder_that_is_named(self, page: Page, serve: Serve) -> None:
        copies = Mount("/my/copies", Signed(directory=resources.site()))
        page.goto(serve(html("/"), copies))
        assert "gemtab.json is missing" in load(page, NOTHING, assets="my/copies?signature=a%2Fb&until=9")


def test_a_media_script_that_is_missing_is_named_and_found_when_it_is_there(
    page: Page, serve: Serve, bundles: dict[str, Path], tmp_path: Path
) -> None:
    [media] = resources.site().glob("gemtab-worker-media-*.js")
    [worker] = set(resources.site().glob("gemtab-worker-*.js")) - {media}
    shutil.copy(worker, tmp_path)
    element = '<gemtab-chat src="bundles/tiny" assets="my"></gemtab-chat>'
    routes = [EXAMPLES, Mount("/my", StaticFiles(directory=tmp_path)), bundle(bundles["tiny"])]
    page.goto(serve(html("/", SCRIPT + element), *routes))
    with pytest.raises(Error, match=f"did not load from {page.url}my/{media.name}") as failure:
        page.evaluate(in_page("element.describe"), "examples/shapes.webp")
    assert "Text still works." in str(failure.value)
    shutil.copy(media, tmp_path)
    assert "circle" in page.evaluate(in_page("element.describe"), "examples/shapes.webp")[1]


class TestABundle:
    def test_at_a_signed_address(self, page: Page, serve: Serve, bundles: dict[str, Path]) -> None:
        page.goto(serve(html("/"), Mount("/bundles/tiny", Signed(directory=bundles["tiny"]))))
        assert load(page, "bundles/tiny/gemtab.json?signature=a%2Fb&until=9#part") == "loaded"
        words = load(page, "bundles/tiny?signature=a%2Fb&until=8")
        assert "gemtab.json could not be fetched (HTTP 403)" in words
        assert "A signed address may have expired" in words

    def test_each_file_of_which_is_redirected_elsewhere(
        self, page: Page, serve: Serve, bundles: dict[str, Path]
    ) -> None:
        """As hubs do, to addresses by content: only the given address leads to the next file."""
        files: list[str] = []

        def redirect(request: Request) -> RedirectResponse:
            files.append(request.path_params["file"])
            return RedirectResponse(f"{store}blobs/{len(files) - 1}?token=1")

        def blob(request: Request) -> FileResponse:
            return FileResponse(bundles["tiny"] / files[request.path_params["number"]])

        store = serve(Route("/blobs/{number:int}", blob), middleware=(ANYONE,))
        page.goto(serve(html("/"), Route("/me/my model/resolve/main/{file:path}", redirect)))
        assert load(page, "me/my%20model/resolve/main") == "loaded"
        assert files[0] == "gemtab.json"
        assert len(set(files)) > 10

    def test_beside_the_base_of_a_page(self, page: Page, serve: Serve, bundles: dict[str, Path]) -> None:
        page.goto(serve(html("/deep/page.html", BASE), bundle(bundles["tiny"])) + "deep/page.html")
        name = "import('/gemtab.js').then(m => m.preview('bundles/tiny')).then(p => p.manifest.source.name)"
        assert page.evaluate(name) == "tiny"

    @pytest.mark.parametrize("src", ["data:application/json,{}", "blob:http://127.0.0.1/0"])
    def test_that_is_one_file(self, page: Page, serve: Serve, src: str) -> None:
        page.goto(serve(html("/")))
        assert "holds one file, and a folder of files is needed" in load(page, src)

    def test_beside_a_page_from_a_file(self, chat_page: ChatPage, serve: Serve, tmp_path: Path) -> None:
        site = serve(middleware=(ANYONE,))
        element = f'<script type="module" src="{site}gemtab-chat.js"></script><gemtab-chat src="tiny/"></gemtab-chat>'
        (tmp_path / "page.html").write_text(f"<!doctype html>{element}")
        chat_page.open((tmp_path / "page.html").as_uri())
        chat_page.notice.get_by_text("serve the folder over HTTP, as `gemtab serve` does").first.wait_for()


def test_a_page_that_is_not_secure(page: Page, bundles: dict[str, Path]) -> None:
    """http, and another host than this machine: browsers give such a page neither WebGPU nor digests."""

    def answer(request: Intercepted) -> None:
        path = request.request.url.removeprefix("http://plain.example/")
        file = bundles["tiny"] / path.removeprefix("bundles/tiny/") if "bundles" in path else resources.site() / path
        if path:
            request.fulfill(path=file)
        else:
            request.fulfill(body="<!doctype html>", content_type="text/html")

    page.route("http://plain.example/**", answer)
    page.goto("http://plain.example/")
    assert "DeviceError: WebGPU needs a page from https:// or localhost" in load(page, "bundles/tiny/")
