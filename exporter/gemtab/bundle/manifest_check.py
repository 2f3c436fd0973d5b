"""Checks of a manifest beyond the schema. `checkManifest` in TypeScript does the same checks.

tests/fixtures/bundle_checks.json has cases for both languages.
"""

from collections.abc import Callable

from gemtab.bundle import limits
from gemtab.bundle.manifest import MANIFEST_NAME, FileEntry, Manifest, PlanEntry
from gemtab.bundle.reading import max_bytes
from gemtab.errors import BundleError

Check = Callable[[bool, str], None]


def checker(where: str) -> Check:
    """Return a function that raises BundleError with a message if a condition is false. where: the file, for errors."""

    def check(holds: bool, message: str) -> None:
        if not holds:
            raise BundleError(f"{where}: {message}. The bundle is damaged: export it again.")

    return check


def check_manifest(manifest: Manifest, where: str = MANIFEST_NAME) -> None:
    """Raise BundleError if parts of a manifest contradict each other, or are too many."""
    check = checker(where)
    check(len(manifest.files) <= limits.FILES, f"{len(manifest.files)} files are more than {limits.FILES}")
    for file, entry in manifest.files.items():
        _check_slices(file, entry, check)
        most = max_bytes(file)
        check(most is None or entry.bytes <= most, f"{file} has {entry.bytes} bytes, more than {most}")
    total = sum(entry.bytes for entry in manifest.files.values())
    check(total < limits.MAX_INTEGER, f"the files have {total} bytes in all")
    named = [entry.file for entry in plan_entries(manifest)] + ([manifest.draft.file] if manifest.draft else [])
    for file in named:
        check(file in manifest.files, f"it names {file}, which it does not list")
    for plan in manifest.plans:
        fits = plan.tokens <= manifest.context
        check(fits, f"{plan.file} takes {plan.tokens} tokens in a context of {manifest.context}")


def plan_entries(manifest: Manifest) -> tuple[PlanEntry, ...]:
    """Return the entries of all plans, of text and of towers."""
    return (*manifest.plans, *manifest.towers.image, *manifest.towers.audio)


def slice_count(entry: FileEntry) -> int:
    """Return the number of slices of a file. An empty file has one, empty slice."""
    return max(1, -(-entry.bytes // entry.slice_bytes))


def _check_slices(file: str, entry: FileEntry, check: Check) -> None:
    """Check digests and sizes of slices. Readers keep a whole slice in memory, so its size must be bounded."""
    slices, found = slice_count(entry), len(entry.sha256)
    check(found == slices, f"{file} must have a digest for each of the {slices} slices, but has {found}")
    largest = min(entry.bytes, entry.slice_bytes)
    check(largest <= limits.SLICE_BYTES, f"{file} has slices of {largest} bytes, more than {limits.SLICE_BYTES}")
    whole_words = slices == 1 or entry.slice_bytes % 4 == 0
    check(whole_words, f"{file} has slices of {entry.slice_bytes} bytes, not a multiple of 4")
