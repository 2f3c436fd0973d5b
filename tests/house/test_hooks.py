"""The hooks of .pre-commit-config.yaml, the workflow and the templates of the repository's host."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gemtab.resources import REPOSITORY

HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]
TEMPLATES = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_all_hooks_are_local() -> None:
    """Nothing is downloaded: hooks run what `make check` installs."""
    repositories = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_calls_what_is_there(hook: dict[str, Any]) -> None:
    program, *words = shlex.split(hook["entry"])
    assert shutil.which(program) or (REPOSITORY / program).is_file()
    if program == "make":
        assert f"\n{words[0]}:" in (REPOSITORY / "Makefile").read_text()
    for word in words:
        assert not word.startswith("tests/") or (REPOSITORY / word).exists()


def test_the_workflow_runs_the_tests() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make test"]


@pytest.mark.parametrize("path", [path for path in TEMPLATES if path.name != "config.yml"], ids=lambda path: path.stem)
def test_an_issue_form_is_one(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] and field["id"] for field in fields)
