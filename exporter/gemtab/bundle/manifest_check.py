"""What a JSON schema cannot say about a manifest. `checkManifest` of the tab says the same; the tests of both run
tests/fixtures/bundle_checks.json."""

from collections.abc import Callable

from gemtab.bundle import limits
from gemtab.bundle.manifest import MANIFEST_NAME, FileEntry, Manifest, PlanEntry
from gemtab.bundle.reading import max_bytes
from gemtab.errors import BundleError

Check = Callable[[bool, str], None]


def checker(where: str) -> Check:
    """What raises BundleError, with the message, where something does not hold."""

    def check(holds: bool, message: str) -> None:
        if not holds:
            raise BundleError(f"{where}: {message}. The bundle is damaged: export it again.")

    return check


def check_manifest(manifest: Manifest, where: str = MANIFEST_NAME) -> None:
    """Raises BundleError where parts of a manifest do not fit each other, or are too many."""
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
    """Of text and towers."""
    return (*manifest.plans, *manifest.towers.image, *manifest.towers.audio)


def slice_count(entry: FileEntry) -> int:
    """How many slices a file has: an empty one has an empty one."""
    return max(1, -(-entry.bytes // entry.slice_bytes))


def _check_slices(file: str, entry: FileEntry, check: Check) -> None:
    """A slice is held in memory as a whole, so a manifest must not make it larger than an export does."""
    slices, found = slice_count(entry), len(entry.sha256)
    check(found == slices, f"{file} must have a digest for each of the {slices} slices, but has {found}")
    largest = min(entry.bytes, entry.slice_bytes)
    check(largest <= limits.SLICE_BYTES, f"{file} has slices of {largest} bytes, more than {limits.SLICE_BYTES}")
    whole_words = slices == 1 or entry.slice_bytes % 4 == 0
    check(whole_words, f"{file} has slices of {entry.slice_bytes} bytes, not a multiple of 4")
