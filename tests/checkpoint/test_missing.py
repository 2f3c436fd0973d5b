"""Weights that cannot be read are refused for their true reason, with a way out that fits."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from gemtab.checkpoint import Checkpoint, load_spec, open_checkpoint
from gemtab.checkpoint.adapter.config import read_adapter_config
from gemtab.checkpoint.config import read_config
from gemtab.checkpoint.missing import weights_reason
from gemtab.checkpoint.quantised import PROGRAMS
from gemtab.checkpoint.source import FolderFiles
from gemtab.errors import CheckpointError
from gemtab.resources import tiny_checkpoint
from tests.chat_files.conftest import read, write


def shards(*numbers: int, count: int = 3) -> list[str]:
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in numbers]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["pytorch_model.bin"], ("pytorch_model.bin", "pickled", "save_pretrained")),
        (["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], ("pickled", "save_pretrained")),
        (["consolidated.00.pth", "params.json"], ("consolidated.00.pth", "pickled")),
        (shards(1, 2, 3), ("all 3 shards are there", "model.safetensors.index.json", "is missing")),
        (shards(1, 3), ("1 of 3 shards are missing", "number 2", "Download the checkpoint again")),
        (["adapter_config.json", "adapter_model.safetensors"], ("peft adapter", "--adapter")),
        (["adapter_config.json", "adapter_model.bin"], ("peft adapter", "--adapter")),
        (["gemma-Q4_0.gguf", "mmproj-F16.gguf"], ("GGUF", "gemma-Q4_0.gguf")),
        (["consolidated.safetensors"], ("has consolidated.safetensors", "rename")),
        (["tf_model.h5"], ("TensorFlow",)),
        (["flax_model.msgpack"], ("Flax",)),
        (["gemma-web.task"], ("MediaPipe",)),
        (["gemma.litertlm"], ("LiteRT",)),
        (["zero_to_fp32.py", "latest"], ("DeepSpeed", "zero_to_fp32.py")),
        (["pytorch_model_fsdp_0"], ("FSDP", "merge-weights")),
        (["gemtab.json", "onnx/decoder.onnx"], ("is a bundle", "checkpoint from which it was made")),
        (["onnx/model.onnx", "README.md"], ("ONNX graphs", "onnx/model.onnx")),
        (["training_args.bin", "optimizer.pt", "checkpoint-500/config.json"], ("checkpoint-500",)),
        (["training_args.bin", "checkpoint-90/config.json", "checkpoint-500/config.json"], ("checkpoint-500",)),
        (["optimizer.pt", "README.md"], ("Download the checkpoint again, with all its files",)),
    ],
    ids=str,
)
def test_each_has_its_reason(tmp_path: Path, files: list[str], words: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        Checkpoint.open(tmp_path)
    for word in words:
        assert word in str(caught.value)
    if not any("missing" in word or "Download" in word for word in words):
        assert "Download" not in str(caught.value)


def test_a_hubs_list_of_names_is_enough() -> None:
    assert weights_reason(["README.md", "tokenizer.json"]) is None
    assert "pickled" in str(weights_reason(["pytorch_model.bin", "onnx/model.onnx"]))


def test_a_repository_in_a_hubs_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "0f1e2d3c4b5a69788796a5b4c3d2e1f001122334"
    snapshot.mkdir(parents=True)
    with pytest.raises(CheckpointError, match=f"repository in a hub's cache.*{snapshot.relative_to(tmp_path)}"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", "is not a GGUF file. Give the file's folder"),
        ("pytorch_model.bin", "is not a GGUF file. Give the file's folder"),
        ("model.tar.gz", "is an archive: unpack it"),
        ("model.gguf", "GGUF magic invalid"),
    ],
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(bytes(100))
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path / name)


def test_an_adapter_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(CheckpointError, match=r"config\.json is missing: it is a peft adapter.*--adapter"):
        load_spec(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_pointers_of_git_lfs(tmp_path: Path, name: str) -> None:
    write(tmp_path / "config.json", read(tiny_checkpoint() / "config.json"))
    save_file({}, tmp_path / "model.safetensors")
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(CheckpointError, match=r"Git LFS pointer.*git lfs pull"):
        load_spec(tmp_path)


METHODS = {
    "awq": "AWQ",
    "gptq": "GPTQ",
    "auto-round": "AutoRound",
    "intel/auto-round": "AutoRound",
    "fp8": "fp8",
    "fbgemm_fp8": "FBGEMM",
    "hqq": "HQQ",
    "torchao": "torchao",
    "modelopt": "ModelOpt",
}


@pytest.mark.parametrize(("method", "program"), METHODS.items())
@pytest.mark.parametrize("inside", [(), ("text_config",)])
def test_the_program_that_quantised_is_named(
    tmp_path: Path, method: str, program: str, inside: tuple[str, ...]
) -> None:
    config = read(tiny_checkpoint() / "config.json")
    place = config[inside[0]] if inside else config
    place["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": 128}
    write(tmp_path / "config.json", config)
    with pytest.raises(CheckpointError, match=f"quantized by .*{program}.*--weights.*remove quantization_config"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    ("changes", "program"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"load_in_8bit": True}}, "bitsandbytes"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX"),
        ({"quantization_config": {"group_size": 64, "bits": 4, "mode": "affine"}}, "MLX"),
    ],
)
def test_programs_that_do_not_name_their_method(tmp_path: Path, changes: dict[str, object], program: str) -> None:
    write(tmp_path / "config.json", {**read(tiny_checkpoint() / "config.json"), **changes})
    with pytest.raises(CheckpointError, match=f"quantized by {program}"):
        load_spec(tmp_path)


def test_no_name_hides_another() -> None:
    """Methods are found by a part of their name: a longer name comes before a shorter one that is in it."""
    names = [*PROGRAMS]
    assert not [(one, other) for index, one in enumerate(names) for other in names[index + 1 :] if one in other]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["adapter_model.bin", "adapter_config.json"], "pickled, in adapter_model.bin.*PeftModel"),
        (["checkpoint-9/adapter_config.json"], "a subfolder has an adapter.*checkpoint-9"),
        (["lora-F16.gguf"], "lora-F16.gguf is in GGUF"),
        (["model.safetensors", "config.json"], "has a whole model.*without --adapter"),
        (["README.md"], "Download the adapter again, with all its files"),
        ([], "there is no folder"),
    ],
    ids=str,
)
def test_adapters_without_weights_that_are_read(tmp_path: Path, files: list[str], words: str) -> None:
    folder = tmp_path / "adapter"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    with pytest.raises(CheckpointError, match=rf"adapter_model\.safetensors is missing: .*{words}"):
        Checkpoint.of_file(folder, "adapter_model.safetensors")


def test_an_adapter_beside_the_weights_is_mentioned(tmp_path: Path) -> None:
    """transformers applies such an adapter; trainers also leave it beside a model that it was merged into."""
    (tmp_path / "model.safetensors").touch()
    assert FolderFiles(tmp_path).notes() == ()
    (tmp_path / "adapter_config.json").touch()
    (note,) = FolderFiles(tmp_path).notes()
    assert "An adapter is beside the weights" in note and "--adapter" in note


def test_configs_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Some editors write one."""
    config = (tiny_checkpoint() / "config.json").read_text()
    (tmp_path / "config.json").write_text(config, encoding="utf-8-sig")
    assert read_config(tmp_path) == read_config(tiny_checkpoint())
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8-sig")
    assert read_adapter_config(tmp_path).r == 4


def test_a_link_to_what_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("../blobs/gone")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a link to \.\./blobs/gone, which does not exist"):
        Checkpoint.open(tmp_path)
