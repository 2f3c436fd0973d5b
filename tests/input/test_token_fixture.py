"""The files that the tab's tokenizer and template engine are tested against say what transformers says."""

import json
from types import ModuleType

import pytest

from tests.input import template_fixture, token_fixture


@pytest.mark.parametrize("fixture", [token_fixture, template_fixture], ids=["tokens", "templates"])
def test_the_fixture_is_what_transformers_says_today(fixture: ModuleType) -> None:
    expected = json.loads(json.dumps(fixture.make()))
    found = json.loads(fixture.FIXTURE.read_text(encoding="utf-8"))
    assert found == expected, f"run `python -m {fixture.__name__}` and look at what changed"
