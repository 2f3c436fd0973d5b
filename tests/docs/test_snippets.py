"""Code in README.md, CONTRIBUTING.md and the npm README: TypeScript is compiled with the built package, shell is run.

Some commands are not run, but all their options and arguments are parsed:

- `make` and `npm run`: they run these very tests, or for hours; their targets and scripts must exist.
- `serve` runs until it is ended: `tests/cli/test_serve.py` does that. `publish` needs the network and an account.
- `synth E2B` writes 10 GB, and hubs' checkpoints are downloads of as much.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import pytest
import typer
from typer.core import TyperGroup

from gemtab.cli.main import app
from gemtab.resources import REPOSITORY, site

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "webruntime/npm/README.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = ("serve", "publish", "synth")
GEMTAB = Path(sys.executable).with_name("gemtab")
COMMANDS = cast(TyperGroup, typer.main.get_command(app)).commands


@dataclass(frozen=True)
class Snippet:
    """A fenced block, by its document and line."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def snippets(*languages: str) -> list[Snippet]:
    found = []
    for document in DOCUMENTS:
        text = (REPOSITORY / document).read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(document, line, match[1], match[2]))
    return [snippet for snippet in found if snippet.language in languages]


def shell_lines() -> list[str]:
    """The commands of all shell blocks, without their comments."""
    lines = [line for snippet in snippets("sh") for line in snippet.text.splitlines()]
    return [line for line in lines if shlex.split(line, comments=True)]


def test_every_block_has_a_language_that_is_checked() -> None:
    """A block without one is a tree of files; `js` would not be compiled."""
    languages = {match[1] for document in DOCUMENTS for match in FENCE.finditer((REPOSITORY / document).read_text())}
    assert languages <= {"", "sh", "ts", "html"}


def test_typescript_compiles(tmp_path: Path) -> None:
    """In the strictest way, as in an empty project that has the package."""
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "gemtab").symlink_to(REPOSITORY / "dist" / "npm")
    found = snippets("ts")
    assert len(found) >= 4
    for number, snippet in enumerate(found):
        (tmp_path / f"block{number}.ts").write_text(f"// {snippet}\n{snippet.text}\nexport {{}};\n")
    settings = {
        "compilerOptions": {
            "strict": True,
            "noUncheckedIndexedAccess": True,
            "exactOptionalPropertyTypes": True,
            "skipLibCheck": False,
            "noEmit": True,
            "target": "es2022",
            "lib": ["es2022", "dom", "dom.iterable", "dom.asynciterable"],
            "module": "esnext",
            "moduleResolution": "bundler",
            "types": [],
        }
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    compiler = REPOSITORY / "node_modules" / ".bin" / "tsc"
    result = subprocess.run([compiler, "--project", "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


class Page(HTMLParser):
    """The attributes of the elements, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            assert given["type"] == "module"
            self.scripts.append(given["src"] or "")
        if tag == "gemtab-chat":
            self.attributes |= given.keys()


@pytest.mark.parametrize("snippet", snippets("html"), ids=str)
def test_pages_name_what_is_there(snippet: Snippet) -> None:
    page = Page(snippet.text)
    assert page.scripts and "src" in page.attributes
    for script in page.scripts:
        place = site() if script.startswith("./") else REPOSITORY / "dist" / "npm" / "cdn"
        assert (place / Path(script).name).is_file()
    known = {"src", "assets", "reveal", "plan", "system", "thinking"}
    assert page.attributes <= known


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: a checkpoint and an image are what README's are called."""
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(REPOSITORY / "models" / "tiny", made / "path" / "to" / "checkpoint")
    shutil.copy(REPOSITORY / "site" / "examples" / "shapes.webp", made / "cat.jpg")
    return made


def test_the_commands_of_the_readme_run(folder: Path) -> None:
    """In their order: each needs what the one before has made."""
    lines = [line for line in shell_lines() if line.startswith("gemtab ") and "google/" not in line]
    ran = [line for line in lines if line.split()[1] not in NOT_RUN]
    assert {line.split()[1] for line in ran} >= {"inspect", "export", "verify", "run"}
    for line in ran:
        words: list[str | Path] = [GEMTAB, *shlex.split(line, comments=True)[1:]]
        result = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
    version = json.loads((REPOSITORY / "package.json").read_text())["version"]
    assert json.loads((folder / "my-model" / "gemtab.json").read_text())["gemtab"] == version


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("gemtab ")])
def test_the_commands_have_these_options(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    COMMANDS[name].make_context(name, words)


SPAN = re.compile(r"`gemtab ([a-z]+)([^`]*)`")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "webruntime/npm/README.md"])
def test_commands_in_the_text_have_these_options(document: str) -> None:
    for name, rest in SPAN.findall((REPOSITORY / document).read_text()):
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options | {"--help"}, f"gemtab {name}{rest}"


@pytest.mark.parametrize("line", [line for line in shell_lines() if not line.startswith("gemtab ")])
def test_other_commands_name_what_is_there(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    scripts = json.loads((REPOSITORY / "package.json").read_text())["scripts"]
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        case ["npm", "run", script, *_]:
            assert script in scripts
        case ["npm", "install", package]:
            assert package == "gemtab"
        case [".venv/bin/python", "-m", "pytest", *rest]:
            paths = [word for word in rest if word.startswith(("tests", "playwright_tests", "real_tests"))]
            assert paths and all((REPOSITORY / path).exists() for path in paths)
        case [".venv/bin/python", "-m", module]:
            assert (REPOSITORY / (module.replace(".", "/") + ".py")).is_file()
        case ["npx", "vitest", "run", path]:
            assert (REPOSITORY / path).is_dir()
        case ["cp", pattern, _]:
            assert list((REPOSITORY / "dist" / "npm").glob(pattern.removeprefix("node_modules/gemtab/")))
        case _:
            pytest.fail(f"nothing checks this command: {line}")
