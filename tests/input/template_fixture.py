r"""Makes tests/fixtures/templates.json: small templates, and what transformers' environment makes of them.

pytest checks that the file still says what transformers says; vitest checks the tab's template engine against the file.
To write it again:

    python -m tests.input.template_fixture
"""

import json
from pathlib import Path
from typing import Any, TypedDict

from transformers.utils.chat_template_utils import render_jinja_template

FIXTURE = Path(__file__).parents[1] / "fixtures" / "templates.json"

TEMPLATES = Path(__file__).with_name("templates.json")
"""variables: what the templates are given beside one message; expressions: each is printed; statements: each is a
template."""


class Rendered(TypedDict):
    """result: the text, or None where transformers raises an error."""

    template: str
    result: str | None


class Fixture(TypedDict):
    variables: dict[str, Any]
    templates: list[Rendered]


def rendered(template: str, variables: dict[str, Any]) -> str | None:
    """Return transformers' rendering of a template, with one message beside the variables."""
    messages = [[{"role": "user", "content": "hi"}]]
    try:
        texts: Any = render_jinja_template(messages, chat_template=template, add_generation_prompt=True, **variables)
    except Exception:  # whatever a template can raise
        return None
    return str(texts[0][0])


def make() -> Fixture:
    """Return the fixture's content by the installed transformers."""
    given = json.loads(TEMPLATES.read_text(encoding="utf-8"))
    variables = given["variables"]
    templates = [f"{{{{ ({expression}) }}}}" for expression in given["expressions"]] + given["statements"]
    results = [Rendered(template=template, result=rendered(template, variables)) for template in templates]
    return Fixture(variables=variables, templates=results)


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(make(), ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")
