"""Folders with a config.json, and how one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from gemtab.checkpoint import load_spec
from gemtab.errors import CheckpointError


def write(folder: Path, config: dict[str, Any]) -> Path:
    """Writes the config into `folder`, which is returned."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def assert_refused(folder: Path, config: dict[str, Any], named: str) -> None:
    """The config is refused in a line that names the file and what is wrong."""
    with pytest.raises(CheckpointError) as caught:
        load_spec(write(folder, config))
    message = str(caught.value)
    assert named in message
    assert "config.json" in message
    assert "\n" not in message
