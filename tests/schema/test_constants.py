"""Constants of Python become TypeScript as they are, whatever they are."""

import sys
from pathlib import Path

import pytest

from tools.constants import constants

MODULE = '''
import math
from typing import Final, Literal

BOUND: Final = (0, math.inf)
"""From nothing on."""

MARK = b"\\xff\\0a"
NAMES = {"b", "a"}
"""In any order.
Twice."""

Choice = Literal["auto", "never"]
'''


def test_constants_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_constants.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        found = constants({"some_constants": ["BOUND", "MARK", "NAMES", "Choice"]})["some_constants"]
    finally:
        sys.modules.pop("some_constants", None)
    assert found == {
        "BOUND": {"value": "[0, Infinity]", "doc": "From nothing on."},
        "MARK": {"value": '"\\u00ff\\u0000a"', "doc": ""},
        "NAMES": {"value": '["a", "b"]', "doc": "In any order.\nTwice."},
        "Choice": {"value": '["auto", "never"]', "doc": ""},
    }
