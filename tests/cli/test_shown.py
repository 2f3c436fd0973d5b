"""Text from strangers is safe on a terminal: no control characters, no markup."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.table import Table

from gemtab.bundle.manifest import MANIFEST_NAME
from gemtab.cli.console import PlainConsole, escape_what_cannot_be_written, print_answer
from gemtab.shown import shown_in_line, shown_json
from tests.cli.conftest import Gemtab, edit_json

HOSTILE = {
    "the clipboard": ("\x1b]52;c;ZXZpbA==\x07", "^[]52;c;ZXZpbA==^G"),
    "the title": ("\x1b]0;root@host\x1b\\", "^[]0;root@host^[\\"),
    "a link": ("\x1b]8;;http://evil.example\x1b\\bank\x1b]8;;\x1b\\", "^[]8;;http://evil.example^[\\bank^[]8;;^[\\"),
    "colours": ("\x1b[8mhidden\x9b0m", "^[[8mhidden<9B>0m"),
    "a line written over": ("bad\rgood\b\b", "bad^Mgood^H^H"),
    "reversed words": ("\u202egnp.exe\u202c \u2066x\u2069", "<U+202E>gnp.exe<U+202C> <U+2066>x<U+2069>"),
    "markup": ("[link=http://evil.example]x[/link] [/] [bold", "[link=http://evil.example]x[/link] [/] [bold"),
    "an emoji's name": (":smile: \\[x]", ":smile: \\[x]"),
}


class Screen(io.StringIO):
    """A terminal's side of stdout."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(*printed: object) -> str:
    console, screen = PlainConsole(), Screen()
    console.file = screen
    console.print(*printed, soft_wrap=True)
    return screen.getvalue()


@pytest.mark.parametrize("kind", HOSTILE)
def test_consoles_show_what_they_are_given(kind: str) -> None:
    written, visible = HOSTILE[kind]
    assert on_a_terminal(written) == f"{visible}\n"
    table = Table(box=None, show_header=False, padding=0)
    table.add_column(no_wrap=True)
    table.add_row(written)
    printed = on_a_terminal(table)
    assert not set(printed) & set("\x1b\x07\x08\r\x9b\u202e\u2066"), printed
    if kind == "markup":
        assert visible in printed


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_answer_on_a_terminal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written, visible = HOSTILE[kind]
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    print_answer(f"a\tb\n{written}")
    assert screen.getvalue() == f"a\tb\n{visible}"


def test_an_answer_for_a_program_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    print_answer("\x1b]52;c;x\x07\r\n")
    assert pipe.getvalue() == "\x1b]52;c;x\x07\r\n"


def test_errors_are_one_line_of_bounded_length(gemtab: Gemtab, tmp_path: Path) -> None:
    name = "\x1b]0;x\x07[/red]\nnext"
    result = gemtab("inspect", tmp_path / name)
    result.refused(2, "^[]0;x^G[/red] next")
    assert len(shown_in_line("x" * 10_000)) < 2_100


def test_json_has_escapes_and_means_the_same() -> None:
    content = {"name": "\x1b]0;\x9b\x7f\u202eö"}
    text = shown_json(json.dumps(content, ensure_ascii=False))
    assert json.loads(text) == content
    assert not set(text) & set("\x1b\x9b\x7f\u202e")
    assert "ö" in text


def test_names_in_a_bundle(gemtab: Gemtab, bundle: Path) -> None:
    name = "[link=http://evil.example]google/gemma-4[/link][/]\x1b]52;c;x\x07\x9b2J"
    edit_json(bundle / MANIFEST_NAME, source__name=name, source__licence="[/red]", notes=["[bold]\x1b[2J", "\rgone"])
    plain, machine = gemtab("inspect", bundle), gemtab("inspect", bundle, "--json")
    assert plain.code == machine.code == 0, plain.err + machine.err
    printed = "".join(plain.out.split())
    assert "[link=http://evil.example]google/gemma-4[/link][/]^[]52;c;x^G<9B>2J" in printed
    for visible in ("[/red]", "[bold]^[[2J", "^Mgone"):
        assert visible in printed
    for printed in (plain.out, machine.out):
        assert not set(printed) & set("\x1b\x07\r\x9b")
    assert json.loads(machine.out)["source"]["name"] == name


def test_a_stream_that_lacks_a_character_writes_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    escape_what_cannot_be_written()
    print_answer("caf\u00e9 \udcff")
    assert raw.getvalue() == b"caf\\xe9 \\udcff"
