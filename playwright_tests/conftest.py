"""Real Chromium and Firefox with WebGPU, a served site and a bundle of models/tiny."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter
from filelock import FileLock
from playwright.sync_api import Browser, Page, Playwright, Response

from gemtab.bundle.manifest import MANIFEST_NAME
from playwright_tests.chromium import NOT_FOUND, SOFTWARE_GPU, UNCLEARED, find_chromium, launch_options
from playwright_tests.firefox import launched
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving
from tests.tables import TABLES

REPOSITORY = Path(__file__).parents[1]
TINY = REPOSITORY / "models" / "tiny"
CONTEXT = 2048
"""Context of the test bundles. The window of models/tiny is 64, so the rings wrap many times."""

BUNDLES = {"tiny": "q4", "exact": "f32"}
"""Weights of models/tiny's exports that every test can load."""

FAKE_DEVICES = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
"""Flags for a camera that shows a clock and a microphone that beeps, allowed without a question."""

COMPILE_MS = 240_000
"""Milliseconds in which a software GPU compiles the model's kernels while others use the machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options: the number of files of each kind about which models/tiny is asked (a software GPU takes seconds for
    each), and the number of inputs for each line of the corpus table."""
    parser.addoption("--accuracy-cases", type=int, default=3, help="cases of each kind in accuracy/; 200 are all")
    parser.addoption("--corpus", choices=["small", "full"], default="small", help="how much of corpus/ is drawn")


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    chromium = find_chromium()
    if chromium is None:
        pytest.fail(NOT_FOUND)
    return launch_options(chromium, SOFTWARE_GPU, UNCLEARED, *FAKE_DEVICES)


class SharedFolders:
    """Folders that all processes of a test run share. The first process that needs a folder makes it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return the folder of that name, which `make` writes."""
        path = self._root / name
        with FileLock(path.with_name(f"{name}.lock")):
            if not path.exists():
                part = path.with_name(f"{path.name}.part")
                make(part)
                part.rename(path)
        return path


