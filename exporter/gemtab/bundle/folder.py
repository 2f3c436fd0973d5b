"""Reading a bundle's folder, and refusing one that is not whole."""

import json
from pathlib import Path

from pydantic import ValidationError

from gemtab.bundle.digest import digest_file
from gemtab.bundle.manifest import MANIFEST_FORMAT, MANIFEST_NAME, FileEntry, Manifest
from gemtab.bundle.plan import Plan
from gemtab.errors import BundleError, UsageError
from gemtab.output import write_in_one_step

SHADERS = "shaders"
PARITY_NAME = "parity.json"


def is_bundle(folder: Path) -> bool:
    """Whether `folder` is a bundle: it has a manifest."""
    return (folder / MANIFEST_NAME).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle at `folder`.

    Raises BundleError where there is none, where it is of another format version, and where it is damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST_NAME}, which an export writes last. "
            "Make one with `gemtab export CHECKPOINT OUT`."
        ) from None
    try:
        found = json.loads(text).get("format")
        if found != MANIFEST_FORMAT:
            raise BundleError(
                f"{path} is of bundle format {found}; this gemtab reads format {MANIFEST_FORMAT}. "
                "Export the checkpoint again with this version, or use the version that made the bundle."
            )
        return Manifest.model_validate_json(text)
    except (AttributeError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({_first_line(error)}). Export the checkpoint again.") from error


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
    write_in_one_step(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compares every file with the manifest. Raises BundleError at the first that is missing, short or altered."""
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder} lacks {name}, which its manifest lists. Copy or export it again.")
        if path.stat().st_size != expected.bytes:
            raise BundleError(
                f"{path} has {path.stat().st_size:,} bytes where the manifest says {expected.bytes:,}. "
                "Copy or export the bundle again."
            )
        _check_slices(path, expected)


def _check_slices(path: Path, expected: FileEntry) -> None:
    found = digest_file(path, expected.slice_bytes)
    for index, (wanted, had) in enumerate(zip(expected.sha256, found.sha256, strict=True)):
        if wanted != had:
            raise BundleError(
                f"{path} is altered: slice {index} (from byte {index * expected.slice_bytes:,}) has SHA-256 {had} "
                f"where the manifest says {wanted}. Copy or export the bundle again."
            )


def accept_file(folder: Path, file: str) -> None:
    """Brings the manifest up to date with a file that was just written: a shader by its author, or parity.json."""
    manifest = read_manifest(folder)
    entry = digest_file(folder / file)
    if manifest.files.get(file) != entry:
        files = {**manifest.files, file: entry}
        write_manifest(folder, manifest.model_copy(update={"files": files}))


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).splitlines()[0]


def load_plan(path: Path) -> Plan:
    """The plan in a file; BundleError where there is none or it is not one this version can run."""
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} could not be read ({error}). Export the bundle again.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{path} is not a plan that this version of gemtab can run: {place}: {first['msg']}. "
            "Export the bundle again."
        ) from error
