"""A process that runs a bundle is watched: crashes and waits without end become errors, signals are passed on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemtab.cli.taken_memory import max_for
from tests.cli.conftest import accept_changes

START = """
import os, signal, sys, time
from functools import partial
from gemtab.cli.supervised import forked, supervised
from gemtab.errors import DeviceError

def work(watch):
    print("started", flush=True)
    {work}

try:
    code = supervised(partial(forked, work), lambda: {own}, {seconds}, {most})
except DeviceError as error:
    print(error)
    code = error.exit_code
sys.exit(code)
"""

HANG = "with watch.waiting(): time.sleep({0})"


def start(work: str, own: bool = False, seconds: float = 60, most: int | None = None) -> subprocess.Popen[str]:
    code = START.format(work=work, own=own, seconds=seconds, most=most)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def run(work: str, own: bool = False, seconds: float = 60, most: int | None = None) -> tuple[int, str]:
    process = start(work, own, seconds, most)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out.removeprefix("started\n")


@pytest.mark.parametrize("code", [0, 4, 130])
def test_the_exit_code_is_the_commands(code: int) -> None:
    assert run(f"sys.exit({code})") == (code, "")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGILL])
def test_a_crash_is_a_device_error(number: signal.Signals) -> None:
    code, out = run(f"os.kill(os.getpid(), {int(number)})")
    assert (code, number.name in out) == (5, True)


def test_what_runs_out_of_memory_is_a_device_error() -> None:
    code, out = run("os.kill(os.getpid(), signal.SIGKILL)")
    assert (code, "memory" in out) == (5, True)


LARGE = "content = b'x' * (400 << 20); time.sleep({0})"


def test_memory_for_strange_shaders_is_bounded() -> None:
    code, out = run(LARGE.format(1000), most=400 << 20)
    assert (code, "took more than 0.4 GB of memory" in out) == (5, True)


def test_memory_for_gemtabs_own_shaders_is_not() -> None:
    assert run(LARGE.format(0.5), own=True, most=400 << 20) == (0, "")


def test_a_bundle_may_take_memory_by_the_size_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "data").write_bytes(bytes(1000))
    (tmp_path / "gone").symlink_to("nowhere")
    assert max_for(tmp_path) == (2 << 30) + 16_000
    assert max_for(None) is None


def test_a_wait_without_end_for_strange_shaders_is_a_device_error() -> None:
    began = time.monotonic()
    code, out = run(HANG.format(1000), seconds=0.5)
    assert (code, "has not finished" in out) == (5, True)
    assert time.monotonic() - began < 20


def test_gemtabs_own_shaders_may_take_their_time() -> None:
    assert run(HANG.format(1.5), own=True, seconds=0.2) == (0, "")


def test_work_that_goes_on_is_no_wait() -> None:
    work = "[(watch.waiting().__enter__(), time.sleep(0.2), watch._report(b'-')) for _ in range(5)]"
    assert run(work, seconds=0.6) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", ["signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(1000)", "time.sleep(1000)"])
def test_signals_end_it_within_seconds(work: str, number: signal.Signals) -> None:
    process = start(work.replace("SIGINT", number.name))
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(number)
    began = time.monotonic()
    process.communicate(timeout=20)
    assert process.returncode in (128 + number, 1)
    assert time.monotonic() - began < 12


def test_another_interpreter_does_as_well(exported: Path) -> None:
    words = ["run", str(exported), "-p", "Hello!", "--max-tokens", "2"]
    code = (
        f"import sys; from functools import partial; from gemtab.cli.supervised import spawned, supervised; "
        f"sys.exit(supervised(partial(spawned, {words!r}), lambda: True, 60))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr


def own(bundle: Path) -> bool:
    """In a process that has loaded nothing, as the one that asks: libraries with threads do not outlive a fork."""
    code = "import sys, pathlib, gemtab.cli.supervised as one; print(one.is_own(pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, bundle], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_a_bundle_knows_its_own_shaders(bundle: Path) -> None:
    assert own(bundle)
    shader = next((bundle / "shaders").glob("advance*.wgsl"))
    shader.write_text(shader.read_text() + "\n// mine\n")
    accept_changes(bundle, f"shaders/{shader.name}")
    assert not own(bundle)
