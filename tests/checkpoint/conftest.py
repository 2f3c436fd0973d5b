"""Checkpoints that GGUF files are written from."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gemtab.resources import tiny_checkpoint
from tests.chat.gemma3 import write_chat_files
from tests.checkpoint.gguf_files import scale_by_head_size
from tests.variants import variant


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a variant, by its name."""

    @cache
    def make(name: str) -> Path:
        folder = variant(name, tmp_path_factory.mktemp(name), with_tokenizer=True)
        if name == "gemma3":
            write_chat_files(folder)
            scale_by_head_size(folder)
        return folder

    return make


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A copy of models/tiny to be spoilt."""
    return Path(shutil.copytree(tiny_checkpoint(), tmp_path / "spoilt"))
