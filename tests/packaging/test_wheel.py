"""The wheel alone: installed where there is neither the repository nor Node, it exports and serves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gemtab.resources import REPOSITORY

EXTRAS = ("wgpu", "onnxruntime", "transformers", "pytest", "av", "PIL")
"""Packages of the extras `parity`, `media` and `test`."""


@dataclass(frozen=True)
class Installed:
    """An environment that holds gemtab from the wheel, and an empty folder to work in."""

    environment: Path
    folder: Path

    def start(self, command: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a command of the environment; its PATH leads to nothing else."""
        programs = self.environment / "bin"
        assert shutil.which("node", path=str(programs)) is None
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.Popen(
            [programs / command, *arguments],
            cwd=self.folder,
            env={**variables, "PATH": str(programs)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, *arguments: str | Path) -> str:
        """Return the stdout of a command of the environment."""
        process = self.start(command, *arguments)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return out


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `make wheel` does, with this environment's hatchling."""
    out = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out))
    result = subprocess.run(
        build, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    (built,) = out.glob("gemtab-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A new environment with the wheel in it.

    What gemtab depends on (torch alone is hundreds of megabytes) is not downloaded again: a .pth file adds this
    environment's packages behind the new one's own. Python does not read the .pth files of a folder that is added so,
    hence this environment's editable gemtab stays out of sight. What only the extras bring is hidden: exporting and
    serving must work without it.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python))
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    borrowed = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    hidden = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS}))\n"
    (packages / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in borrowed) + hidden)
    return Installed(environment, tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def bundle(installed: Installed) -> Path:
    """models/tiny, exported by the installed command."""
    out = installed.folder / "tiny"
    installed.run("gemtab", "export", REPOSITORY / "models" / "tiny", out)
    return out


@pytest.fixture
def address(installed: Installed, bundle: Path) -> Iterator[str]:
    """The address of `gemtab serve BUNDLE`, stopped by Ctrl-C at the end."""
    process = installed.start("gemtab", "serve", bundle, "--port", "0")
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+/", line)
        assert found, f"no address was printed: {line}{process.stderr.read()}"
        yield found[0]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
    finally:
        process.kill()


def test_holds_site_shaders_and_tiny_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for folder, within in (("dist/site", "site"), ("shaders", "shaders"), ("models/tiny", "tiny")):
        files = [path for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
        assert files, f"{folder} is empty: run `make build`"
        expected = {f"gemtab/{within}/{path.relative_to(REPOSITORY / folder)}" for path in files}
        assert expected <= inside, expected - inside
    assert "gemtab/py.typed" in inside


def test_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        strangers = [name for name in archive.namelist() if not re.match(r"gemtab(-[^/]+\.dist-info)?/", name)]
        assert strangers == []
        assert not [name for name in archive.namelist() if "__pycache__" in name]


def test_is_what_the_environment_imports(installed: Installed) -> None:
    locations = installed.run(
        "python", "-c", "import gemtab.resources as r; print(r.PACKAGE, r.site(), r.shaders(), r.tiny_checkpoint())"
    ).split()
    assert len(locations) == 4
    for location in locations:
        assert Path(location).is_relative_to(installed.environment)


def test_serves_the_page_and_the_bundle(bundle: Path, address: str) -> None:
    page = httpx.get(address)
    assert page.status_code == 200
    assert "<gemtab-chat" in page.text
    for script in re.findall(r'src="([^"]+\.js)"', page.text):
        assert httpx.get(httpx.URL(address).join(script)).status_code == 200
    manifest = httpx.get(f"{address}bundles/tiny/gemtab.json")
    assert manifest.status_code == 200
    files = manifest.json()["files"]
    assert files
    file = next(iter(files))
    assert httpx.get(f"{address}bundles/tiny/{file}").content == (bundle / file).read_bytes()


def test_has_the_demo(installed: Installed) -> None:
    assert "--no-browser" in installed.run("gemtab", "demo", "--help")
