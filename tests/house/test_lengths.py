"""A file that is written by hand has at most 450 lines: a longer one holds more than its name says."""

from tools.arrows import ROOT, files

MAX_LINES = 450
FOLDERS = (
    "exporter/",
    "webruntime/",
    "site/",
    "tools/",
    "models/",
    "benchmarks/",
    "tests/",
    "playwright_tests/",
    "real_tests/",
)
LONGER = {
    "exporter/gemtab/backends/reference.py": "one definition of an op after another",
    "exporter/gemtab/backends/webgpu/lower.py": "until lowering is in parts",
    "models/training/facts.py": "a table of training data",
}
"""Files that may be longer, and why."""


def _lines(file: str) -> int:
    """0 for a file that is no longer there."""
    path = ROOT / file
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def test_no_file_is_long() -> None:
    written = [file for file in files(FOLDERS, [".py", ".ts", ".mjs", ".js"]) if not file.endswith(".gen.ts")]
    lines = {file: _lines(file) for file in written}
    found = [f"{file}: {count} lines" for file, count in lines.items() if count > MAX_LINES and file not in LONGER]
    assert not found, f"more than {MAX_LINES} lines. Split by noun:\n" + "\n".join(found)


def test_exceptions_are_still_needed() -> None:
    short = [file for file in LONGER if _lines(file) <= MAX_LINES]
    assert not short, f"{', '.join(short)}: take these out of LONGER"
