"""Explain why a folder's weights or tokenizer cannot be read, from the files that exist, and what to do.

The advice "with all its files" is given only where files are missing.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gemtab.errors import CheckpointError

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.safetensors", "adapter_model.bin")

BUNDLE_MARK = "gemtab.json"
_SNAPSHOT = re.compile(r"snapshots/[0-9a-f]{40}")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
_PICKLED = re.compile(r"(pytorch_model|consolidated).*\.(bin|pt|pth)")
_TRAINERS = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")
"""Files that training code leaves beside the weights."""

_PROGRAMS = {
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".bin": "PyTorch",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".ckpt": "PyTorch",
    ".npz": "NumPy",
    ".onnx": "ONNX",
    ".litertlm": "LiteRT",
    ".tflite": "LiteRT",
    ".task": "MediaPipe",
}
_POINTER = "version https://git-lfs"
_SAVE_AGAIN = (
    "load it with transformers' from_pretrained and write it again with save_pretrained, which makes safetensors files"
)


def names_in(folder: Path) -> list[str]:
    """Return the paths of files in the folder and one level below, relative to the folder."""
    try:
        found = [*folder.iterdir(), *folder.glob("*/*")]
    except OSError:
        return []
    return sorted(path.relative_to(folder).as_posix() for path in found)


def missing_weights(folder: Path) -> CheckpointError:
    """Return the error for a folder without model.safetensors and without an index of shards."""
    if (folder / SINGLE_NAME).is_symlink():
        return CheckpointError(
            f"{folder / SINGLE_NAME} is a link to {(folder / SINGLE_NAME).readlink()}, which does not exist. "
            "Download the checkpoint again."
        )
    reason = weights_reason(names_in(folder))
    if reason is None:
        return CheckpointError(f"{folder / SINGLE_NAME} is missing. Download the checkpoint again, with all its files.")
    return CheckpointError(f"{folder} has no {SINGLE_NAME}, which gemtab reads: {reason}")


def has_only_config(folder: Path) -> bool:
    """Whether the folder has no file that looks like weights, complete, partial or of another program."""
    return weights_reason(names_in(folder)) is None


def missing_config(folder: Path) -> CheckpointError:
    """Return the error for a folder without config.json."""
    reason = folder_reason(names_in(folder))
    if reason is None:
        reason = "a checkpoint is a folder with config.json and *.safetensors, as transformers saves it."
    return CheckpointError(f"{folder / 'config.json'} is missing: {reason}")


def missing_adapter(path: Path) -> CheckpointError:
    """Return the error for an adapter whose weights are not at `path`."""
    names = names_in(path.parent)
    if found := next((name for name in names if name in ("adapter_model.bin", "adapter_model.pt")), None):
        reason = (
            f"the adapter's weights are pickled, in {found}, and reading a pickle executes its code. To convert the "
            "adapter, load it with peft's PeftModel.from_pretrained and write it with save_pretrained."
        )
    elif found := next((name for name in names if name.endswith("/adapter_config.json")), None):
        reason = f"a subfolder has an adapter. Name that folder, {Path(found).parent}, by --adapter."
    elif found := _ending(names, ".gguf"):
        reason = f"{found} is in GGUF. Name the folder of the adapter in peft's format."
    elif SINGLE_NAME in names or INDEX_NAME in names:
        reason = "the folder has a whole model, not an adapter. Export it without --adapter."
    elif not path.parent.is_dir():
        reason = f"there is no folder {path.parent}. Name the folder of an adapter in peft's format."
    else:
        reason = "an adapter is a folder in peft's format. Download the adapter again, with all its files."
    return CheckpointError(f"{path} is missing: {reason}")


def missing_tokenizer(folder: Path) -> CheckpointError:
    """Return the error for a folder without tokenizer.json."""
    path = folder / "tokenizer.json"
    if "tokenizer.model" not in names_in(folder):
        return CheckpointError(
            f"{path} is missing, and a chat needs it. Download the file. If only the weights were trained, the base "
            "model's file is right."
        )
    return CheckpointError(
        f"{path} is missing, and tokenizer.model (SentencePiece) is not read. Copy the base model's tokenizer.json "
        "there, or convert tokenizer.model: load it with transformers' AutoTokenizer.from_pretrained and write it "
        "with save_pretrained."
    )


def not_a_gguf(path: Path) -> str | None:
    """Return advice on a file that is not GGUF; None where the file is GGUF, or may be a damaged one."""
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return None
    if path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        return f"Give the file's folder, with config.json: {path.parent}."
    if path.suffix in (".zip", ".gz", ".tgz", ".tar", ".zst", ".7z"):
        return "It is an archive: unpack it, and give the folder with config.json."
    return None


def check_no_pointer(path: Path, text: str) -> None:
    """Raise CheckpointError where the file is a Git LFS pointer to a large file."""
    if text.startswith(_POINTER):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the file itself: the repository was cloned without its large files. "
            "Fetch them with `git lfs pull` in the repository."
        )


def is_pointer(path: Path) -> bool:
    """Whether the file is a Git LFS pointer."""
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER.encode()
    except OSError:
        return False


def weights_reason(names: Sequence[str]) -> str | None:
    """Return why files with these names are not readable weights, and what to do; None if unknown."""
    top = [name for name in names if "/" not in name]
    others = _other_formats(top) or folder_reason(names) or _other_names(top) or _graphs(names)
    return _shards(top) or _adapter(top) or others


def folder_reason(names: Sequence[str]) -> str | None:
    """Return what a folder with these files is, if not a checkpoint, and what to do; None if unknown."""
    top = [name for name in names if "/" not in name]
    if reason := _adapter(top):
        return reason
    if BUNDLE_MARK in top:
        return "it is a bundle, the result of an export. Give the checkpoint from which it was made."
    if found := next((name for name in reversed(names) if _SNAPSHOT.fullmatch(name)), None):
        return f"it is a repository in a hub's cache. Give the path of its snapshot, {found}."
    if found := _ending(top, ".gguf"):
        return f"it has GGUF files. Give the path of one file, such as {found}, instead of the folder."
    if found := next((name for name in names if re.fullmatch(r"[^/]+/config\.json", name)), None):
        return f"a subfolder has one. Give the path of that folder, {Path(found).parent}."
    return None


def _adapter(names: Sequence[str]) -> str | None:
    if not any(name in names for name in ADAPTER_FILES):
        return None
    return (
        "it is a peft adapter, which has only the trained changes. Export the base model, and name this folder by "
        "--adapter."
    )


def _shards(names: Sequence[str]) -> str | None:
    """Return the reason where shards exist without an index."""
    found = [match for name in names if (match := _SHARD.fullmatch(name))]
    if not found:
        return None
    count = int(found[0]["count"])
    here = {int(match["number"]) for match in found}
    absent = [number for number in range(1, count + 1) if number not in here]
    index = f"{found[0]['stem']}.safetensors.index.json"
    if absent:
        return (
            f"{len(absent)} of {count} shards are missing (the first is number {absent[0]}), and so is their index, "
            f"{index}. Download the checkpoint again, with all its files."
        )
    return f"all {count} shards are there, but their index, {index}, is missing. Download the index, or {_SAVE_AGAIN}."


def _other_formats(names: Sequence[str]) -> str | None:
    """Return the reason where weights are in another program's format."""
    if found := next((name for name in names if _PICKLED.fullmatch(name)), None):
        return (
            f"its weights are pickled, in {found}, and reading a pickle executes its code. To convert the "
            f"checkpoint, {_SAVE_AGAIN}."
        )
    if any(name.startswith(("global_step", "zero_to_fp32", "zero_pp_rank")) for name in names):
        return (
            "it is a DeepSpeed ZeRO state, which spreads weights over files. Gather the weights with its script: "
            "`python zero_to_fp32.py . OUT --safe_serialization`."
        )
    if any(name.startswith("pytorch_model_fsdp") or name.endswith(".distcp") for name in names):
        return (
            "it is a sharded FSDP state, which spreads weights over files. Gather the weights with "
            "`accelerate merge-weights`."
        )
    for ending, program in _PROGRAMS.items():
        if found := _ending(names, ending):
            return (
                f"{found} is a {program} file, which gemtab does not read. Use the model's safetensors files, or, if "
                f"transformers reads the file, {_SAVE_AGAIN}."
            )
    return None


def _graphs(names: Sequence[str]) -> str | None:
    """Return the reason where a folder has ONNX graphs, as transformers.js has them."""
    found = next((name for name in names if name.endswith(".onnx")), None)
    return f"it has ONNX graphs ({found}). Export the checkpoint from which they were made." if found else None


def _other_names(names: Sequence[str]) -> str | None:
    """Return the reason where weights in safetensors have another name."""
    found = _ending(names, ".safetensors")
    if found is None:
        return None
    return f"it has {found}. If that file is the whole model, rename it to {SINGLE_NAME}."


def _ending(names: Iterable[str], ending: str) -> str | None:
    return next((name for name in names if name.endswith(ending) and name not in _TRAINERS), None)
