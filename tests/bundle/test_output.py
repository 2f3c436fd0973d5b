"""Replacing the output is atomic, and an impossible name is an error."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from gemtab import output
from gemtab.errors import OutputError
from gemtab.exchange import exchange
from gemtab.export import check_output
from gemtab.output import put_in_place, repair, unfinished, write_atomically
from gemtab.weight_files.layout import lay_out
from gemtab.weight_files.partial import partial


def made(folder: Path, mark: str) -> Path:
    (folder / "inner").mkdir(parents=True)
    (folder / "gemtab.json").write_text(mark)
    (folder / "inner" / "file").write_text(mark)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cannot_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "exchange", lambda *_: False)


@pytest.mark.parametrize("name", [".", "..", "/", "a/..", "x" * 201, "é" * 150, "nul\0"])
def test_what_is_no_name_for_a_new_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"does not name a new folder|Choose a shorter name"):
        check_output(Path(name), force=True)
    with pytest.raises(OutputError), partial(Path(name), "x", [lay_out("m", [], "q4")], 0):
        pass
    with pytest.raises(OutputError), unfinished(Path(name)):
        pass
    assert names(tmp_path) == []


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        check_output(tmp_path / ("y" * 300) / "out", force=True)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match="circle"):
        check_output(tmp_path / "loop" / "out", force=True)
    with pytest.raises(OutputError, match="not replaced"):
        check_output(tmp_path / "loop", force=True)


AS_NOBODY = """
import os, sys
from pathlib import Path
from gemtab.errors import OutputError
from gemtab.export import check_output
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[1:]:
    try:
        check_output(Path(path), force=True)
    except OutputError as error:
        print(error)
"""


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o000)
    command = [sys.executable, "-c", AS_NOBODY, str(closed / "out"), str(closed / "deep" / "out"), str(closed)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        closed.chmod(0o700)
    lines = ended.stdout.splitlines()
    assert len(lines) == 3, ended
    for line in lines:
        assert "could not be written: you have no permission to write there. Choose another output folder." in line


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems exchange no folders")
def test_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", "1"), made(tmp_path / "other", "2")
    assert exchange(one, other)
    assert ((one / "gemtab.json").read_text(), (other / "gemtab.json").read_text()) == ("2", "1")
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems exchange no folders")
def test_a_replaced_bundle_is_there_at_each_moment(tmp_path: Path) -> None:
    out, missing, over = made(tmp_path / "out", "0"), 0, Event()

    def watch() -> None:
        nonlocal missing
        while not over.is_set():
            missing += not os.path.exists(out / "gemtab.json")

    watching = Thread(target=watch)
    watching.start()
    for number in range(1, 40):
        put_in_place(made(tmp_path / "new", str(number)), out)
    over.set()
    watching.join()
    assert (missing, (out / "gemtab.json").read_text(), names(tmp_path)) == (0, "39", ["out"])


@pytest.mark.parametrize("prepare", [lambda _: None, cannot_exchange])
def test_what_was_there_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], None]
) -> None:
    prepare(monkeypatch)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(made(tmp_path / "linked", "old"))
    made(tmp_path / "whole", "old")
    for name in ("empty", "link", "whole", "new"):
        put_in_place(made(tmp_path / "unfinished", "new"), tmp_path / name)
        assert (tmp_path / name / "inner" / "file").read_text() == "new"
    assert names(tmp_path) == ["empty", "link", "linked", "new", "whole"]
    assert (tmp_path / "linked" / "gemtab.json").read_text() == "old"


def test_where_folders_cannot_be_exchanged_the_next_run_repairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot_exchange(monkeypatch)
    out, new = made(tmp_path / "out", "old"), made(tmp_path / "new", "new")
    rename = Path.rename

    def killed_between(path: Path, to: Path) -> None:
        if path == new:
            raise KeyboardInterrupt
        rename(path, to)

    monkeypatch.setattr(Path, "rename", killed_between)
    with pytest.raises(KeyboardInterrupt):
        put_in_place(new, out)
    assert not out.exists()
    monkeypatch.undo()
    repair(out)
    assert (out / "gemtab.json").read_text() == "old"
    assert names(tmp_path) == ["new", "out"]


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_exchange(monkeypatch)
    out = made(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "nowhere", out)
    assert (out / "gemtab.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    made(tmp_path / f"out.partial-{ended.pid}", "killed")
    made(tmp_path / ".out.replaced-by-gemtab", "old")
    made(tmp_path / f"out.partial-{os.getppid()}", "running")
    made(tmp_path / "out.partial-notes", "another's")
    made(tmp_path / "out", "newer")
    with unfinished(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
    assert names(tmp_path) == sorted(["out", "out.partial-notes", f"out.partial-{os.getppid()}"])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks the system which file a number is")
def test_all_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename = Path.rename

    def fsync(opened: int) -> None:
        done.append(str(Path(os.readlink(f"/proc/self/fd/{opened}")).relative_to(tmp_path)))

    def renamed(path: Path, to: Path) -> None:
        done.append("renamed")
        rename(path, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", renamed)
    put_in_place(made(tmp_path / "new", "x"), tmp_path / "out")
    before, after = done[: done.index("renamed")], done[done.index("renamed") + 1 :]
    assert sorted(before) == ["new", "new/gemtab.json", "new/inner", "new/inner/file"]
    assert after == ["."]
    done.clear()
    write_atomically(tmp_path / "out" / "gemtab.json", "y")
    assert done[0].startswith("out/.gemtab.json.")
    assert done[1:] == ["out"]
    assert names(tmp_path / "out") == ["gemtab.json", "inner"]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        write_atomically(tmp_path / "folder", "x")
    with pytest.raises(OutputError, match="could not be written"):
        write_atomically(tmp_path / "nowhere" / "file", "x")
    assert names(tmp_path) == ["folder"]
