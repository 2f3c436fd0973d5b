"""The Chromium of the tests, and its start."""

import os
import shutil
from typing import Any

SOFTWARE_GPU = "--use-webgpu-adapter=swiftshader"
"""WebGPU on a CPU: the same adapter on every machine."""

UNCLEARED = "--enable-dawn-features=disable_workgroup_init"
"""Workgroup memory is not cleared before a shader runs: a software GPU spends most of its compile time on that. No
shader may rely on cleared memory: unwritten memory has any content."""

FLAGS = [
    "--enable-unsafe-webgpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NOT_FOUND = "No Chromium was found. Install it (apt install chromium) or set CHROMIUM to its path."


def find_chromium() -> str | None:
    """Return the browser's path: $CHROMIUM, or the first on the path."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def launch_options(chromium: str, *flags: str) -> dict[str, Any]:
    """Return the options with which Playwright starts the browser."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {"executable_path": chromium, "headless": True, "args": [*FLAGS, *flags, *sandbox]}