@pytest.fixture(scope="session")
def shared_folders(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SharedFolders:
    """The folders of this test run."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if hasattr(request.config, "workerinput") else base) / "shared"
    root.mkdir(exist_ok=True)
    return SharedFolders(root)


def run_gemtab(*words: str | Path) -> None:
    """Run the command as its users do. Raises CalledProcessError."""
    subprocess.run([Path(sys.executable).with_name("gemtab"), *words], check=True, stdout=subprocess.PIPE)


@pytest.fixture(scope="session")
def bundles(shared_folders: SharedFolders) -> dict[str, Path]:
    """Exports of models/tiny by name; `exact` keeps every bit of the weights."""

    def export(weights: str, out: Path) -> None:
        run_gemtab("export", TINY, out, "--weights", weights, "--context", str(CONTEXT))

    return {name: shared_folders.folder(name, partial(export, weights)) for name, weights in BUNDLES.items()}


@pytest.fixture(scope="session")
def damaged(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of `tiny`, each with an error."""
    folder = tmp_path_factory.mktemp("damaged")
    copies = {name: folder / name for name in ("altered", "short", "missing", "large")}
    for copy in copies.values():
        shutil.copytree(bundles["tiny"], copy)
    weights = "onnx/decoder_model_merged_q4.onnx_data"
    content = bytearray((copies["altered"] / weights).read_bytes())
    content[len(content) // 2] ^= 1
    (copies["altered"] / weights).write_bytes(content)
    (copies["short"] / weights).write_bytes(content[:-4096])
    (copies["missing"] / weights).unlink()
    ask_for_a_large_gpu(copies["large"])
    return copies


def ask_for_a_large_gpu(bundle: Path) -> None:
    """Make the bundle's plans need more than any GPU has; digests are correct."""
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    for entry in manifest["plans"]:
        plan = json.loads((bundle / entry["file"]).read_text())
        plan["limits"]["maxComputeInvocationsPerWorkgroup"] = 1 << 20
        content = json.dumps(plan).encode()
        (bundle / entry["file"]).write_bytes(content)
        record = manifest["files"][entry["file"]]
        record["bytes"] = record["slice_bytes"] = len(content)
        record["sha256"] = [hashlib.sha256(content).hexdigest()]
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def served(bundles: dict[str, Path], damaged: dict[str, Path]) -> Iterator[str]:
    """The address of the development server with the built site and the bundles, with a final slash."""
    with serving({**bundles, **damaged}) as site:
        yield site


@pytest.fixture(scope="session", autouse=True)
def adapter(browser: Browser, served: str) -> None:
    """Check that Chromium has a WebGPU adapter. Without one, no test here is meaningful, so all fail."""
    if features(browser, served) is None:
        pytest.fail("Chromium has no WebGPU adapter. Is SwiftShader there, and the browser new enough (113)?")


def features(browser: Browser, site: str) -> list[str] | None:
    """The optional features of the browser's WebGPU adapter; None where there is no adapter."""
    page = browser.new_page()
    page.goto(site + "bundles/index.json")
    found: list[str] | None = page.evaluate(in_page("engine.features"))
    page.close()
    return found


@pytest.fixture(scope="session")
def firefox(playwright: Playwright, served: str) -> Iterator[Browser]:
    """Firefox, whose WebGPU adapter has f16."""
    with launched(playwright) as browser:
        found = features(browser, served)
        if found is None or "shader-f16" not in found:
            pytest.fail(f"Firefox's WebGPU adapter is to have shader-f16; found {found}. Is a Vulkan driver installed?")
        yield browser


BOTH_BROWSERS = ("in_chromium", "in_firefox")
"""The value of TESTED_IN in modules whose tests run in both browsers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a module's tests in each browser of its TESTED_IN, or in Chromium."""
    if "tested" in metafunc.fixturenames:
        names = getattr(metafunc.module, "TESTED_IN", BOTH_BROWSERS[:1])
        metafunc.parametrize("tested", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def tested(request: pytest.FixtureRequest) -> Browser:
    """The browser in which the element's page is opened."""
    browser: Browser = request.getfixturevalue("firefox" if request.param == "in_firefox" else "browser")
    return browser


@dataclass
class Watched:
    """A page's errors and warnings, and the addresses of its scripts, including those of its workers."""

    errors: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)


def watch(page: Page) -> Watched:
    """Record from `page`, which must not be open yet. Violations of the CSP are among the errors."""
    record = Watched()

    def on_response(response: Response) -> None:
        if "javascript" in response.headers.get("content-type", ""):
            record.scripts.append(response.url)

    page.on("console", lambda message: record.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: record.errors.append(str(error)))
    page.on("response", on_response)
    return record


class ChatPage:
    """A page with the element, used as a visitor does."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.watched = watch(page)
        self.errors_of_loading: list[str] = []
        self.chat = page.locator("gemtab-chat")
        self.load_button = page.get_by_role("button", name="Load the model")
        self.field = page.get_by_role("textbox", name="Message")
        self.log = page.get_by_role("log")
        self.answers = self.log.locator("article.assistant")
        self.questions = self.log.locator("article.user")
        self.notice = self.chat.get_by_role("alert")

    def open(self, address: str) -> None:
        self.page.goto(address)

    def load(self) -> None:
        """Load the model by the button, and wait until it is ready."""
        self.load_button.click()
        self.wait_for_state("ready")

    def wait_for_state(self, state: str) -> None:
        self.page.locator(f"gemtab-chat:state({state})").wait_for(timeout=COMPILE_MS)

    def say(self, text: str, **options: Any) -> None:
        """Send `text` with the Enter key. `ended` waits for the end of the answer."""
        self.set_options(**options)
        self.field.fill(text)
        self.field.press("Enter")

    def ended(self) -> dict[str, Any]:
        """Return the detail of the `message` event of the current or last answer."""
        self.wait_for_state("ready")
        [message] = self.recorded("message")
        return message

    def set_options(self, **options: Any) -> None:
        """Set sampling and length of later answers, and start a new record of events."""
        self.page.evaluate(in_page("element.setOptions"), options)

    def recorded(self, event: str) -> list[dict[str, Any]]:
        """Return the details of all events of this name since `set_options`."""
        events: list[tuple[str, dict[str, Any]]] = self.page.evaluate("window.record")
        return [detail for name, detail in events if name == event]

    def restart(self, messages: list[dict[str, Any]] | None = None) -> None:
        """Show another conversation, by default an empty one."""
        self.page.evaluate("m => { document.querySelector('gemtab-chat').messages = m }", messages or [])
        self.wait_for_state("ready")


@pytest.fixture
def patient_page(browser: Browser) -> Iterator[Page]:
    """Return a new page that shares nothing with others, with a timeout that suffices for compiling."""
    page = browser.new_page()
    page.set_default_timeout(COMPILE_MS)
    yield page
    page.close()


@pytest.fixture
def chat_page(tested: Browser) -> Iterator[ChatPage]:
    """A new page, not open yet, that shares nothing with others."""
    page = tested.new_page()
    yield ChatPage(page)
    page.close()


@pytest.fixture(scope="session")
def demo_page(tested: Browser, served: str) -> Iterator[ChatPage]:
    """The demo page with the tiny model loaded: once for all tests, since compiling takes long on a software GPU."""
    page = tested.new_page(viewport={"width": 1000, "height": 800})
    demo = ChatPage(page)
    demo.open(served)
    page.locator("#bundle").select_option("bundles/tiny/")
    demo.set_options()
    demo.load()
    demo.errors_of_loading = list(demo.watched.errors)
    yield demo
    page.close()


@pytest.fixture
def demo(demo_page: ChatPage) -> ChatPage:
    """The demo page with an empty conversation."""
    demo_page.restart()
    demo_page.set_options()
    return demo_page


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the tables from the reports, since tests may have run in other processes."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    for table in TABLES:
        lines = [line for report in reports for name, line in report.user_properties if name == table]
        if lines:
            terminalreporter.section(table)
        for line in lines:
            terminalreporter.write_line(str(line))
