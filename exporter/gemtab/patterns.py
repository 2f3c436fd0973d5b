"""Match regular expressions from configs within limits on time and memory.

A short expression can take practically unlimited time. Expressions that cannot are matched in this process, others in a
process of their own, which ends when its time or memory is used up.
"""

import json
import re
import subprocess
import sys
import weakref
from collections.abc import Iterable
from functools import cached_property
from threading import Lock, Timer
from typing import Literal

from gemtab.errors import CheckpointError

MAX_CHARACTERS = 10_000
SECONDS = 2
"""Maximum processor time for all expressions of a config."""

_MEMORY = 1 << 30
_WAITED = 12 * SECONDS
"""Wall-clock limit in seconds, for busy machines and for systems that cannot limit a process's own time."""

_WITHOUT_LOOPS = re.compile(r"[\w.|^$\\-]*")
"""Expressions without repetition and nesting: each location is tried once."""

_CHILD = f"""
import json, re, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
    resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
how, expressions = json.loads(sys.stdin.readline())
try:
    tried = [getattr(re.compile(expression), how) for expression in expressions]
except Exception as error:
    print(json.dumps(str(error)), flush=True)
    raise SystemExit
for line in sys.stdin:
    text = json.loads(line)
    print(json.dumps([found.start() if (found := one(text)) else None for one in tried]), flush=True)
"""


def check_expression(text: str) -> None:
    """Raise ValueError where the text is not a regular expression, or is too long."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a regular expression has {len(text):,} characters; the maximum is {MAX_CHARACTERS:,}")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"{text[:80]!r} is not a regular expression: {error}") from None


class Patterns:
    """Checked expressions. how: whether each must match at the text's beginning ("match") or anywhere ("search").
    around: text before and after each expression."""

    def __init__(
        self, expressions: Iterable[str], how: Literal["match", "search"], around: tuple[str, str] = ("", "")
    ) -> None:
        self._how = how
        self._own = list(expressions)
        self._expressions = [f"{around[0]}{one}{around[1]}" for one in self._own]
        self._known: dict[str, list[int | None]] = {}
        self._lock = Lock()

    def found(self, text: str) -> list[int | None]:
        """Return the index at which each expression matches; None for no match. Raises CheckpointError where matching
        takes too long."""
        with self._lock:
            if text not in self._known:
                self._known[text] = self._found_here(text) if self._is_harmless else self._found_there(text)
            return self._known[text]

    @cached_property
    def _is_harmless(self) -> bool:
        return all(_WITHOUT_LOOPS.fullmatch(one) for one in self._own)

    def _found_here(self, text: str) -> list[int | None]:
        try:
            found = [getattr(re, self._how)(one, text) for one in self._expressions]
        except re.error as error:
            raise self._rejected(f"cannot be used ({error})") from None
        return [None if one is None else one.start() for one in found]

    def _found_there(self, text: str) -> list[int | None]:
        child = self._child
        watch = Timer(_WAITED, child.kill)
        watch.start()
        try:
            answer = self._ask(text)
        except OSError:
            answer = ""
        finally:
            watch.cancel()
        result = json.loads(answer or "null")
        if not isinstance(result, list):
            limits = f"need more than {SECONDS} seconds or {_MEMORY >> 30} GiB to match {text}"
            raise self._rejected(limits if result is None else f"cannot be used ({result})")
        return result

    def _rejected(self, why: str) -> CheckpointError:
        listed = ", ".join(repr(one[:80]) for one in self._own[:3])
        return CheckpointError(
            f"Regular expressions of the config ({listed}) {why}. Simplify them, or name the modules one by one."
        )

    def _ask(self, text: str) -> str:
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(json.dumps(text) + "\n")
        self._child.stdin.flush()
        return self._child.stdout.readline()

    @cached_property
    def _child(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-I", "-S", "-c", _CHILD]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, text=True, encoding="ascii")
        weakref.finalize(self, _end, child)
        assert child.stdin
        child.stdin.write(json.dumps([self._how, self._expressions]) + "\n")
        return child


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        try:
            assert pipe
            pipe.close()
        except OSError:  # written but never read
            pass
    child.wait()
