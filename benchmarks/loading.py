"""Memory of loading a bundle in Chromium: `python -m benchmarks.loading BUNDLE...`.

Prints for each bundle, with per-layer embeddings on the GPU and on the host: the peak of JavaScript memory during the
load (heaps and ArrayBuffers of page and worker, as playwright_tests/loading.py samples them), the allocated GPU memory,
and the GPU memory that the manifest states. `gemtab synth` makes checkpoints of the published shapes.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.table import Table

from benchmarks.engines import launch_browser
from gemtab.bundle.folder import read_manifest
from gemtab.bundle.memory import memory_need
from gemtab.bundle.plan import Residence
from gemtab.cli.console import out, size
from playwright_tests.chromium import NOT_FOUND, find_chromium
from playwright_tests.loading import MAX_BYTES, watch_loading
from playwright_tests.serving import serving

NAME = "loaded"
"""The bundle's name on the server."""

HOST_EMBEDDINGS: dict[Residence, str] = {"gpu": "never", "host": "always"}


@dataclass(frozen=True)
class Measured:
    """script: peak bytes of JavaScript. allocated, stated: bytes on the GPU."""

    bundle: str
    embeddings: Residence
    script: int
    allocated: int
    stated: int


def residences(bundle: Path) -> list[Residence]:
    """Return the residences of per-layer embeddings that the bundle permits."""
    return ["gpu", "host"] if read_manifest(bundle).plans[0].memory.embeddings else ["gpu"]


def measure(browser: Browser, site: str, bundle: Path, embeddings: Residence) -> Measured:
    """Load the bundle, which `site` serves, on a new page. Return the figures."""
    page = browser.new_page()
    try:
        watched = watch_loading(page, site, NAME, {"hostEmbeddings": HOST_EMBEDDINGS[embeddings]})
        info = page.evaluate("({ context: gemma.info.context, ...gemma.info.stats })")
    finally:
        page.close()
    plan = next(plan for plan in read_manifest(bundle).plans if plan.activation == info["activation"])
    stated = memory_need(plan, info["context"], info["embeddings"]).total
    return Measured(bundle.name, info["embeddings"], watched.most, info["gpuBytes"], stated)


def print_table(found: list[Measured]) -> None:
    """Return a table, one line per load."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("bundle", "embeddings on"):
        table.add_column(name, no_wrap=True)
    for name in ("JavaScript", f"of {size(MAX_BYTES)}", "GPU", "stated"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        stated = f"{one.stated / one.allocated:.4f}"
        table.add_row(
            one.bundle, one.embeddings, size(one.script), f"{one.script / MAX_BYTES:.0%}", size(one.allocated), stated
        )
    out.print(table)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path, help="folders of bundles", metavar="BUNDLE")
    bundles: list[Path] = parser.parse_args().bundles
    chromium = find_chromium()
    if chromium is None:
        sys.exit(NOT_FOUND)
    found = []
    with sync_playwright() as playwright:
        for bundle in bundles:
            with serving({NAME: bundle}) as site:
                browser, adapter = launch_browser(playwright.chromium, chromium, site)
                out.print(f"{bundle.name} on {adapter}, Chromium {browser.version}")
                found += [measure(browser, site, bundle, embeddings) for embeddings in residences(bundle)]
                browser.close()
    print_table(found)


if __name__ == "__main__":
    main()
