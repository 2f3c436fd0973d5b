"""Run commands that use the GPU in a process of their own: a stranger's shader may crash the driver, or hang it.

The process is forked before anything is loaded, which costs nothing. On macOS, whose libraries do not survive a fork, a
new interpreter is started. Windows runs the command in the same process.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from gemtab.backends.webgpu.engine.watch import BEGUN, GpuWatch
from gemtab.cli.main import end_by
from gemtab.cli.main import main as run_command
from gemtab.cli.taken_memory import max_for, taken
from gemtab.errors import DeviceError

COMMANDS = ("run", "verify")

MAX_SECONDS = 30.0
"""Maximum seconds of one wait for the GPU where the shaders are not gemtab's own."""

SECONDS_VARIABLE = "GEMTAB_GPU_SECONDS"
"""Environment variable that replaces MAX_SECONDS."""

OWN_SECONDS = 1800.0
"""Maximum seconds of one wait where the shaders are gemtab's own: a chunk of a large model takes minutes on a CPU."""

_LOOK_SECONDS = 0.1
"""Interval in seconds at which the process's memory is measured."""

_GRACE_SECONDS = 5.0
"""Seconds that a process gets to end by itself after a signal."""

_JUST_SENT_SECONDS = 0.3
"""Seconds within which the terminal is assumed to have sent the signal to both processes."""


def main() -> None:
    """Run the command `gemtab`."""
    words = sys.argv[1:]
    chosen = next((word for word in words if not word.startswith("-")), "")
    if not hasattr(os, "fork") or chosen not in COMMANDS:
        run_command()
        return
    start = partial(spawned, words) if sys.platform == "darwin" else partial(forked, run_command)
    try:
        folder = _folder(words)
        sys.exit(supervised(start, lambda: is_own(folder), _max_seconds(), max_for(folder)))
    except DeviceError as error:
        end_by(error)


def _max_seconds() -> float:
    try:
        return float(os.environ[SECONDS_VARIABLE])
    except (KeyError, ValueError):
        return MAX_SECONDS


def forked(work: Callable[[GpuWatch], None], read: int, write: int) -> int:
    """Run `work` in a fork of this process; it reports its waits to `write`. Return the process's number."""
    process = os.fork()
    if process == 0:
        os.close(read)
        work(GpuWatch(write))
        sys.exit(0)
    return process


def spawned(words: Sequence[str], _: int, write: int) -> int:
    """As `forked`, for the command line `words` in a new interpreter."""
    os.set_inheritable(write, True)
    code = (
        "import sys; from gemtab.cli.main import main; from gemtab.backends.webgpu.engine.watch import GpuWatch; "
        f"sys.argv[0] = 'gemtab'; main(GpuWatch({write}))"
    )
    return os.posix_spawn(sys.executable, [sys.executable, "-P", "-c", code, *words], os.environ)


def supervised(
    start: Callable[[int, int], int], own: Callable[[], bool], seconds: float, most: int | None = None
) -> int:
    """Wait for a process and return its exit code; 128 plus the number for a signal that was sent through this process.

    start: starts the process. It gets both ends of a pipe; the process reports its waits to the second one. own:
    whether the shaders are gemtab's own, so that waits may take OWN_SECONDS, and memory is not limited; called when a
    wait has taken `seconds`, or the process more than `most` bytes. Raises DeviceError where a signal ended the
    process, a wait took too long, or a process with other shaders took too much memory.
    """
    read, write = os.pipe()
    process = start(read, write)
    os.close(write)
    try:
        return _Supervisor(process, read, own, seconds, most).wait()
    finally:
        os.close(read)


