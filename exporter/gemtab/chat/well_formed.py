"""Strings that UTF-8 can write."""

import re

_LONE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Surrogates in pairs become the characters that they stand for, lone ones U+FFFD, as in a tab."""
    if not _LONE.search(text):
        return str(text)
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _LONE.sub("\ufffd", paired)
