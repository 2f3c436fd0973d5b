"""A disk that is full, an interruption, a place that cannot be written: nothing half-written looks whole."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Gemtab, ended, start_gemtab

SMALL_DISK = 'mount -t tmpfs -o size=1m none {out} && exec "$@"'
"""Half of what the tiny bundle takes. In a mount namespace of its own, so that nothing is left to unmount."""


def can_mount() -> bool:
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def on_a_small_disk(folder: Path) -> tuple[str, ...]:
    folder.mkdir()
    return "unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK.format(out=folder), "sh"


def with_small_files(_: Path) -> tuple[str, ...]:
    return "sh", "-c", 'ulimit -f 1024 && exec "$@"', "sh"


# Without the right to mount, the limit on a file's size is the one way to have the system refuse a write.
LIMITS = [(with_small_files, "ulimit"), *([(on_a_small_disk, "full")] if can_mount() else [])]


@pytest.mark.parametrize(("limit", "reason"), LIMITS)
def test_a_disk_that_takes_no_more(
    tiny: Path, tmp_path: Path, limit: Callable[[Path], tuple[str, ...]], reason: str
) -> None:
    before = limit(tmp_path / "disk")
    process = start_gemtab("export", tiny, tmp_path / "disk" / "out", "--weights", "f16", before=before)
    ended(process).refused(8, "could not be written", reason)
    assert not [path for path in tmp_path.rglob("*") if path.name != "disk"]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_half_way(tiny: Path, tmp_path: Path, sent: signal.Signals, code: int) -> None:
    process = start_gemtab("export", tiny, tmp_path / "out", "--weights", "f32")
    while not list(tmp_path.glob("out.partial-*/onnx/*_data")):
        assert process.poll() is None, "the export ended before it could be interrupted"
        time.sleep(0.005)
    process.send_signal(sent)
    result = ended(process)
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    gemtab("export", tiny, tmp_path / "file" / "out").refused(8, str(tmp_path / "file"))


def test_a_folder_that_may_not_be_written(tiny: Path, tmp_path: Path) -> None:
    # The superuser may write everywhere but into /proc, so that is where the test goes.
    where = Path("/proc/self/out") if os.geteuid() == 0 else tmp_path / "closed" / "out"
    if where.parent.parent == tmp_path:
        where.parent.mkdir(mode=0o500)
    ended(start_gemtab("export", tiny, where)).refused(8, "could not be written")
