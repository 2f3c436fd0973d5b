"""Which room may import which: reads tools/arrows.toml, and finds the imports that break it.

`python -m tools.arrows` prints them, and puts the table into ARCHITECTURE.md. It needs Python's standard library alone;
imports of TypeScript are read by vite's parser in Node (webruntime/scripts/imports.mjs).
"""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
TABLE = "tools/arrows.toml"
BEGIN, END = "<!-- tools/arrows.toml -->", "<!-- end of tools/arrows.toml -->"
PACKAGE = "exporter/gemtab/"
EVERY_ROOM = "gemtab"
"""Stands for all rooms of the package in lists of imports."""

PYTHON_FOLDERS = (PACKAGE, "tools/", "models/", "tests/", "playwright_tests/", "real_tests/", "benchmarks/")
TYPESCRIPT_FOLDERS = ("webruntime/", "site/", "playwright_tests/", "benchmarks/")
TYPESCRIPT_ENDINGS = (".ts", ".mjs", ".js")


@dataclass(frozen=True)
class Room:
    """files: paths of its files and folders (with a slash at the end); imports: what it may import, names of rooms and
    single files."""

    name: str
    files: tuple[str, ...]
    imports: tuple[str, ...]


@dataclass(frozen=True)
class Import:
    """An import of the file `target`; both paths are the repository's."""

    file: str
    line: int
    target: str


class Rooms:
    """The rooms of one language, from the bottom up."""

    def __init__(self, rooms: Sequence[Room]) -> None:
        self.rooms = {room.name: room for room in rooms}
        self._claims = {path: room for room in rooms for path in room.files}

    def of(self, file: str) -> Room | None:
        """The room of a file; None where no room claims it."""
        claimed = [path for path in self._claims if file == path or (path.endswith("/") and file.startswith(path))]
        return self._claims[max(claimed, key=len)] if claimed else None

    def breach(self, one: Import) -> str | None:
        """How an import breaks the table; None where it keeps to it."""
        room, target = self.of(one.file), self.of(one.target)
        where = f"{one.file}:{one.line}"
        if room is None:
            return f"{where}: {TABLE} has no room for this file"
        if target is None:
            return f"{where}: imports {one.target}, for which {TABLE} has no room"
        if target is room or target.name in room.imports or one.target in room.imports:
            return None
        allowed = ", ".join(room.imports) or "no other room"
        return f"{where}: `{room.name}` imports `{target.name}` ({one.target}); it may import {allowed}"


def rooms(language: str, table: Path = ROOT / TABLE) -> Rooms:
    """The rooms of `python` or `typescript`. Raises ValueError where a room imports one below it, or one unknown."""
    found: list[Room] = []
    for entry in tomllib.loads(table.read_text(encoding="utf-8")).get(language, []):
        above = [room.name for room in found]
        shipped = [room.name for room in found if room.files[0].startswith(PACKAGE)]
        imports = [name for each in entry["imports"] for name in (shipped if each == EVERY_ROOM else [each])]
        unknown = [name for name in imports if name not in above and not Rooms(found).of(name)]
        if unknown:
            raise ValueError(f"{table}: {language} room `{entry['room']}` imports {unknown[0]}, which is not above it")
        found.append(Room(entry["room"], tuple(entry["files"]), tuple(imports)))
    return Rooms(found)


def files(folders: Sequence[str], endings: Sequence[str], root: Path = ROOT) -> list[str]:
    """The repository's files with these endings, in order."""
    found = (path for folder in folders for path in (root / folder).rglob("*") if path.suffix in endings)
    return sorted({path.relative_to(root).as_posix() for path in found if "node_modules" not in path.parts})


def python_imports(file: str, root: Path = ROOT) -> Iterator[Import]:
    """Yield the imports of a Python file: types, imports within functions and `import_module` too."""
    for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8"), file)):
        for module, line in _modules(node, file):
            target = _module_file(module, root)
            if target:
                yield Import(file, line, target)


def _modules(node: ast.AST, file: str) -> Iterator[tuple[str, int]]:
    """Dotted names of what the node imports: of `from a import b`, a.b, which may be a name in the module a."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = [*_package(file, node.level)] if node.level else []
        start = ".".join([*base, *([node.module] if node.module else [])])
        yield from ((f"{start}.{alias.name}", alias.lineno) for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        yield from ((str(arg.value), node.lineno) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def _package(file: str, level: int) -> tuple[str, ...]:
    """The package that a relative import of so many dots starts from."""
    parts = PurePosixPath(file.removeprefix("exporter/")).parts
    return parts[: len(parts) - level]


def _module_file(module: str, root: Path) -> str | None:
    """The file of a module, or of the module that holds a name; None where that is no module of the repository."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        path = "/".join(parts[:count])
        for start in ("exporter/", ""):
            for file in (f"{start}{path}.py", f"{start}{path}/__init__.py"):
                if (root / file).is_file():
                    return file
            if count == 1 and (root / start / path).is_dir() and f"{start}{path}/" in PYTHON_FOLDERS:
                return f"{start}{path}/"
    return None


def typescript_imports(listed: Sequence[str], root: Path = ROOT) -> list[Import]:
    """Return the imports of TypeScript and JavaScript files, in any form: see scripts/imports.mjs."""
    script = [ROOT / "webruntime/scripts/imports.mjs", root]
    found = subprocess.run(["node", *script], input="\n".join(listed), capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"webruntime/scripts/imports.mjs failed. Run `npm ci` first?\n{found.stderr}")
    return [Import(**one) for one in json.loads(found.stdout)]


def breaches(root: Path = ROOT) -> list[str]:
    """Every import that breaks the table, as `file:line: why`."""
    python, typescript = rooms("python"), rooms("typescript")
    listed = files(PYTHON_FOLDERS, [".py"], root)
    scripts = files(TYPESCRIPT_FOLDERS, TYPESCRIPT_ENDINGS, root)
    homeless = [f"{file}: {TABLE} has no room for this file" for file in listed if not python.of(file)]
    homeless += [f"{file}: {TABLE} has no room for this file" for file in scripts if not typescript.of(file)]
    found = [python.breach(one) for file in listed for one in python_imports(file, root)]
    found += [typescript.breach(one) for one in typescript_imports(scripts, root)]
    return homeless + sorted({breach for breach in found if breach})


def markdown() -> str:
    """The table as ARCHITECTURE.md has it."""
    sections = [_section("Python", rooms("python")), _section("TypeScript", rooms("typescript"))]
    return "\n\n".join([BEGIN, *sections, END])


def _section(title: str, listed: Rooms) -> str:
    every = [room.name for room in listed.rooms.values() if room.files[0].startswith(PACKAGE)]
    lines = [f"| {title}: room | files | may import |", "| --- | --- | --- |"]
    for room in listed.rooms.values():
        names = ", ".join(f"`{name}`" if "/" in name else name for name in room.imports)
        if every and set(every) <= set(room.imports):
            names = ", ".join(["every room of `gemtab`", *(name for name in room.imports if name not in every)])
        paths = ", ".join(f"`{path.removeprefix(PACKAGE)}`" for path in room.files)
        lines.append(f"| {room.name} | {paths} | {names or '–'} |")
    return "\n".join(lines)


def main() -> None:
    """Brings ARCHITECTURE.md up to date, and prints breaches."""
    path = ROOT / "ARCHITECTURE.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(before + markdown() + rest.split(END)[1], encoding="utf-8")
    found = breaches()
    print(*found, sep="\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
