"""The findings of publint and "Are the types wrong?" in the npm package, and its content; playwright_tests uses it."""

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from gemtab.resources import REPOSITORY

PACKAGE = REPOSITORY / "dist" / "npm"
PROGRAMS = REPOSITORY / "node_modules" / ".bin"


def run(*words: str | Path) -> str:
    """Return the output of a command, which must succeed."""
    result = subprocess.run(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, f"{words}\n{result.stdout}"
    return result.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    assert PACKAGE.is_dir(), "run `make build`"
    run("npm", "pack", PACKAGE, "--pack-destination", out)
    [packed] = out.glob("gemtab-*.tgz")
    return packed


@pytest.fixture(scope="module")
def inside(tarball: Path) -> set[str]:
    with tarfile.open(tarball) as archive:
        return {name.removeprefix("package/") for name in archive.getnames()}


def test_publint_finds_nothing(tarball: Path) -> None:
    assert "All good!" in run(PROGRAMS / "publint", tarball, "--strict")


def test_the_types_are_not_wrong(tarball: Path) -> None:
    """The package is of ES modules alone, as `.attw.json` says: CommonJS imports it dynamically."""
    run(PROGRAMS / "attw", tarball)


def test_holds_no_page_and_nothing_of_the_repository(inside: set[str]) -> None:
    kinds = (r"gemtab[\w-]*\.js", r"cdn/gemtab(-chat)?\.js", r"types/[\w/.-]+\.d\.ts", "README.md|LICENSE|package.json")
    assert [name for name in inside if not any(re.fullmatch(kind, name) for kind in kinds)] == []


def test_has_a_readme_of_its_own(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        readme = archive.extractfile("package/README.md")
        assert readme is not None
        text = readme.read().decode()
    assert text == (REPOSITORY / "webruntime" / "npm" / "README.md").read_text()
    version = json.loads((REPOSITORY / "package.json").read_text())["version"]
    assert set(re.findall(r"gemtab@([\w.-]+)/", text)) == {version}


def test_every_file_that_one_names_is_there(inside: set[str]) -> None:
    for name in inside:
        text = (PACKAGE / name).read_text()
        if re.fullmatch(r"gemtab[\w-]*\.js", name):
            assert set(re.findall(r"[\"'`]\./(gemtab[\w.-]*\.js)[\"'`]", text)) <= inside, name
        if name.endswith(".d.ts"):
            named = re.findall(r"(?:from|import)\s*\(?\s*\"(\.[^\"]+)\.js\"", text)
            found = {(PACKAGE / name).parent.joinpath(f"{path}.d.ts").resolve() for path in named}
            assert {str(path.relative_to(PACKAGE.resolve())) for path in found} <= inside, name


def test_the_repository_itself_is_not_packed() -> None:
    """Its README and files are not the package's."""
    result = subprocess.run(["npm", "pack", "--dry-run"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "npm run pack" in result.stderr


def test_one_file_modules_import_nothing() -> None:
    for path in (PACKAGE / "cdn").glob("*.js"):
        text = path.read_text()
        assert not re.search(r"^\s*import\b|\bimport\.meta\b|[;}]import[\s{\"']", text), path.name
