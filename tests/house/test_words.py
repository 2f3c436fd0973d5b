"""One word for one thing: no name, error, comment or document uses a word that tools/words.toml lists."""

from pathlib import Path

import pytest

from tools.words import Row, hits, read_all, read_table, unneeded, whats

TEXTS, ROWS = read_all()
PICTURE = Row("image", ("picture", "pictures"))
TURN = Row("rotate", ("turn heads",))
MOST = Row("max_", ("most_",))


def test_no_word_of_the_table_is_used() -> None:
    found = [str(hit) for hit in sorted(hits(TEXTS, ROWS))]
    assert not found, f"{len(found)} words of tools/words.toml:\n" + "\n".join(found)


def test_no_comment_begins_with_what() -> None:
    """A noun says the same in fewer words: "The bytes of a row", not "What a row takes"."""
    found = [str(hit) for hit in whats(TEXTS)]
    assert not found, f"{len(found)} sentences begin with a clause of What:\n" + "\n".join(found)


def test_exceptions_are_still_needed() -> None:
    found = [*unneeded(TEXTS, ROWS)]
    assert not found, "take these out of tools/words.toml:\n" + "\n".join(found)


def test_exceptions_have_reasons() -> None:
    assert all(one.reason for row in ROWS for one in row.exceptions)


@pytest.mark.parametrize(
    ("row", "text", "found"),
    [
        (PICTURE, "a picture of a cat", ["picture"]),
        (PICTURE, "picture_bytes = readPicture(PICTURES)", ["picture", "Picture", "PICTURES"]),
        (PICTURE, "a picturesque depiction", []),
        (TURN, "turn_heads TurnHeads turnHeads", ["turn_heads", "TurnHeads", "turnHeads"]),
        (TURN, "# Kernels that turn\n# heads.", ["turn\n# heads"]),
        (TURN, "return heads", []),
        (MOST, "MOST_ROWS most_rows mostRows", ["MOST_", "most_", "most"]),
        (MOST, "at most rows; almost_all; UTMOST_CARE; mostly", []),
    ],
)
def test_a_word_is_found_in_each_form(row: Row, text: str, found: list[str]) -> None:
    assert [hit.word for hit in hits({"a.py": text}, [row])] == found


def test_a_hit_names_file_and_line() -> None:
    found = [str(hit) for hit in hits({"media/picture.py": "one\na picture"}, [PICTURE])]
    assert found == ["media/picture.py:0: picture (say: image)", "media/picture.py:2: picture (say: image)"]


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("a.py", '"""What a row takes."""', 1),
        ("a.py", 'def f():\n    """\n    What a row takes."""', 2),
        ("a.py", "x = 1\n#: What a row takes.", 2),
        ("a.py", "x = 1  # What a row takes.", 1),
        ("a.py", 'x = "What is this?"', None),
        ("a.ts", "/**\n * What a row takes. */", 2),
        ("a.ts", "const x = 1; // What a row takes.", 1),
        ("a.wgsl.jinja", "{#- What a row takes. #}", 1),
        ("a.md", "One.\n\n## What a row takes", 3),
        ("a.md", "What a row takes is small.", 1),
        ("a.md", "It asks: What is this?", None),
    ],
)
def test_what_is_found_at_the_beginning_alone(file: str, text: str, line: int | None) -> None:
    assert [hit.line for hit in whats({file: text})] == ([] if line is None else [line])


def test_an_exception_allows_its_own_sense_alone(tmp_path: Path) -> None:
    table = tmp_path / "words.toml"
    table.write_text(
        '[[unread]]\nfiles = "b.py"\nreason = "none"\n[[rows]]\nsay = "video"\nwords = ["clip"]\n'
        'except = [{ pattern = "np\\\\.clip", files = ["a.*"], reason = "NumPy" }]\n'
    )
    rows, unread = read_table(table)
    assert unread == ("b.py",)
    texts = {"a.py": "np.clip(x)\nclip", "c.py": "np.clip"}
    assert [(hit.file, hit.line) for hit in hits(texts, rows)] == [("a.py", 2), ("c.py", 1)]
    assert [*unneeded({"a.py": "clip"}, rows)] == ["np\\.clip"]
