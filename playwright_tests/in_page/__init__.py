"""Code that tests run in pages: TypeScript modules, one for a subject, which `npm run check` reads too."""

import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ESBUILD = HERE.parents[1] / "node_modules" / ".bin" / "esbuild"


@cache
def script(name: str) -> str:
    """A module with all that it imports, as a script that defines the variable `module`."""
    options = (
        "--bundle",
        "--format=iife",
        "--global-name=module",
        "--target=es2023",
        "--minify",
        "--log-level=warning",
    )
    words = (ESBUILD, HERE / f"{name}.ts", *options)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def in_page(name: str) -> str:
    """The function `module.function` as an expression of JavaScript, which Playwright's evaluate calls."""
    module, _, function = name.partition(".")
    return f"(() => {{\n{script(module)}\nreturn module.{function};\n}})()"
