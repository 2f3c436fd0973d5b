from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.variants import variant


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a variant, written once a session."""

    @cache
    def folder(name: str) -> Path:
        return variant(name, tmp_path_factory.mktemp(name))

    return folder
