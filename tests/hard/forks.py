"""A process that has imported everything and forks for each command that it receives, with limits.

Reads orders as lines of JSON on stdin and answers each by a line on stdout: {"arguments", "limit", "cpu", "memory",
"serve"} -> {"code", "over", "said", "visit", "seconds"}. Run as `python -m tests.hard.forks`.
"""

import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from tests.hard import served

POLL = 0.01
MAX_SAID = 20_000

UNTYPED_LINE = "untyped: "
UNTYPED = 99
"""The exit code of a command that ended by an error for which users are not prepared."""


def _import_all() -> None:
    """Import in advance the modules that commands import at run time."""
    import onnxruntime  # noqa: F401
    import wgpu  # noqa: F401

    import gemtab.backends.webgpu.engine.encoder
    import gemtab.backends.webgpu.engine.text_engine
    import gemtab.cli.tables
    import gemtab.fit
    import gemtab.parity.verify
    import gemtab.publish
    import gemtab.server.app
    import gemtab.server.rerender
    import gemtab.server.serve
    import gemtab.summary  # noqa: F401


def _command(arguments: list[str], said: Path, cpu: float) -> NoReturn:
    """In the forked process: runs the command, with a group of its own and its output in a file."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu), int(cpu) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    code = UNTYPED
    try:
        from gemtab.cli import main

        sys.argv = ["gemtab", *arguments]
        main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException as error:
        traceback.print_exc()
        print(f"\n{UNTYPED_LINE}{type(error).__name__}: {str(error)[:300]!r}", file=sys.stderr)  # noqa: T201
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # what cannot be written is not said
        code = UNTYPED
    os._exit(code)


def _bytes_of(group: int) -> int:
    """Resident memory of all processes of a group."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) == group:
                total += int(Path(entry.path, "statm").read_text().split()[1]) * resource.getpagesize()
        except (OSError, IndexError, ValueError):
            continue
    return total


def _end_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _run(order: dict[str, Any]) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            _command(order["arguments"], said, order["cpu"])
        visit = served.Visit(order["serve"], said, process) if order.get("serve") else None
        status, over = None, ""
        checked = started
        while status is None:
            done, found = os.waitpid(process, os.WNOHANG)
            now = time.monotonic()
            if done:
                status = found
            elif now - started > order["limit"]:
                over = "time"
            elif now - checked > 0.1:
                checked = now
                over = "memory" if _bytes_of(process) > order["memory"] else ""
            if over:
                _end_group(process)
                status = os.waitpid(process, 0)[1]
            if status is None:
                time.sleep(POLL)
        _end_group(process)
        text = said.read_bytes()[-MAX_SAID:].decode("utf-8", "replace") if said.exists() else ""
        return {
            "code": os.waitstatus_to_exitcode(status),
            "over": over,
            "said": text,
            "visit": visit.end() if visit else "",
            "seconds": time.monotonic() - started,
        }


def serve_orders() -> None:
    """Until stdin ends."""
    _import_all()
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve_orders()
