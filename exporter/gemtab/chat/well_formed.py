"""Make strings encodable as UTF-8."""

import re

_LONE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Return `text` with pairs of surrogates joined into characters and lone surrogates replaced by U+FFFD, as in a
    tab."""
    if not _LONE.search(text):
        return str(text)
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _LONE.sub("\ufffd", paired)
