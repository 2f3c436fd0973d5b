"""A full disk, an interruption, a location without write permission: no partial output looks complete."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.bundle.folder import check_files, read_manifest
from gemtab.bundle.manifest import WeightFormat
from gemtab.errors import CheckpointError
from gemtab.export import export_bundle
from tests.cli.conftest import Gemtab, ended, start_gemtab
from tests.silent import Silent

SMALL_DISK = 'mount -t tmpfs -o size={size} none {disk} && exec "$@"'
"""In a mount namespace of its own, so that nothing is left to unmount."""

SPACE_MADE = "mount -t tmpfs -o size={size} none {disk} && {export}; mount -o remount,size=64m {disk} && {export}"


def can_mount() -> bool:
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def in_a_namespace(disk: Path, script: str, **values: object) -> tuple[str, ...]:
    """Return the command that runs a shell script with a small disk mounted at the new folder `disk`."""
    disk.mkdir()
    return "unshare", "--map-root-user", "--mount", "sh", "-c", script.format(disk=disk, **values), "sh"


def with_small_files(_: Path) -> tuple[str, ...]:
    return "sh", "-c", 'ulimit -f 1024 && exec "$@"', "sh"


def on_a_small_disk(disk: Path) -> tuple[str, ...]:
    return in_a_namespace(disk, SMALL_DISK, size="1m")


# Without the right to mount, the limit on a file's size is the one way to have the system refuse a write.
LIMITS = [
    (with_small_files, ("could not be written", "ulimit")),
    *([(on_a_small_disk, ("it needs 15,", "bytes, and the disk has 1,04"))] if can_mount() else []),
]


@pytest.mark.parametrize(("limit", "reasons"), LIMITS)
def test_a_disk_that_is_too_small(
    tiny: Path, tmp_path: Path, limit: Callable[[Path], tuple[str, ...]], reasons: tuple[str, ...]
) -> None:
    before = limit(tmp_path / "disk")
    process = start_gemtab("export", tiny, tmp_path / "disk" / "out", "--weights", "f16", before=before)
    ended(process).refused(8, *reasons)
    assert not [path for path in tmp_path.rglob("*") if path.name != "disk"]


if can_mount():

    def test_a_disk_that_fills_on_the_way_is_gone_on_with_when_there_is_space(tiny: Path, tmp_path: Path) -> None:
        weights = sum(path.stat().st_size for path in exported_weights(tiny, tmp_path / "elsewhere"))
        # Space for the weights and what is copied, but not for the graphs and plans, which are made after them.
        space = weights + (300 << 10)
        disk, gemtab = tmp_path / "disk", Path(sys.executable).with_name("gemtab")
        export = f"{gemtab} export {tiny} {disk / 'out'} --weights q4 --context 512"
        command = in_a_namespace(disk, SPACE_MADE, size=space, export=export)
        result = subprocess.run([*command], capture_output=True, text=True, check=False)
        assert "the disk is full" in result.stderr
        assert f"kept in {disk / 'out.partial'}: the same command resumes from there" in " ".join(result.stderr.split())
        assert result.returncode == 0, result.stderr
        assert f"Exported {tiny}" in " ".join(result.stdout.split())


def exported_weights(tiny: Path, out: Path) -> list[Path]:
    export_bundle(tiny, out, "q4", context=512, force=False, progress=Silent())
    return list(out.glob("onnx/*_data*"))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_half_way(tiny: Path, tmp_path: Path, sent: signal.Signals, code: int) -> None:
    process = interrupted(tiny, tmp_path, sent)
    result = ended(process)
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    assert f"kept in {tmp_path / 'out.partial'}: the same command resumes" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial"]
    assert not list(tmp_path.rglob("gemtab.json"))
    again = ended(start_gemtab("export", tiny, tmp_path / "out", "--weights", "f32"))
    assert again.code == 0, again.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    check_files(tmp_path / "out", read_manifest(tmp_path / "out"))


def test_a_process_that_was_killed_holds_no_lock(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    ended(interrupted(tiny, tmp_path, signal.SIGKILL))
    assert gemtab("export", tiny, tmp_path / "out", "--weights", "f32").code == 0
    check_files(tmp_path / "out", read_manifest(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def interrupted(tiny: Path, folder: Path, sent: signal.Signals) -> subprocess.Popen[str]:
    """An export to folder/out, sent the signal when it has written and recorded something."""
    process = start_gemtab("export", tiny, folder / "out", "--weights", "f32")
    journal = folder / "out.partial" / "journal"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
        assert process.poll() is None, "the export ended before it could be interrupted"
        time.sleep(0.002)
    process.send_signal(sent)
    return process


def test_a_second_export_to_the_same_place_is_refused(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    process = interrupted(tiny, tmp_path, signal.SIGSTOP)
    gemtab("export", tiny, tmp_path / "out").refused(8, "Another export to", "is running", "out.partial/lock")
    process.send_signal(signal.SIGCONT)
    assert ended(process).code == 0
    assert read_manifest(tmp_path / "out").weights == "f32"


class Watched(Silent):
    """Progress that remembers the stages and, once so many bytes are done, is interrupted as Ctrl-C does it."""

    def __init__(self, most: int | None = None) -> None:
        self.stages: list[str] = []
        self.left = most

    def begin(self, stage: str, _total: int) -> None:
        self.stages.append(stage)

    def advance(self, amount: int) -> None:
        if self.left is not None:
            self.left -= amount
            if self.left < 0:
                raise KeyboardInterrupt


def resumes(source: Path, out: Path, weights: WeightFormat = "q8") -> bool:
    """Exports to the end, and whether it went on from where another had stopped."""
    progress = Watched()
    export_bundle(source, out, weights, context=512, force=False, progress=progress)
    check_files(out, read_manifest(out))
    return any("from where the last export stopped" in stage for stage in progress.stages)


def stop(source: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export_bundle(source, out, "q8", context=512, force=False, progress=Watched(1 << 20))


def test_an_export_goes_on_and_ends_in_the_same_bundle(checkpoint: Path, tmp_path: Path) -> None:
    stop(checkpoint, tmp_path / "out")
    assert resumes(checkpoint, tmp_path / "out")
    assert not resumes(checkpoint, tmp_path / "whole")
    assert read_manifest(tmp_path / "out") == read_manifest(tmp_path / "whole")


def test_another_context_keeps_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    stop(checkpoint, tmp_path / "out")
    progress = Watched()
    export_bundle(checkpoint, tmp_path / "out", "q8", context=300, force=False, progress=progress)
    assert "Packing the weights, from where the last export stopped" in progress.stages
    assert read_manifest(tmp_path / "out").context == 300


def test_what_was_made_of_something_else_is_thrown_away(checkpoint: Path, tmp_path: Path) -> None:
    stop(checkpoint, tmp_path / "formats")
    assert not resumes(checkpoint, tmp_path / "formats", "q4")
    assert not list((tmp_path / "formats" / "onnx").glob("*quantized*"))
    stop(checkpoint, tmp_path / "checkpoints")
    weights = checkpoint / "model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))
    assert not resumes(checkpoint, tmp_path / "checkpoints")


def test_a_damaged_checkpoint_leaves_nothing_to_go_on_with(checkpoint: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    weights["model.language_model.norm.weight"][3] = torch.nan
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"norm\.weight has 1 values that are NaN"):
        resumes(checkpoint, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_file_where_a_folder_should_be(gemtab: Gemtab, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    gemtab("export", tiny, tmp_path / "file" / "out").refused(8, str(tmp_path / "file"))


def test_a_folder_that_may_not_be_written(tiny: Path, tmp_path: Path) -> None:
    # The superuser may write everywhere but into /proc, so that is where the test goes.
    where = Path("/proc/self/out") if os.geteuid() == 0 else tmp_path / "closed" / "out"
    if where.parent.parent == tmp_path:
        where.parent.mkdir(mode=0o500)
    ended(start_gemtab("export", tiny, where)).refused(8, "could not be written")
