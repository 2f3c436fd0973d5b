"""The tools that read the code find nothing: ruff, mypy, TypeScript's compiler and biome, as pyproject.toml,
tsconfig.json and biome.json set them.

Each keeps a cache in the repository, which makes a second run fast.
"""

import subprocess
import sys

import pytest

from gemtab.resources import REPOSITORY

CHECKS = {
    "ruff check": (sys.executable, "-m", "ruff", "check"),
    "ruff format": (sys.executable, "-m", "ruff", "format", "--check"),
    "mypy": (sys.executable, "-m", "mypy"),
    "TypeScript and biome": ("npm", "run", "--silent", "check"),
}


@pytest.mark.parametrize("command", CHECKS.values(), ids=CHECKS.keys())
def test_finds_nothing(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, f"{' '.join(command)} found:\n{result.stdout}"
