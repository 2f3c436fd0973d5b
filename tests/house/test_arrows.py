"""No import goes against the table of rooms, and ARCHITECTURE.md shows that table."""

import re
from pathlib import Path

import pytest

from tools.arrows import (
    BEGIN,
    END,
    ROOT,
    Import,
    Room,
    Rooms,
    breaches,
    files,
    markdown,
    python_imports,
    rooms,
    typescript_imports,
)

WEBGPU = re.compile(r"\bnavigator\.gpu\b|\bGPU[A-Z]\w+")


def test_no_import_breaks_the_table() -> None:
    found = breaches()
    assert not found, "\n" + "\n".join(found)


def test_architecture_shows_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    shown = text[text.index(BEGIN) : text.index(END) + len(END)]
    assert shown == markdown(), "run python -m tools.arrows"


def test_only_the_engine_uses_webgpu() -> None:
    scripts = files(["webruntime/src/", "site/"], [".ts"])
    found = [
        f"{file}:{number}: {line.strip()}"
        for file in scripts
        if not file.startswith("webruntime/src/engine/")
        for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), 1)
        if WEBGPU.search(line) and not line.lstrip().startswith(("*", "//", "/*"))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import gemtab.bundle.plan",
        "import gemtab.bundle.plan as plan",
        "from gemtab.bundle import plan",
        "from gemtab.bundle.plan import Plan",
        "from ..bundle.plan import Plan",
        "if TYPE_CHECKING:\n    from gemtab.bundle.plan import Plan",
        "def late():\n    from gemtab.bundle.plan import Plan",
        'importlib.import_module("gemtab.bundle.plan")',
    ],
)
def test_an_import_of_python_is_found_in_every_form(line: str, tmp_path: Path) -> None:
    plan = tmp_path / "exporter/gemtab/bundle/plan.py"
    reader = tmp_path / "exporter/gemtab/graph/ir.py"
    for path, text in ((plan, ""), (reader, f"\n{line}\n"), (plan.with_name("__init__.py"), "")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    found = list(python_imports("exporter/gemtab/graph/ir.py", tmp_path))

    line_of_import = 2 + line.count("\n")
    target = "exporter/gemtab/bundle/plan.py"
    assert found == [Import("exporter/gemtab/graph/ir.py", line_of_import, target)]


TYPESCRIPT_FORMS = [
    'import { Engine } from "../engine/engine.ts";',
    'import type { Engine } from "../engine/engine.ts";',
    'import "../engine/engine.ts";',
    'export { Engine } from "../engine/engine.ts";',
    'export type * from "../engine/engine.ts";',
    'const engine = await import("../engine/engine.ts");',
    'let engine: import("../engine/engine.ts").Engine;',
    'const at = new URL("../engine/engine.ts", import.meta.url);',
    'import script from "../engine/engine.ts?raw";',
]


def test_an_import_of_typescript_is_found_in_every_form(tmp_path: Path) -> None:
    """All in one file, a form a line."""
    engine, reader = tmp_path / "site/engine/engine.ts", tmp_path / "site/chat/reader.ts"
    comment = '// import { Engine } from "../engine/engine.ts";\n'
    for path, text in ((engine, "export class Engine {}"), (reader, comment + "\n".join(TYPESCRIPT_FORMS))):
        path.parent.mkdir(parents=True)
        path.write_text(text)

    found = typescript_imports(["site/chat/reader.ts"], tmp_path)

    lines = range(2, 2 + len(TYPESCRIPT_FORMS))
    assert found == [Import("site/chat/reader.ts", line, "site/engine/engine.ts") for line in lines]


TWO_ROOMS = Rooms([Room("below", ("a/", "b/low.py"), ()), Room("above", ("b/",), ("below",))])


@pytest.mark.parametrize(
    ("file", "target", "why"),
    [
        ("b/high.py", "a/one.py", None),
        ("b/high.py", "b/low.py", None),
        ("a/one.py", "b/high.py", "a/one.py:7: `below` imports `above` (b/high.py); it may import no other room"),
        ("b/low.py", "b/high.py", "b/low.py:7: `below` imports `above` (b/high.py); it may import no other room"),
        ("c/new.py", "a/one.py", "c/new.py:7: tools/arrows.toml has no room for this file"),
        ("a/one.py", "c/new.py", "a/one.py:7: imports c/new.py, for which tools/arrows.toml has no room"),
    ],
)
def test_a_breach_names_file_line_and_rooms(file: str, target: str, why: str | None) -> None:
    assert TWO_ROOMS.breach(Import(file, 7, target)) == why


def test_a_table_with_an_arrow_upwards_is_refused(tmp_path: Path) -> None:
    """Rooms stand from the bottom up, so there is no circle among them."""
    table = tmp_path / "arrows.toml"
    table.write_text(
        '[[python]]\nroom = "low"\nfiles = ["a/"]\nimports = ["high"]\n'
        '[[python]]\nroom = "high"\nfiles = ["b/"]\nimports = []\n'
    )
    with pytest.raises(ValueError, match="room `low` imports high, which is not above it"):
        rooms("python", table)
