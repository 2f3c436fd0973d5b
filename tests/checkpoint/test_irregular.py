"""Files that are not regular, or too large, are rejected at once: a pipe could block forever, and a device has no
end."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemtab.checkpoint import open_checkpoint
from gemtab.checkpoint.fingerprint import fingerprint
from gemtab.errors import CheckpointError
from gemtab.export import check_without_weights
from gemtab.regular import NotReadError, read_regular

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")

TEXTS = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "processor_config.json",
    "additional_chat_templates/x.jinja",
    "chat_template.json",
    "special_tokens_map.json",
    "added_tokens.json",
]
WEIGHTS = ["model.safetensors", "model.safetensors.index.json"]


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimeoutError("it was waited for")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def put(path: Path, kind: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text(spoilt: Path, name: str, kind: str) -> None:
    put(spoilt / name, kind)
    with pytest.raises(CheckpointError, match=f"{Path(name).name} cannot be read: it is a {kind}, not a file"):
        check_without_weights(spoilt, None, None, None, [])


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(spoilt: Path, name: str, kind: str) -> None:
    put(spoilt / name, kind)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read.*it is a {kind}, not a file"):
        open_checkpoint(spoilt)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter(spoilt: Path, tmp_path: Path, name: str) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    put(adapter / name, "pipe")
    with pytest.raises(CheckpointError, match="it is a pipe, not a file"):
        check_without_weights(spoilt, None, None, None, [adapter])


def test_what_nobody_reads_may_be_anything(spoilt: Path) -> None:
    put(spoilt / "README.md", "pipe")
    put(spoilt / "other.safetensors", "pipe")
    (spoilt / "strange.safetensors").write_bytes(b"\xff" * 64)
    assert open_checkpoint(spoilt).files.licence() is None
    assert fingerprint(spoilt, (), "")


def test_a_text_that_is_too_large(spoilt: Path) -> None:
    with (spoilt / "generation_config.json").open("r+b") as file:
        file.truncate(1 << 30)  # a hole, which takes no room
    with pytest.raises(CheckpointError, match=r"generation_config\.json .* it has more than 4,194,304"):
        check_without_weights(spoilt, None, None, None, [])
    assert read_regular(spoilt / "config.json", 1 << 20)
    with pytest.raises(NotReadError):
        read_regular(spoilt / "config.json", 3)
