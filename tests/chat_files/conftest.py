"""Copies of models/tiny to be changed, whose weights are a link, and what a bundle's chat files become."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemtab.bundle.manifest import Input
from gemtab.chat_files import ChatFiles, chat_files
from gemtab.checkpoint.config import read_config
from gemtab.checkpoint.source import FolderFiles
from gemtab.resources import tiny_checkpoint

ALL: tuple[Input, ...] = ("text", "image", "video", "audio")
MadeFiles = Callable[..., ChatFiles]


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for file in tiny_checkpoint().iterdir():
        if file.suffix == ".safetensors":
            (folder / file.name).symlink_to(file)
        else:
            shutil.copyfile(file, folder / file.name)
    return folder


def chosen(folder: Path, inputs: tuple[Input, ...] = ALL) -> ChatFiles:
    return chat_files(FolderFiles(folder), read_config(folder), inputs)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
