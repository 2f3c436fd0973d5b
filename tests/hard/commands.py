"""The commands of `gemtab`, each run in a fork of one process that has imported everything."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gemtab import errors
from tests.hard.forks import UNTYPED, UNTYPED_LINE
from tests.hard.outcomes import Outcome

CODES = {
    one.exit_code: name
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, errors.GemtabError) and one is not errors.GemtabError
}
TRACEBACK = "Traceback (most recent call last)"

MEMORY = 3 << 30
"""Bytes that a command may take, with all that was imported."""


@dataclass(frozen=True)
class Limits:
    """seconds: of the clock; cpu: of computing."""

    seconds: float
    cpu: float


COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Limits]] = {
    "inspect": (("inspect",), (), Limits(30, 8)),
    "fit": (("inspect",), ("--fit", "8GB"), Limits(30, 8)),
    "run": (("run",), ("-p", "hi", "--max-tokens", "2"), Limits(60, 20)),
    "serve": (("serve", "--port", "0"), (), Limits(30, 15)),
    "verify": (("verify",), (), Limits(120, 60)),
    "publish": (("publish",), (), Limits(30, 8)),
    "export": (("export",), (), Limits(120, 60)),
}


class Forks:
    """The process of `tests.hard.forks`, which takes seconds to start."""

    def __init__(self) -> None:
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.hard.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run an order in the server. Return its result."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        found: dict[str, Any] = json.loads(self._server.stdout.readline())
        return found


class Commands:
    """One command, for one bundle after the other."""

    def __init__(self, name: str, forks: Forks) -> None:
        self.name = name
        self.deck = "checkpoint" if name == "export" else "command"
        self._forks = forks
        self._before, self._after, self._limits = COMMANDS[name]

    def use(self, bundle: Path) -> Outcome:
        """Runs the command on a bundle, or on a checkpoint."""
        with tempfile.TemporaryDirectory(dir=bundle.parent) as made:
            return self._use(bundle, f"{made}/bundle")

    def _use(self, bundle: Path, made: str) -> Outcome:
        order = {
            "arguments": [*self._before, str(bundle), *([made] if self.name == "export" else self._after)],
            "limit": self._limits.seconds,
            "cpu": self._limits.cpu,
            "memory": MEMORY,
            "serve": str(bundle) if self.name == "serve" else "",
        }
        return _outcome(self._forks.run(order), self.name == "serve")


def _outcome(found: dict[str, Any], was_served: bool) -> Outcome:
    code, said, seconds, visit = found["code"], found["said"], found["seconds"], found["visit"].strip()
    if found["over"] == "memory":
        return Outcome("memory", "", said[-300:], seconds)
    if found["over"] or -code in (signal.SIGXCPU, signal.SIGKILL):
        return Outcome("hang", found["over"] or signal.Signals(-code).name, said[-300:], seconds)
    if code < 0:
        return Outcome("crash", signal.Signals(-code).name, said[-300:], seconds)
    if TRACEBACK in said or "panicked at" in said or code in (UNTYPED, 1):
        last = said.strip().splitlines()[-1] if said.strip() else ""
        name, _, message = last.removeprefix(UNTYPED_LINE).partition(": ")
        return Outcome("untyped", name[:60], message, seconds)
    if visit:
        return Outcome("untyped", "served", visit, seconds)
    if code in (0, 130) if was_served else code == 0:
        return Outcome("accepted", "", said[-300:], seconds)
    return Outcome("typed", CODES.get(code, str(code)), said, seconds)
