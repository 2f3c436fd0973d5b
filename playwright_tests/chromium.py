"""Which browser is driven, and how it is started."""

import os
import shutil
from typing import Any

SOFTWARE_GPU = "--use-webgpu-adapter=swiftshader"
"""WebGPU on a CPU: the same adapter on every machine."""

UNCLEARED = "--enable-dawn-features=disable_workgroup_init"
"""Workgroup memory is not cleared before a shader runs, which a software GPU takes most of its compiling for. No shader
may count on it: what it reads without having written it is whatever lies there."""

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
    """The browser's path: $CHROMIUM, or the first on the path."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def launch_options(chromium: str, *flags: str) -> dict[str, Any]:
    """What Playwright starts the browser with."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {"executable_path": chromium, "headless": True, "args": [*FLAGS, *flags, *sandbox]}
