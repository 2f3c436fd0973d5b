"""Reads a bundle's folder, and rejects an incomplete or altered one."""

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
from gemtab.bundle.reading import AGAIN, inside, max_bytes, parse_json, read_bytes, read_text
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
    """Whether `folder` has a manifest, and so is a bundle."""
    return os.path.isfile(folder / MANIFEST_NAME)  # False without permission to look


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the bundle at `folder`.

    Raises BundleError if the manifest is missing, of another format version, or damaged.
    """
    path = folder / MANIFEST_NAME
    if not path.exists():
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST_NAME}, which an export writes last. "
            "Make one with `gemtab export CHECKPOINT OUT`."
        )
    return parse_manifest(read_text(folder, MANIFEST_NAME), path)


def parse_manifest(text: str, path: Path) -> Manifest:
    """Parse a manifest. path: of the file, for errors. Raises BundleError for another format version or damage."""
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
    """Return the manifest of a bundle with a model that answers.

    Raises UsageError for a bundle with a draft model alone, and BundleError as `read_manifest` does.
    """
    manifest = read_manifest(folder)
    if not manifest.plans:
        raise UsageError(
            f"{folder} has a draft model alone ({manifest.source.name}), which proposes tokens for its target model "
            "and cannot answer without it. Use the bundle of the target model."
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest atomically: a reader sees the old manifest or the new one."""
    write_atomically(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")


def check_files(folder: Path, manifest: Manifest, checked: CheckedFiles | None = None) -> None:
    """Verify all files of the bundle. Raises BundleError for the first file that is missing, short or altered.

    checked: large files that were verified before, which are not read again unless they changed. None reads all.
    """
    for name, expected in manifest.files.items():
        path = inside(folder, name)
        if path.stat().st_size != expected.bytes:
            raise BundleError(
                f"{path} has {path.stat().st_size:,} bytes, but the manifest says {expected.bytes:,}. {AGAIN}"
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
    """As `check_files`, for the files that are read whole: plans, shaders, tokenizer, template, configs."""
    small = {name: entry for name, entry in manifest.files.items() if max_bytes(name) is not None}
    check_files(folder, manifest.model_copy(update={"files": small}))


def verified(folder: Path) -> Manifest:
    """Verify all files of a bundle and return the manifest. Raises as `read_answering_manifest` and `check_files`."""
    manifest = read_answering_manifest(folder)
    check_files(folder, manifest, CheckedFiles.load())
    return manifest


def _check_slices(path: Path, expected: FileEntry) -> None:
    try:
        for index, (wanted, had) in enumerate(zip(expected.sha256, digest_slices(path, expected), strict=True)):
            if wanted != had:
                raise BundleError(
                    f"{path} is altered: slice {index} (from byte {index * expected.slice_bytes:,}) has SHA-256 {had}, "
                    f"but the manifest says {wanted}. {AGAIN}"
                )
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}). {AGAIN}") from error


def accept_file(folder: Path, file: str) -> None:
    """Update the manifest's entry for a file that was just written, such as an edited shader or parity.json."""
    manifest = read_manifest(folder)
    entry = digest_file(folder / file)
    if manifest.files.get(file) != entry:
        files = {**manifest.files, file: entry}
        write_manifest(folder, manifest.model_copy(update={"files": files}))


def load_plan(path: Path) -> Plan:
    """Return the plan in a file of a bundle's folder `plan`. Raises BundleError if it is missing or damaged."""
    return parse_plan(read_bytes(path.parent.parent, f"{path.parent.name}/{path.name}"), path)


def parse_plan(content: bytes, path: Path) -> Plan:
    """Parse a plan. path: of the file, for errors. Raises BundleError for content that is no plan."""
    try:
        return parse(Plan, content.decode("utf-8"), path, _PLAN_MAPS)
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8: {error}. {AGAIN}") from None


def open_plan(folder: Path, manifest: Manifest, file: str) -> Plan:
    """Return the plan in `file` of a bundle, after checking it against the manifest.

    Raises BundleError for a file that the manifest does not list, and for a plan that `load_plan` or `check_plan`
    rejects.
    """
    if file not in manifest.files:
        raise BundleError(f"{folder} has no {file}: its manifest does not list it. {AGAIN}")
    plan = parse_plan(read_bytes(folder, file), folder / file)
    check_plan(plan, manifest, file, str(folder / file))
    return plan
