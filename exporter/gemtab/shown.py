"""Make text from strangers safe for a terminal: control characters are shown, not sent.

Names in bundles, paths, errors and answers may contain escape sequences that set titles, fill the clipboard, move the
cursor, or hide an address behind other words.
"""

LONGEST_ERROR = 2_000
"""Maximum characters of a printed error: some errors quote a file's content."""

_KEPT = frozenset("\t\n")
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Characters that reorder the text around them."""


def _caret(code: int) -> str:
    """Return the character as terminals echo it: ^[ for escape, ^? for delete."""
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"<{code:02X}>"


_SHOWN = {
    **{code: _caret(code) for code in _CONTROLS if chr(code) not in _KEPT},
    **{code: f"<U+{code:04X}>" for code in _BIDI},
}
_IN_JSON = {code: f"\\u{code:04x}" for code in [*range(0x7F, 0xA0), *_BIDI]}


def shown(text: str) -> str:
    """Return `text` with a visible sign for each control character except newline and tab."""
    return text.translate(_SHOWN)


def shown_in_line(text: str, most: int = LONGEST_ERROR) -> str:
    """Return `text` as one line of at most `most` characters."""
    line = " ".join(shown(text[:most]).split())
    return line if len(text) <= most else f"{line} …"


def shown_json(text: str) -> str:
    """Return JSON with escapes for control characters that JSON writers leave unescaped."""
    return text.translate(_IN_JSON)
