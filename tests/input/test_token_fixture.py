"""The file that the TypeScript tokenizer is tested against says what transformers says."""

import json

from tests.input.token_fixture import FIXTURE, make


def test_the_fixture_is_what_transformers_says_today() -> None:
    expected = json.loads(json.dumps(make()))
    found = json.loads(FIXTURE.read_text(encoding="utf-8"))
    assert found == expected, "run `python -m tests.input.token_fixture` and look at what changed"
