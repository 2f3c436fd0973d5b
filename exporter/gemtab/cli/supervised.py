"""Commands that run a bundle on the GPU, in a process of their own: a driver may crash on what a stranger's shader
does, or never come back.

The process is forked before anything is loaded, so that it costs nothing. On macOS, whose libraries do not outlive a
fork, another interpreter is started. Windows runs the command as it is.
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
from gemtab.cli.taken_memory import most_for, taken
from gemtab.errors import DeviceError

COMMANDS = ("run", "verify")

MOST_SECONDS = 30.0
"""How long the GPU may take for one piece of work where the shaders are not gemtab's own."""

SECONDS_VARIABLE = "GEMTAB_GPU_SECONDS"
"""The environment variable that says another time."""

OWN_SECONDS = 1800.0
"""How long where they are: a chunk of a large model takes minutes on a processor."""

_LOOK_SECONDS = 0.1
"""How often the memory that is taken is looked at."""

_GRACE_SECONDS = 5.0
"""How long a process may take to end by itself when it is told to."""

_JUST_SENT_SECONDS = 0.3
"""Until then, a terminal that was told to interrupt is taken to have told both processes."""


def main() -> None:
    """The command `gemtab`."""
    words = sys.argv[1:]
    chosen = next((word for word in words if not word.startswith("-")), "")
    if not hasattr(os, "fork") or chosen not in COMMANDS:
        run_command()
        return
    start = partial(spawned, words) if sys.platform == "darwin" else partial(forked, run_command)
    try:
        folder = _folder(words)
        sys.exit(supervised(start, lambda: is_own(folder), _most_seconds(), most_for(folder)))
    except DeviceError as error:
        end_by(error)


def _most_seconds() -> float:
    try:
        return float(os.environ[SECONDS_VARIABLE])
    except (KeyError, ValueError):
        return MOST_SECONDS


def forked(work: Callable[[GpuWatch], None], read: int, write: int) -> int:
    """Runs `work`, which tells `write` of its waits, in a fork of this process."""
    process = os.fork()
    if process == 0:
        os.close(read)
        work(GpuWatch(write))
        sys.exit(0)
    return process


def spawned(words: Sequence[str], _: int, write: int) -> int:
    """As `forked`, of the command line, in another interpreter."""
    os.set_inheritable(write, True)
    code = (
        "import sys; from gemtab.cli.main import main; from gemtab.backends.webgpu.engine.watch import GpuWatch; "
        f"sys.argv[0] = 'gemtab'; main(GpuWatch({write}))"
    )
    return os.posix_spawn(sys.executable, [sys.executable, "-P", "-c", code, *words], os.environ)


def supervised(
    start: Callable[[int, int], int], own: Callable[[], bool], seconds: float, most: int | None = None
) -> int:
    """Waits for a process, and returns its exit code, 128 and the number where a signal was sent to it through this
    one.

    start: given both ends of a pipe, starts a process that tells the second of its waits, and returns its number.
    own: whether the shaders are gemtab's own, so that waits may take as long as they like, and memory what they need;
    asked where a wait has taken `seconds`, or the process `most` bytes. Raises DeviceError where a signal ended the
    process, such a wait did not end, or a process with others' shaders took so much.
    """
    read, write = os.pipe()
    process = start(read, write)
    os.close(write)
    try:
        return _Supervisor(process, read, own, seconds, most).wait()
    finally:
        os.close(read)


class _Supervisor:
    """Waits for a process, and passes signals on to it."""

    def __init__(
        self, process: int, told: int, own: Callable[[], bool], seconds: float, most: int | None = None
    ) -> None:
        self._process = process
        self._told = told
        self._own = own
        self._seconds = seconds
        self._most = most
        self._waits_since: float | None = None
        self._received: int | None = None
        self._received_at = 0.0
        self._passed_on = False

    def wait(self) -> int:
        """The process's exit code."""
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        open_ends = [self._told, wake]
        while self._told in open_ends:
            ready, _, _ = select.select(open_ends, [], [], self._until_next())
            if wake in ready:
                os.read(wake, 64)
            if self._told in ready and not self._hear():
                open_ends.remove(self._told)
            self._act()
            self._look()
        return self._ended()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._received_at = number, time.monotonic()

    def _hear(self) -> bool:
        """Whether there is more to come."""
        told = os.read(self._told, 4096)
        if told:
            self._waits_since = time.monotonic() if told.endswith(BEGUN) else None
        return bool(told)

    def _until_next(self) -> float | None:
        patience = self._patience()
        if self._most is None:
            return patience
        return _LOOK_SECONDS if patience is None else min(patience, _LOOK_SECONDS)

    def _look(self) -> None:
        """Ends a process that takes more memory than it may; it stands still while that is found out."""
        if self._most is None or taken(self._process) <= self._most:
            return
        self._send(signal.SIGSTOP)
        if self._own():
            self._most = None
            self._send(signal.SIGCONT)
            return
        self._kill()
        raise DeviceError(
            f"The GPU's driver, or what compiles shaders for it, took more than {self._most / 1e9:.1f} GB of memory "
            "for this bundle, whose shaders are not those that this gemtab makes of it. Export the checkpoint again."
        )

    def _kill(self) -> None:
        self._send(signal.SIGKILL)
        os.waitpid(self._process, 0)

    def _patience(self) -> float | None:
        """Seconds until there is something to do though nothing is heard."""
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
                f"The GPU has not come back for {self._seconds:.0f} s from work of this bundle. Where its shaders are "
                f"not those that this gemtab makes of it, export the checkpoint again, or set {SECONDS_VARIABLE} to "
                "wait longer; else try a shorter prompt, or another adapter."
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
        return f"The process that ran the bundle was ended from outside ({name}), as systems do when memory runs out."
    return (
        f"The GPU's driver, or a library beneath it, crashed while the bundle ran ({name}). Update the driver, or "
        "export the checkpoint again; please report it if the bundle is one that this gemtab made."
    )


def _folder(words: list[str]) -> Path | None:
    """The bundle that the command line names."""
    return next((Path(word) for word in words if (Path(word) / "gemtab.json").is_file()), None)


def is_own(folder: Path | None, seconds: float = 120.0) -> bool:
    """Whether the bundle's shaders are those that this gemtab makes of it; found out in a process of its own, within
    limits, since the bundle may be made to keep it busy."""
    if folder is None:
        return False
    process = os.fork()
    if process == 0:
        os._exit(_compare(folder, seconds))
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _compare(folder: Path, seconds: float) -> int:
    """0 where they are."""
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
