"""Find words that the project does not use. tools/words.toml lists the words, the words to use instead, and exceptions.

`python -m tools.words [FOLDER] [--count]` prints every hit as `file:line: word`, and how many hits each word has. The
module needs Python's standard library alone.
"""

import ast
import re
import sys
import tomllib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE = "tools/words.toml"
ENDINGS = (".py", ".ts", ".mjs", ".js", ".jinja", ".json", ".md", ".toml", ".html", ".css", ".yml", ".yaml", ".sh", "")
GAP = r"(?:[ _-]|\s*\n\s*(?:#|//|\*)?\s*)"
"""Between the words of a phrase: a space, a line break in a comment, or the joint of an identifier."""

SCRIPT = re.compile(r"(?:/\*\*?|//|\{#-?)[\s*/]*What\b")
"""A comment of TypeScript, CSS or a shader template that begins with "What"."""

HASH = re.compile(r"#:?\s*What\b")
DOCUMENT = re.compile(r"(?:^(?:#+ |[|*-] )?|(?<=[.:!?] ))What\b(?![^.!?\n]*\n?[^.!?\n]*\?)", re.MULTILINE)
"""A heading, cell or sentence of Markdown that begins with "What" and is not a question."""


@dataclass(frozen=True)
class Allowed:
    """An exception. pattern: a hit within its match is allowed. files: patterns of paths; without any, all files."""

    pattern: re.Pattern[str]
    reason: str
    files: tuple[str, ...]

    def holds(self, file: str) -> bool:
        """Whether the exception is about this file."""
        return not self.files or any(fnmatchcase(file, pattern) for pattern in self.files)


@dataclass(frozen=True)
class Row:
    """say: words to use. words: words to avoid, each alone or in an identifier. files: as in an exception."""

    say: str
    words: tuple[str, ...]
    exceptions: tuple[Allowed, ...] = ()
    files: tuple[str, ...] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Match each word as a whole part of an identifier, of a file name or of a sentence."""
        return re.compile("|".join(_part(word) for word in self.words))

    def is_about(self, file: str) -> bool:
        """Whether the words are to be avoided in this file."""
        return not self.files or any(fnmatchcase(file, pattern) for pattern in self.files)


@dataclass(frozen=True, order=True)
class Hit:
    """A word at a line of a file; line 0 is the file's name."""

    file: str
    line: int
    word: str
    say: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {' '.join(self.word.split())} (say: {self.say})"


def _part(word: str) -> str:
    """Return the pattern of a word. `turn heads` also matches turn_heads, turnHeads and TurnHeads; `most_` matches the
    beginning of an identifier alone."""
    if " " in word:
        joined = f"{GAP}?".join(re.escape(part) for part in word.split())
        return rf"(?<![A-Za-z])(?i:{joined})(?![a-z])"
    if word.endswith("_"):
        stem = word[:-1]
        return rf"(?<![A-Za-z]){stem}(?:_(?=[a-z])|(?=[A-Z]))|(?<![A-Z]){stem.upper()}_(?=[A-Z])"
    title, upper = word[0].upper() + word[1:], word.upper()
    return rf"(?:(?<![A-Za-z]){word}|{title})(?![a-z])|(?<![A-Z]){upper}(?![A-Za-z])"


def read_table(path: Path = ROOT / TABLE) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows, each with the exceptions that are for all rows, and the patterns of files that are not read."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    everywhere = table.get("except", ())
    rows = [
        Row(
            row["say"],
            tuple(row["words"]),
            _allowed([*everywhere, *row.get("except", ())]),
            tuple(row.get("files", ())),
        )
        for row in table["rows"]
    ]
    return rows, tuple(entry["files"] for entry in table["unread"])


def _allowed(entries: Sequence[dict[str, Any]]) -> tuple[Allowed, ...]:
    return tuple(
        Allowed(re.compile(one["pattern"], re.MULTILINE), one["reason"], tuple(one.get("files", ()))) for one in entries
    )


def sources(unread: Sequence[str], folders: Sequence[str], root: Path = ROOT) -> dict[str, str]:
    """Return the text of each file that is read, by its path in the repository."""
    paths = [path for path in root.iterdir() if path.is_file()]
    paths += [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(root).as_posix(): path for path in paths if path.suffix in ENDINGS}
    listed = {name: path for name, path in sorted(names.items()) if not any(fnmatchcase(name, one) for one in unread)}
    return {name: path.read_text(encoding="utf-8", errors="replace") for name, path in listed.items()}


