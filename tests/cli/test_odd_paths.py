"""Paths that lead nowhere, in a circle, to a pipe or to a folder: one paragraph, whatever the command."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Gemtab

LONG = "x" * 300


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "folders" / "gemtab.json").mkdir(parents=True)
    (tmp_path / "config" / "config.json").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        *(f"inspect {path}" for path in (LONG, f"{LONG}/{LONG}", "pipe", "loop", "folders", "config", "empty", "file")),
        *(f"inspect {path} --fit 8GB" for path in (LONG, "pipe", "loop", "folders", "file")),
        *(f"export google/{name} out" for name in ("a..b", "a--b", "a-", "é")),
        *(f"export {path} out" for path in (LONG, "pipe", "loop", "config", "empty", "file", f"google/{LONG}")),
        *(
            f"export {{tiny}} {path}"
            for path in (".", "..", LONG, "loop", "loop/out", "file", "file/out", "empty/../..")
        ),
        *(f"export {{tiny}} out --adapter {path}" for path in (LONG, "pipe", "loop", "empty", "file")),
        *(f"run {path} -p x" for path in (LONG, "pipe", "loop", "folders", "empty", "file")),
        *(f"publish {path}" for path in (LONG, "pipe", "loop", "folders", "empty", "file")),
        *(f"serve {path}" for path in (LONG, "pipe", "loop", "folders", "empty", "file")),
        *(f"synth E2B {path}" for path in (".", LONG, "loop", "file", "file/out")),
    ],
)
def test_one_paragraph(gemtab: Gemtab, odd: Path, tiny: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    before = sorted(path.name for path in odd.iterdir())
    result = gemtab(*(str(tiny) if word == "{tiny}" else word for word in words.split()))
    assert result.code in (2, 3, 4, 8, 10), result.err
    result.refused(result.code)
    assert sorted(path.name for path in odd.iterdir()) == before
