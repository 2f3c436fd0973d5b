"""package.json has the version; all else that names one has the same."""

import json
import re
import tomllib
from importlib.metadata import version

from typer.testing import CliRunner

import gemtab
from gemtab.cli.main import app
from gemtab.resources import REPOSITORY

PACKAGE = json.loads((REPOSITORY / "package.json").read_text())
VERSION: str = PACKAGE["version"]


def test_the_python_package_takes_it_from_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    source = project["tool"]["hatch"]["version"]
    found = re.search(source["pattern"], (REPOSITORY / source["path"]).read_text(), re.MULTILINE)
    assert found and found["version"] == VERSION
    assert version("gemtab") == gemtab.__version__ == VERSION, "run `make check`, which installs the package again"


def test_the_command_prints_it() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"gemtab {VERSION}\n"


def test_the_lock_file_has_it() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text())
    assert (lock["version"], lock["packages"][""]["version"]) == (VERSION, VERSION)


def test_the_changelog_begins_with_it() -> None:
    """Under its date, or as unreleased."""
    heading = re.search(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - (\d{{4}}-\d\d-\d\d|unreleased)", heading[1])


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
