"""Builds of a page by vite, webpack and esbuild. Their model answers about an image under the strictest policies."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from playwright_tests.conftest import REPOSITORY, SharedFolders, Watched, watch
from playwright_tests.serving import running

HERE = Path(__file__).parent
PACKAGE = REPOSITORY / "dist" / "npm"
TSC = str(REPOSITORY / "node_modules" / ".bin" / "tsc")
EXAMPLES = REPOSITORY / "site" / "examples"
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Page</title>{script}</html>'
SCRIPT = '<script type="module" src="{path}"></script>'

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types gemtab"
)
"""A policy that allows only the page's own files, no text as a script, and only gemtab's policy for addresses of
scripts."""


@pytest.fixture(scope="session")
def project(shared_folders: SharedFolders) -> Path:
    """A TypeScript project with the package installed from its tarball, offline: the package has no dependencies."""

    def make(folder: Path) -> None:
        shutil.copytree(HERE / "project", folder)
        run("npm", "pack", str(PACKAGE), "--pack-destination", str(folder), cwd=REPOSITORY)
        [tarball] = folder.glob("*.tgz")
        run("npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", tarball.name, cwd=folder)
        run(TSC, "--noCheck", cwd=folder)

    return shared_folders.folder("package-project", make)


def run(*words: str, cwd: Path) -> str:
    """Run a command. Returns its output. Shows the command's error stream where it fails."""
    done = subprocess.run(words, cwd=cwd, text=True, capture_output=True)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(bundler: str, project: Path, out: Path) -> Path:
    run("node", str(HERE / "bundle.mjs"), bundler, str(project), str(out), cwd=REPOSITORY)
    if not (out / "index.html").exists():
        (out / "index.html").write_text(PAGE.format(script=SCRIPT.format(path="./js/main.js")))
    return out


@contextmanager
def served(bundles: dict[str, Path], *routes: BaseRoute) -> Iterator[str]:
    """Yield the address of a server with these routes, the bundle and the example files."""
    files = [
        Mount("/bundles/tiny", StaticFiles(directory=bundles["tiny"])),
        Mount("/examples", StaticFiles(directory=EXAMPLES)),
        Route("/favicon.ico", lambda _: Response(status_code=204)),
    ]
    with running(Starlette(routes=[*files, *routes])) as site:
        yield site


def built(out: Path) -> list[BaseRoute]:
    """Serve a built page, under POLICY."""
    page = HTMLResponse((out / "index.html").read_text(), headers={"Content-Security-Policy": POLICY})
    return [Route("/", lambda _: page), Mount("/", StaticFiles(directory=out))]


@pytest.fixture
def page(patient_page: Page) -> Page:
    return patient_page


def describe(page: Page, site: str, options: dict[str, Any] | None = None) -> tuple[str, Watched, list[str]]:
    """Return the model's answer about the example image, the page's errors, and the failed requests."""
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(f"{request.url} {request.failure}"))
    watched = watch(page)
    page.goto(site)
    words = ["bundles/tiny/", "examples/shapes.webp", options or {}]
    text: str = page.evaluate("words => globalThis.describe(...words)", words)
    return text, watched, failed


def test_a_server_can_import_it(project: Path) -> None:
    """A server that renders pages has no elements, windows or workers."""
    names = {"gemtab": "Gemma", "gemtab/chat": "GemtabChat", "gemtab/engine": "TextEngine"}
    code = "".join(f"console.log(typeof (await import('{entry}')).{name});" for entry, name in names.items())
    assert run("node", "--input-type=module", "--eval", code, cwd=project).split() == ["function"] * 3


@pytest.mark.parametrize("resolution", [(), ("--module", "nodenext", "--moduleResolution", "nodenext")])
def test_a_strict_project_knows_its_types(project: Path, resolution: tuple[str, ...]) -> None:
    """The package's own declarations are checked too: the project's tsconfig.json does not skip them."""
    run(TSC, "--noEmit", *resolution, cwd=project)


@pytest.mark.parametrize("bundler", ["vite", "webpack", "esbuild"])
def test_a_build_answers_about_an_image(
    bundler: str, project: Path, bundles: dict[str, Path], page: Page, tmp_path: Path
) -> None:
    out = build(bundler, project, tmp_path / "out")
    with served(bundles, *built(out)) as site:
        text, watched, failed = describe(page, site)
    assert "circle" in text
    assert watched.errors == []
    assert failed == []


TRUSTED = "require-trusted-types-for 'script'; trusted-types gemtab"
"""The parts of POLICY that vite's own development scripts satisfy."""


@contextmanager
def developed(project: Path, cache: Path, behind: str) -> Iterator[str]:
    """Yield the address of vite's development server for the project. It forwards other requests to `behind`."""
    words = ["node", str(HERE / "develop.mjs"), str(project), str(cache), behind, TRUSTED]
    with subprocess.Popen(words, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def test_vite_in_development_answers_about_an_image(
    project: Path, bundles: dict[str, Path], page: Page, tmp_path: Path
) -> None:
    with served(bundles) as behind, developed(project, tmp_path / "cache", behind) as site:
        text, watched, failed = describe(page, site)
    assert "circle" in text
    assert watched.errors == []
    assert failed == []
