"""transformers.js and gemtab on the same bundle in one Chromium: `python -m benchmarks.engines BUNDLE`.

Both get the same ids and decode greedily. The first run of each engine compiles and does not count; the medians of the
others are printed. The speed of a prompt is its tokens divided by the time to the first token; the speed of decoding is
that of the further tokens.
"""

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, BrowserType, Error, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from gemtab.bundle.folder import read_manifest
from gemtab.checkpoint import load_spec
from gemtab.cli.demo import demo_bundle
from playwright_tests.chromium import NOT_FOUND, SOFTWARE_GPU, UNCLEARED, find_chromium, launch_options
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving
from playwright_tests.transformers_js import open_transformers_js

NAME = "measured"
"""The bundle's name on the server."""

TIMEOUT_MS = 1_800_000


LOADED = (
    """() => performance.getEntriesByType('resource').map(({ name, decodedBodySize }) => [name, decodedBodySize])"""
)


@dataclass(frozen=True)
class Measured:
    """The figures of one engine. prompt, decode: tokens per second. first: seconds to the first token. load: seconds
    until ready. code: bytes of loaded script and wasm, uncompressed. ids: the decoded ids."""

    engine: str
    prompt: float
    decode: float
    first: float
    load: float
    code: int
    ids: list[int]


def main() -> None:
    """The command."""
    options = _options()
    console = Console(width=120)
    bundle = options.bundle or demo_bundle()
    manifest, vocabulary = read_manifest(bundle), load_spec(bundle).text.vocabulary
    draw = random.Random(1)
    # Special tokens and placeholders have ids below 30 in the tiny model, and are rare in others.
    prompt = [draw.randrange(30, vocabulary) for _ in range(options.prompt)]
    chromium = find_chromium()
    if chromium is None:
        sys.exit(NOT_FOUND)
    engines = ["gemtab", *(f"transformers.js {device}" for device in options.devices)]
    found = []
    with serving({NAME: bundle}) as site, sync_playwright() as playwright:
        browser, adapter = launch_browser(playwright.chromium, chromium, site)
        console.print(f"{manifest.source.name}, {manifest.weights} weights, on {adapter}, Chromium {browser.version}")
        console.print(f"{options.prompt} prompt tokens, {options.steps} decoded, median of {options.runs} runs\n")
        for engine in engines:
            try:
                found.append(_measure(browser, site, engine, prompt, options.steps, options.runs))
            except Error as error:
                console.print(f"{engine} failed: {error.message.splitlines()[0]}", markup=False)
        browser.close()
    if found:
        console.print(_table(found))
    sys.exit(int(len(found) < len(engines)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, help="folder of a bundle; the tiny model's unless given")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of the prompt [256]")
    parser.add_argument("--steps", type=int, default=64, help="tokens decoded [64]")
    parser.add_argument("--runs", type=int, default=3, help="runs that count [3]")
    parser.add_argument(
        "--devices", nargs="*", default=["webgpu", "wasm"], help="transformers.js' devices [webgpu wasm]"
    )
    return parser.parse_args()


def launch_browser(kind: BrowserType, chromium: str, site: str) -> tuple[Browser, str]:
    """Open a browser on this machine's GPU, or on a software GPU. Return the browser and the adapter's name."""
    for flags in (["--enable-features=Vulkan", "--ignore-gpu-blocklist"], [SOFTWARE_GPU, UNCLEARED]):
        browser = kind.launch(**launch_options(chromium, *flags))
        page = browser.new_page()
        page.goto(f"{site}bundles/index.json")
        adapter = page.evaluate(in_page("engine.adapterName"))
        page.close()
        if adapter:
            return browser, adapter
        browser.close()
    sys.exit("Chromium has no WebGPU adapter, not even SwiftShader. Is it new enough (113)?")


def _measure(browser: Browser, site: str, engine: str, prompt: list[int], steps: int, runs: int) -> Measured:
    """Load an engine on a new page and decode. Raises Error if the engine fails."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    try:
        started = _now(page)
        run = _load_ours(page, site) if engine == "gemtab" else _load_theirs(page, site, engine.split()[-1])
        load = (_now(page) - started) / 1000
        run(prompt, steps)
        answers = [run(prompt, steps) for _ in range(runs)]
        code = sum(size for name, size in page.evaluate(LOADED) if name.endswith(("js", "wasm")))
    finally:
        page.close()
    first = median(answer["times"][0] for answer in answers) / 1000
    rest = median(answer["times"][-1] - answer["times"][0] for answer in answers) / 1000
    return Measured(engine, len(prompt) / first, (steps - 1) / rest, first, load, code, answers[-1]["ids"])


Run = Callable[[list[int], int], dict[str, Any]]


def _load_ours(page: Page, site: str) -> Run:
    page.goto(f"{site}example.html")
    page.evaluate(in_page("engine.loadGreedy"), [site, NAME])
    return lambda prompt, steps: dict(page.evaluate(in_page("engine.run"), [prompt, steps]))


def _load_theirs(page: Page, site: str, device: str) -> Run:
    open_transformers_js(page, site)
    page.evaluate(in_page("transformers.loadText"), [device, NAME])
    return lambda prompt, steps: dict(page.evaluate(in_page("transformers.run"), [prompt, steps]))


def _now(page: Page) -> float:
    """Return milliseconds on a clock that navigation does not reset."""
    now: float = page.evaluate("Date.now()")
    return now


def _table(found: list[Measured]) -> Table:
    """Return a table, one line per engine. After each number: how many times better the first engine is."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("engine", no_wrap=True)
    for name in ("prompt tok/s", "decode tok/s", "first token ms", "load s", "code MB", "same tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    ours = found[0]
    for one in found:
        same = sum(a == b for a, b in zip(one.ids, ours.ids, strict=True))
        cells = [
            _cell(one.prompt, ours.prompt / one.prompt, one is ours),
            _cell(one.decode, ours.decode / one.decode, one is ours),
            _cell(1000 * one.first, one.first / ours.first, one is ours),
            _cell(one.load, one.load / ours.load, one is ours),
            _cell(one.code / 1e6, one.code / ours.code, one is ours),
        ]
        table.add_row(one.engine, *cells, f"{same}/{len(one.ids)}")
    return table


def _cell(value: float, ratio: float, is_ours: bool) -> str:
    return f"{value:,.2f}" if is_ours else f"{value:,.2f} ({ratio:.2f}x)"


if __name__ == "__main__":
    main()
