"""The real loader and chat of the tab in Node: a page, its worker in a thread, WebGPU on a CPU."""

import io
import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from tests.hard.outcomes import Outcome

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "webruntime" / "tests" / "hard"
NODE = ("--platform=node", "--external:webgpu")
SCRIPTS = {"page": NODE, "worker": NODE, "static": NODE, "visit": ("--platform=browser",)}
BUILT = REPOSITORY / "test-results" / "hard"
SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")

GRACE = 5.0
"""Seconds. A page is free within one; the machine may be busy with other tests."""

ROUNDS_A_PROCESS = 150
"""Devices that were lost or left are never quite given back."""


def build(out: Path) -> Path:
    """The scripts of page and worker, each in one file; they are below the repository, where packages are found."""
    esbuild = REPOSITORY / "node_modules" / ".bin" / "esbuild"
    options = ["--bundle", "--format=esm", "--log-level=error"]
    for name, platform in SCRIPTS.items():
        command: list[str | Path] = [
            esbuild,
            SOURCES / f"{name}.ts",
            *options,
            *platform,
            f"--outfile={out / f'{name}.mjs'}",
        ]
        subprocess.run(command, check=True, cwd=REPOSITORY)
    return out


class Tab:
    """Uses bundles as a visitor does who presses Stop after `limit` seconds, and waits `grace` seconds more."""

    name = "node"
    deck = "all"

    def __init__(self, scripts: Path, limit: float = 8.0, grace: float = GRACE) -> None:
        self._scripts = scripts
        self._limit = limit
        self._grace = grace
        self._page: subprocess.Popen[bytes] | None = None
        self._answers: BinaryIO = io.BytesIO()
        self._rounds = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def use(self, bundle: Path, limit: float | None = None) -> Outcome:
        """Loads a bundle and says a word to it; limit: seconds until Stop, the driver's own by default."""
        limit = limit or self._limit
        page = self._started()
        started = time.monotonic()
        order = {"folder": str(bundle), "limit": 1000 * limit, "grace": 1000 * self._grace}
        assert page.stdin
        with suppress(BrokenPipeError):
            page.stdin.write(json.dumps(order).encode() + b"\n")
            page.stdin.flush()
        # The page itself reports a worker that does not answer; any more time is the page's own.
        ready, _, _ = select.select([self._answers], [], [], limit + self._grace + 10)
        seconds = time.monotonic() - started
        if not ready:
            self._end()
            return Outcome("hang", "page", "the page's own thread does not answer", seconds)
        line = self._answers.readline()
        if not line:
            code = page.wait()
            self._end()
            name = signal.Signals(-code).name if code < 0 else f"exit {code}"
            return Outcome("crash", name, "the process of page and worker died", seconds)
        found = json.loads(line)
        # Work that still runs on the GPU would slow down the next round.
        if found["busy"] or found["outcome"] in ("hang", "stopped") or self._rounds >= ROUNDS_A_PROCESS:
            self._end()
        return Outcome(found["outcome"], found["name"], found["message"], seconds)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._page and self._page.poll() is not None:
            self._end()
        self._rounds += 1
        if self._page is None:
            driver = {"VK_ICD_FILENAMES": str(SWIFTSHADER)} if SWIFTSHADER.exists() else {}
            # Drivers of GPUs write to stdout what they please.
            ours, theirs = os.pipe()
            command: list[str | Path] = ["node", self._scripts / "page.mjs", self._scripts / "worker.mjs", str(theirs)]
            self._page = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **driver},
                pass_fds=[theirs],
            )
            os.close(theirs)
            self._answers = os.fdopen(ours, "rb", 0)
        return self._page

    def _end(self) -> None:
        if self._page:
            self._page.kill()
            self._page.wait()
            assert self._page.stdin
            with suppress(BrokenPipeError):
                self._page.stdin.close()
            self._answers.close()
        self._page = None
        self._rounds = 0
