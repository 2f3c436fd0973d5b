"""Files of a bundle are read inside its folder, up to their bounds, and large ones are verified once."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gemtab.bundle import checked, limits, reading
from gemtab.bundle.checked import CheckedFiles
from gemtab.bundle.digest import digest_file
from gemtab.bundle.folder import check_files, parse_manifest, parse_plan, read_manifest, write_manifest
from gemtab.bundle.manifest import Manifest
from gemtab.errors import BundleError

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "bundle_checks.json").read_text())["text"]["manifest"]


def bundle_of(folder: Path, files: dict[str, bytes], slice_bytes: int = 16) -> Manifest:
    """A bundle with random contents and correct digests."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = parse_manifest(json.dumps({**FIXTURE, "plans": FIXTURE["plans"]}), folder)
    entries = {name: digest_file(folder / name, slice_bytes) for name in files}
    manifest = manifest.model_copy(
        update={"files": {**entries, "plan/f32.json": digest_file(folder / "plan/f32.json")}}
    )
    write_manifest(folder, manifest)
    return manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    files = {"plan/f32.json": b"{}", "onnx/a.onnx_data": bytes(range(100)), "empty.bin": b""}
    return bundle_of(tmp_path, files)


def test_a_whole_bundle_is_taken(tmp_path: Path, manifest: Manifest) -> None:
    assert len(manifest.files["onnx/a.onnx_data"].sha256) == 7
    assert len(manifest.files["empty.bin"].sha256) == 1
    assert read_manifest(tmp_path) == manifest
    check_files(tmp_path, manifest)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, manifest: Manifest) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes(bytes(range(100)))
    (tmp_path / "onnx/a.onnx_data").unlink()
    (tmp_path / "onnx/a.onnx_data").symlink_to(outside)
    with pytest.raises(BundleError, match="link out of"):
        check_files(tmp_path, manifest)


def test_a_download_in_a_hubs_cache_is_taken(tmp_path: Path) -> None:
    folder, blobs = tmp_path / "snapshots" / "1a2b", tmp_path / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    manifest = bundle_of(folder, {"plan/f32.json": b"{}", "a.bin": b"abc"})
    (folder / "a.bin").rename(blobs / "0123")
    (folder / "a.bin").symlink_to("../../blobs/0123")
    check_files(folder, manifest)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_special_files_are_rejected_at_once(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "empty.bin").unlink()
    os.mkfifo(tmp_path / "empty.bin")
    with pytest.raises(BundleError, match="not a regular file"):
        check_files(tmp_path, manifest)


def test_no_more_is_read_than_a_file_may_have(tmp_path: Path) -> None:
    with (tmp_path / "gemtab.json").open("wb") as file:
        file.truncate(1 << 40)
    began = time.monotonic()
    with pytest.raises(BundleError, match=f"larger than the {limits.MANIFEST_BYTES:,} bytes"):
        read_manifest(tmp_path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "text",
    ["[" * 500_000, '{"a":' * 500_000, '{"format": 1, "draft": ' + "[" * 500_000, "null", "[]", "7", '"x"', "\xff", ""],
    ids=lambda text: text[:12],
)
def test_invalid_manifests(tmp_path: Path, text: str) -> None:
    (tmp_path / "gemtab.json").write_bytes(text.encode("latin-1"))
    began = time.monotonic()
    with pytest.raises(BundleError) as error:
        read_manifest(tmp_path)
    assert time.monotonic() - began < 2
    assert len(str(error.value)) <= 640


def test_untrusted_text_is_shortened_in_errors(tmp_path: Path) -> None:
    (tmp_path / "gemtab.json").write_text(json.dumps({**FIXTURE, "x" * 1_000_000: 1}))
    with pytest.raises(BundleError) as error:
        read_manifest(tmp_path)
    assert len(str(error.value)) <= 640


@pytest.mark.parametrize("content", [b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_invalid_objects(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"config\.json"):
        reading.read_object(tmp_path, "config.json")


# --- digests, once a change ---------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with weights that count as large and are old."""
    monkeypatch.setattr(checked, "LEAST_BYTES", 64)
    monkeypatch.setattr(checked, "_SETTLED_NS", 0)
    folder = tmp_path / "bundle"
    folder.mkdir()
    bundle_of(folder, {"plan/f32.json": b"{}", "a.bin": bytes(range(100))})
    return folder


def reads(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the large files that a check reads."""
    found: list[str] = []
    whole: Any = checked.CheckedFiles.checking

    def checking(self: CheckedFiles, path: Path, entry: Any) -> Any:
        found.extend([path.name] if entry.bytes >= checked.LEAST_BYTES else [])
        return whole(self, path, entry)

    with monkeypatch.context() as patched:
        patched.setattr(checked.CheckedFiles, "checking", checking)
        check_files(folder, read_manifest(folder), CheckedFiles.load(cache))
    return found


def test_a_large_file_is_read_once(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache" / "checked.json"
    assert [reads(large, cache, monkeypatch) for _ in range(3)] == [["a.bin"], [], []]


def test_a_change_of_the_same_size_and_time_is_seen(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, file = tmp_path / "cache" / "checked.json", large / "a.bin"
    assert reads(large, cache, monkeypatch) == ["a.bin"]
    before = file.stat()
    file.write_bytes(bytes(100))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BundleError, match="SHA-256"):
        reads(large, cache, monkeypatch)


def test_another_manifest_is_checked_anew(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache" / "checked.json"
    assert reads(large, cache, monkeypatch) == ["a.bin"]
    manifest = read_manifest(large)
    entry = manifest.files["a.bin"].model_copy(update={"sha256": ("0" * 64,) * 7})
    write_manifest(large, manifest.model_copy(update={"files": {**manifest.files, "a.bin": entry}}))
    with pytest.raises(BundleError, match="SHA-256"):
        reads(large, cache, monkeypatch)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "[" * 100_000])
def test_a_cache_that_is_damaged_is_no_cache(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    cache = tmp_path / "checked.json"
    cache.write_text(content)
    assert [reads(large, cache, monkeypatch) for _ in range(2)] == [["a.bin"], []]


def test_a_cache_that_others_may_write_is_not_believed(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "checked.json"
    assert reads(large, cache, monkeypatch) == ["a.bin"]
    cache.chmod(0o666)
    assert reads(large, cache, monkeypatch) == ["a.bin"]


# --- nonsense, in megabytes ----------------------------------------------------------------------------------

NONSENSE: dict[str, Any] = {
    "unknown members": {str(number): 1 for number in range(400_000)},
    "buffers": {"buffers": {f"b{number}": {"kind": "weight"} for number in range(49_000)}},
    "too many buffers": {"buffers": {f"b{number}": 1 for number in range(100_000)}},
    "unknown members of buffers": {"buffers": {f"b{n}": {str(m): 1 for m in range(60)} for n in range(5_000)}},
    "dispatches": {"programs": {"fill": {"max_tokens": 1, "dispatches": [{}] * 400_000}}},
    "lists": {"slots": [[]] * 600_000},
    "params": {"programs": {"fill": {"dispatches": [{"params": ["x"] * 400_000}]}}},
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_rejected_at_its_first_error(nonsense: str) -> None:
    """pydantic collects all errors, which takes minutes and gigabytes for such plans."""
    valid = json.loads((Path(__file__).parents[1] / "fixtures" / "bundle_checks.json").read_text())["text"]["plan"]
    text = json.dumps({**valid, **NONSENSE[nonsense]})
    began = time.process_time()
    with pytest.raises(BundleError):
        parse_plan(text.encode(), Path("plan/f32.json"))
    assert time.process_time() - began < 5
