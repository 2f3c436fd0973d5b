"""Reading a bundle's folder, and refusing one that is not whole."""

import os
from pathlib import Path

from pydantic import TypeAdapter

from gemtab.bundle import limits
from gemtab.bundle.checked import CheckedFiles
from gemtab.bundle.digest import digest_file, digest_slices
from gemtab.bundle.manifest import MANIFEST_FORMAT, MANIFEST_NAME, FileEntry, Manifest, RelativePath
from gemtab.bundle.manifest_check import check_manifest
from gemtab.bundle.parsing import Maps, parse
from gemtab.bundle.plan import Buffer, Kernel, Plan, Program
from gemtab.bundle.plan_check import check_plan
from gemtab.bundle.reading import AGAIN, inside, most_bytes, parse_json, read_bytes, read_text
from gemtab.errors import BundleError, UsageError
from gemtab.output import write_atomically

SHADERS = "shaders"

_MANIFEST_MAPS: Maps = {"files": (TypeAdapter(dict[RelativePath, FileEntry]), limits.FILES)}
_PLAN_MAPS: Maps = {
    "buffers": (TypeAdapter(dict[str, Buffer]), limits.BUFFERS),
    "kernels": (TypeAdapter(dict[str, Kernel]), limits.KERNELS),
    "programs": (TypeAdapter(dict[str, Program]), limits.PROGRAMS),
}


def is_bundle(folder: Path) -> bool:
    """Whether `folder` is a bundle: it has a manifest."""
    return os.path.isfile(folder / MANIFEST_NAME)  # False where that may not be seen


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle at `folder`.

    Raises BundleError where there is none, where it is of another format version, and where it is damaged.
    """
    path = folder / MANIFEST_NAME
    if not path.exists():
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST_NAME}, which an export writes last. "
            "Make one with `gemtab export CHECKPOINT OUT`."
        )
    return parse_manifest(read_text(folder, MANIFEST_NAME), path)


def parse_manifest(text: str, path: Path) -> Manifest:
    """The manifest that a text is; `path` is where it lies, for messages. Raises as `read_manifest` does."""
    content = parse_json(text, path)
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(content, dict) and found != MANIFEST_FORMAT:
        raise BundleError(
            f"{path} is of bundle format {found!r}; this gemtab reads format {MANIFEST_FORMAT}. "
            "Export the checkpoint again with this version, or use the version that made the bundle."
        )
    manifest = parse(Manifest, text, path, _MANIFEST_MAPS)
    check_manifest(manifest, str(path))
    return manifest


def read_answering_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle whose model answers. Raises UsageError for one that holds a drafter alone, and what
    read_manifest does."""
    manifest = read_manifest(folder)
    if not manifest.plans:
        raise UsageError(
            f"{folder} holds a drafter ({manifest.source.name}), which drafts tokens for the model that it was trained "
            "with and cannot answer without it. Give the bundle of that model, its target."
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest in one step: a reader sees the old one or the new one."""
    write_atomically(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")


def check_files(folder: Path, manifest: Manifest, checked: CheckedFiles | None = None) -> None:
    """Compares every file with the manifest. Raises BundleError at the first that is missing, short or altered.

    checked: large files that were found right before, and have not changed since, are not read again.
    """
    for name, expected in manifest.files.items():
        path = inside(folder, name)
        if path.stat().st_size != expected.bytes:
            raise BundleError(
                f"{path} has {path.stat().st_size:,} bytes where the manifest says {expected.bytes:,}. {AGAIN}"
            )
    for name, expected in manifest.files.items():
        path = folder / name
        if checked is None:
            _check_slices(path, expected)
        elif not checked.knows(path, expected):
            with checked.checking(path, expected):
                _check_slices(path, expected)
    if checked is not None:
        checked.save()


def check_small_files(folder: Path, manifest: Manifest) -> None:
    """As `check_files`, of the files alone that are read as a whole: plans, shaders, tokenizer, template, configs."""
    small = {name: entry for name, entry in manifest.files.items() if most_bytes(name) is not None}
    check_files(folder, manifest.model_copy(update={"files": small}))


def verified(folder: Path) -> Manifest:
    """The manifest of a bundle all of whose files are as it says. Raises as read_answering_manifest and check_files."""
    manifest = read_answering_manifest(folder)
    check_files(folder, manifest, CheckedFiles.load())
    return manifest


def _check_slices(path: Path, expected: FileEntry) -> None:
    try:
        for index, (wanted, had) in enumerate(zip(expected.sha256, digest_slices(path, expected), strict=True)):
            if wanted != had:
                raise BundleError(
                    f"{path} is altered: slice {index} (from byte {index * expected.slice_bytes:,}) has SHA-256 {had} "
                    f"where the manifest says {wanted}. {AGAIN}"
                )
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}). {AGAIN}") from error


def accept_file(folder: Path, file: str) -> None:
    """Brings the manifest up to date with a file that was just written: a shader by its author, or parity.json."""
    manifest = read_manifest(folder)
    entry = digest_file(folder / file)
    if manifest.files.get(file) != entry:
        files = {**manifest.files, file: entry}
        write_manifest(folder, manifest.model_copy(update={"files": files}))


def load_plan(path: Path) -> Plan:
    """The plan in a file of a bundle's folder `plan`; BundleError where there is none, or none of this version."""
    return parse_plan(read_bytes(path.parent.parent, f"{path.parent.name}/{path.name}"), path)


def parse_plan(content: bytes, path: Path) -> Plan:
    """The plan that a text is; `path` is where it lies, for messages. Raises BundleError where it is none."""
    try:
        return parse(Plan, content.decode("utf-8"), path, _PLAN_MAPS)
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8: {error}. {AGAIN}") from None


def open_plan(folder: Path, manifest: Manifest, file: str) -> Plan:
    """As `load_plan`, of a plan whose parts fit each other and the bundle."""
    if file not in manifest.files:
        raise BundleError(f"{folder} has no {file}: its manifest does not list it. {AGAIN}")
    plan = parse_plan(read_bytes(folder, file), folder / file)
    check_plan(plan, manifest, file, str(folder / file))
    return plan