class _Supervisor:
    """Waits for a process, and forwards signals to it."""

    def __init__(
        self, process: int, reports: int, own: Callable[[], bool], seconds: float, most: int | None = None
    ) -> None:
        self._process = process
        self._reports = reports
        self._own = own
        self._seconds = seconds
        self._most = most
        self._waits_since: float | None = None
        self._received: int | None = None
        self._received_at = 0.0
        self._passed_on = False

    def wait(self) -> int:
        """Return the process's exit code."""
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        open_ends = [self._reports, wake]
        while self._reports in open_ends:
            ready, _, _ = select.select(open_ends, [], [], self._until_next())
            if wake in ready:
                os.read(wake, 64)
            if self._reports in ready and not self._hear():
                open_ends.remove(self._reports)
            self._act()
            self._look()
        return self._ended()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._received_at = number, time.monotonic()

    def _hear(self) -> bool:
        """Read a report. Return whether the pipe is still open."""
        report = os.read(self._reports, 4096)
        if report:
            self._waits_since = time.monotonic() if report.endswith(BEGUN) else None
        return bool(report)

    def _until_next(self) -> float | None:
        patience = self._patience()
        if self._most is None:
            return patience
        return _LOOK_SECONDS if patience is None else min(patience, _LOOK_SECONDS)

    def _look(self) -> None:
        """Kill a process that takes too much memory. The process is stopped while its shaders are checked."""
        if self._most is None or taken(self._process) <= self._most:
            return
        self._send(signal.SIGSTOP)
        if self._own():
            self._most = None
            self._send(signal.SIGCONT)
            return
        self._kill()
        raise DeviceError(
            f"The GPU's driver, or its shader compiler, took more than {self._most / 1e9:.1f} GB of memory for this "
            "bundle, whose shaders are not those that this gemtab generates. Export the checkpoint again."
        )

    def _kill(self) -> None:
        self._send(signal.SIGKILL)
        os.waitpid(self._process, 0)

    def _patience(self) -> float | None:
        """Return the seconds until the next action without a report; None for no limit."""
        now = time.monotonic()
        if self._received is not None:
            limit = _GRACE_SECONDS if self._passed_on else _JUST_SENT_SECONDS
            return max(self._received_at + limit - now, 0.0)
        return None if self._waits_since is None else max(self._waits_since + self._seconds - now, 0.0)

    def _act(self) -> None:
        if self._patience() != 0.0:
            return
        if self._received is not None:
            self._send(signal.SIGKILL if self._passed_on else self._received)
            self._passed_on = True
        elif self._seconds < OWN_SECONDS and self._own():
            self._seconds = OWN_SECONDS
        else:
            self._kill()
            raise DeviceError(
                f"The GPU has not finished a piece of this bundle's work for {self._seconds:.0f} s. If the bundle's "
                "shaders are not those that this gemtab generates, export the checkpoint again, or set "
                f"{SECONDS_VARIABLE} to wait longer. Otherwise try a shorter prompt or another adapter."
            )

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process, number)

    def _ended(self) -> int:
        _, status = os.waitpid(self._process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return code
        if self._received is not None:
            return 128 + self._received
        raise DeviceError(_ending(-code))


def _ending(number: int) -> str:
    name = signal.Signals(number).name
    if number == signal.SIGKILL:
        return f"The process that ran the bundle was killed from outside ({name}), as systems do when memory runs out."
    return (
        f"The GPU's driver, or a library below it, crashed while the bundle ran ({name}). Update the driver, or "
        "export the checkpoint again. Please report the crash if this gemtab made the bundle."
    )


def _folder(words: list[str]) -> Path | None:
    """Return the bundle that the command line names."""
    return next((Path(word) for word in words if (Path(word) / "gemtab.json").is_file()), None)


def is_own(folder: Path | None, seconds: float = 120.0) -> bool:
    """Whether the bundle's shaders are those that this gemtab generates. The check runs in a process of its own, with
    limits, since a hostile bundle may keep the check busy."""
    if folder is None:
        return False
    process = os.fork()
    if process == 0:
        os._exit(_compare(folder, seconds))
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _compare(folder: Path, seconds: float) -> int:
    """Return 0 where the shaders are gemtab's own, else 1."""
    try:
        import resource

        for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        from gemtab.bundle.folder import open_plan, read_manifest
        from gemtab.bundle.manifest_check import plan_entries
        from gemtab.bundle.reading import read_text
        from gemtab.server.rerender import rerender

        manifest = read_manifest(folder)
        plans = [open_plan(folder, manifest, entry.file) for entry in plan_entries(manifest)]
        used = {form.file for plan in plans for kernel in plan.kernels.values() for form in kernel.forms}
        texts = rerender(folder)
        return 0 if all(texts.get(file) == read_text(folder, file) for file in used) else 1
    except BaseException:
        return 1
