"""The comparison with transformers.js measures both engines, and both give the same answer."""

import re
import subprocess
import sys
from pathlib import Path

from playwright_tests.conftest import REPOSITORY

OPTIONS = ["--prompt", "9", "--steps", "4", "--runs", "1", "--devices", "wasm"]


def test_engines_are_compared(bundles: dict[str, Path]) -> None:
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.engines", bundles["tiny"], *OPTIONS]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for engine in ("gemtab", "transformers.js wasm"):
        assert re.search(rf"^{engine} .*[1-9].* 4/4 *$", ended.stdout, re.MULTILINE), ended.stdout
