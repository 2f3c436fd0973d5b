"""The command line, run in this process or in one of its own, and checkpoints and bundles to run it on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gemtab.bundle.digest import digest_file
from gemtab.bundle.folder import read_manifest, write_manifest
from gemtab.cli import console
from gemtab.cli.main import main
from gemtab.export import export_bundle
from gemtab.resources import tiny_checkpoint
from tests.silent import Silent


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> None:
        """Asserts that it ended with `code` and one paragraph, in which all `words` are."""
        assert self.code == code, self.err
        assert self.out == ""
        assert "Traceback" not in self.err
        paragraph = self.err.strip()
        assert paragraph.startswith("gemtab: "), paragraph
        assert "\n" not in paragraph, paragraph
        for word in words:
            assert word in paragraph, f"{word!r} is not in: {paragraph}"


Gemtab = Callable[..., Ended]


@pytest.fixture
def gemtab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Gemtab]:
    """Runs `gemtab` in this process, which saves the start of another; without the lines of progress, which
    a busy machine would print."""
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", float("inf"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["gemtab", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as ending:
            code = ending.code or 0
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def start_gemtab(
    *arguments: str | Path, before: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts `gemtab` as a process of its own, by way of the command `before` where there is one."""
    command = [*before, str(Path(sys.executable).with_name("gemtab")), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )


def ended(process: subprocess.Popen[str], seconds: float = 120) -> Ended:
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err)


@pytest.fixture(scope="session")
def tiny() -> Path:
    return tiny_checkpoint()


@pytest.fixture
def checkpoint(tiny: Path, tmp_path: Path) -> Path:
    """A copy of models/tiny to be spoilt."""
    return Path(shutil.copytree(tiny, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def exported(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A q4 bundle of models/tiny, not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "tiny"
    export_bundle(tiny, out, "q4", context=512, force=False, progress=Silent())
    return out


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be spoilt."""
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


def edit_json(path: Path, **changes: object) -> None:
    """Changes entries of a JSON file; `a__b` names b inside of a, None removes."""
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        place = content
        for part in outer:
            place = place[part]
        place[last] = value
        if value is None:
            del place[last]
    path.write_text(json.dumps(content))


def accept_changes(bundle: Path, *files: str) -> None:
    """Lets the manifest agree with files that were changed."""
    manifest = read_manifest(bundle)
    entries = {**manifest.files, **{file: digest_file(bundle / file) for file in files}}
    write_manifest(bundle, manifest.model_copy(update={"files": entries}))