def hits(texts: dict[str, str], rows: Sequence[Row]) -> Iterator[Hit]:
    """Find the words of `rows` in names and texts of files, exceptions left out."""
    for file, text in texts.items():
        lower = f"{file}\n{text}".lower()
        for row in rows:
            if row.is_about(file) and any(word.split()[0].rstrip("_") in lower for word in row.words):
                yield from _hits(file, text, row)


def _hits(file: str, text: str, row: Row) -> Iterator[Hit]:
    """Prefix the file's name as line 0, and find one row's words."""
    whole = f"{file}\n{text}"
    found = [match.span() for match in row.pattern.finditer(whole)]
    if not found:
        return
    allowed = _spans(whole, [one.pattern for one in row.exceptions if one.holds(file)])
    starts = [0, *(match.end() for match in re.finditer("\n", whole))]
    for start, end in found:
        if not _within((start, end), allowed):
            yield Hit(file, bisect_right(starts, start) - 1, whole[start:end], row.say)


def _spans(text: str, patterns: Sequence[re.Pattern[str]]) -> list[tuple[int, int]]:
    return [match.span() for pattern in patterns for match in pattern.finditer(text)]


def unneeded(texts: dict[str, str], rows: Sequence[Row]) -> Iterator[str]:
    """Name the exceptions that allow no hit of any row."""
    allowed = {one: False for row in rows for one in row.exceptions}
    for row in rows:
        for one in row.exceptions:
            allowed[one] |= any(_allows(one, row, file, text) for file, text in texts.items())
    yield from (one.pattern.pattern for one, needed in allowed.items() if not needed)


def _allows(one: Allowed, row: Row, file: str, text: str) -> bool:
    if not (row.is_about(file) and one.holds(file)):
        return False
    whole = f"{file}\n{text}"
    spans = _spans(whole, [one.pattern])
    return bool(spans) and any(_within(match.span(), spans) for match in row.pattern.finditer(whole))


def _within(span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    return any(first <= span[0] and span[1] <= last for first, last in spans)


def whats(texts: dict[str, str]) -> Iterator[Hit]:
    """Find comments, docstrings and sentences of documents that begin with "What"."""
    for file, text in texts.items():
        if "What" in text:
            lines = sorted(_what_lines(file, text))
            yield from (Hit(file, line, "What", "the noun") for line in lines)


def _what_lines(file: str, text: str) -> set[int]:
    ending = Path(file).suffix
    if ending == ".py":
        return _docstrings(text) | _lines(HASH, text)
    if ending in (".toml", ".yml", ".yaml", ".sh", "") and not file.endswith(".json"):
        return _lines(HASH, text)
    return _lines(DOCUMENT if ending == ".md" else SCRIPT, text)


def _docstrings(text: str) -> set[int]:
    """Return the lines of strings that stand alone and begin with "What"."""
    constants = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr))
    strings = ((one.lineno, one.value) for one in constants if isinstance(one, ast.Constant))
    return {line for line, value in strings if isinstance(value, str) and re.match(r"\s*What\b", value)}


def _lines(pattern: re.Pattern[str], text: str) -> set[int]:
    return {text.count("\n", 0, match.end()) + 1 for match in pattern.finditer(text)}


FOLDERS = (
    "exporter", "shaders", "webruntime", "site", "models", "tests", "playwright_tests", "real_tests", "benchmarks",
    "tools", ".github",
)  # fmt: skip


def read_all(root: Path = ROOT) -> tuple[dict[str, str], list[Row]]:
    """Return the texts of the repository at `root`, and this repository's rows."""
    rows, unread = read_table()
    return sources(unread, FOLDERS, root), rows


def main() -> None:
    """Print all hits and, by word, their number."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--count"]
    texts, rows = read_all(Path(arguments[0]).resolve() if arguments else ROOT)
    found = [*hits(texts, rows), *whats(texts)]
    if "--count" not in sys.argv:
        print(*sorted(found), sep="\n")
    counts = Counter(hit.say for hit in found)
    print(*(f"{count:6} {say}" for say, count in counts.most_common()), sep="\n")
    print(f"{len(found):6} in all")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
