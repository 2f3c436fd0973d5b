"""The name of a checkpoint, in any location."""

import os
from pathlib import Path

import pytest

from gemtab.checkpoint.naming import Name, name_of

COMMIT = "0f1e2d3c4b5a69788796a5b4c3d2e1f001122334"
BLOB = "1f3a5b7c9d" * 6 + "1f3a"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    folder = tmp_path / "hub" / "models--me--tiny.v1" / "snapshots" / COMMIT
    (folder / "sub").mkdir(parents=True)
    blobs = folder.parents[1] / "blobs"
    blobs.mkdir()
    (blobs / BLOB).touch()
    (folder / "tiny-Q8_0.gguf").symlink_to(f"../../blobs/{BLOB}")
    return folder


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gemma-3.1 mine"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for path in (folder, Path("."), Path("..", "gemma-3.1 mine"), Path(f"{folder}{os.sep}")):
        assert name_of(path) == Name("gemma-3.1 mine")
    assert name_of(tmp_path / "link") == Name("link")


def test_the_cache_of_a_hub(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Name("me/tiny.v1", "me/tiny.v1")
    (tmp_path / "link").symlink_to(snapshot)
    assert name_of(snapshot) == name_of(snapshot / "sub") == name_of(tmp_path / "link") == hub
    monkeypatch.chdir(snapshot)
    assert name_of(Path(".")) == hub
    assert name_of(Path("tiny-Q8_0.gguf"), own="Tiny") == Name("tiny-Q8_0", "me/tiny.v1")


def test_a_repository_of_one_word(tmp_path: Path) -> None:
    folder = tmp_path / "models--tiny" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    assert name_of(folder) == Name("tiny", "tiny")


def test_a_file_that_is_called_by_its_digest(snapshot: Path, tmp_path: Path) -> None:
    """As ollama keeps files, and as a hub's cache does behind its links."""
    blob = tmp_path / f"sha256-{BLOB}"
    blob.touch()
    assert name_of(blob, own="Gemma 3 270m It") == Name("Gemma 3 270m It")
    assert name_of(blob, own="me/tiny") == Name("me-tiny"), "a slash is for ids on a hub"
    assert name_of(blob) == Name(f"sha256-{BLOB}")
    assert name_of(snapshot.parents[1] / "blobs" / BLOB, own="Tiny") == Name("Tiny")


def test_a_file_whose_ending_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gemma-3.5"
    path.touch()
    assert name_of(path) == Name("gemma-3.5")
