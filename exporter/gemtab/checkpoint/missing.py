"""Why a folder's weights or tokenizer cannot be read, from the files that it has instead, and what to do.

"With all its files" is advice where files are missing, and nowhere else.
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
"""What trainers leave beside the weights."""

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
    """The files of the folder, and those one level below it, by their paths within it."""
    try:
        found = [*folder.iterdir(), *folder.glob("*/*")]
    except OSError:
        return []
    return sorted(path.relative_to(folder).as_posix() for path in found)


def missing_weights(folder: Path) -> CheckpointError:
    """The error for a folder that has neither model.safetensors nor an index of shards."""
    if (folder / SINGLE_NAME).is_symlink():
        return CheckpointError(
            f"{folder / SINGLE_NAME} is a link to {(folder / SINGLE_NAME).readlink()}, which is not there. "
            "Download the checkpoint again."
        )
    reason = weights_reason(names_in(folder))
    if reason is None:
        return CheckpointError(f"{folder / SINGLE_NAME} is missing. Download the checkpoint again, with all its files.")
    return CheckpointError(f"{folder} has no {SINGLE_NAME}, which gemtab reads: {reason}")


def has_only_config(folder: Path) -> bool:
    """Whether nothing in the folder looks like weights, whole, in part or of another program."""
    return weights_reason(names_in(folder)) is None


def missing_config(folder: Path) -> CheckpointError:
    """The error for a folder that has no config.json."""
    reason = folder_reason(names_in(folder))
    if reason is None:
        reason = "a checkpoint is a folder with config.json and *.safetensors, as transformers saves it."
    return CheckpointError(f"{folder / 'config.json'} is missing: {reason}")


def missing_adapter(path: Path) -> CheckpointError:
    """The error for an adapter whose weights are not at `path`."""
    names = names_in(path.parent)
    if found := next((name for name in names if name in ("adapter_model.bin", "adapter_model.pt")), None):
        reason = (
            f"the adapter's weights are in {found} and are pickled, and reading a pickled file runs the code in it. To "
            "convert the adapter, load it with peft's PeftModel.from_pretrained and write it with save_pretrained."
        )
    elif found := next((name for name in names if name.endswith("/adapter_config.json")), None):
        reason = f"a folder in it has an adapter. Name that one, {Path(found).parent}, by --adapter."
    elif found := _ending(names, ".gguf"):
        reason = f"{found} is in GGUF. Name the folder of the adapter as peft saves it."
    elif SINGLE_NAME in names or INDEX_NAME in names:
        reason = "the folder holds a whole model, not an adapter. Export it by itself, without --adapter."
    elif not path.parent.is_dir():
        reason = f"there is no folder {path.parent}. Name the folder of an adapter as peft saves it."
    else:
        reason = "an adapter is a folder as peft saves it. Download it again, with all its files."
    return CheckpointError(f"{path} is missing: {reason}")


def missing_tokenizer(folder: Path) -> CheckpointError:
    """The error for a folder that has no tokenizer.json."""
    path = folder / "tokenizer.json"
    if "tokenizer.model" not in names_in(folder):
        return CheckpointError(
            f"{path} is missing, and a chat needs it. Download it: where only the weights were trained, the base "
            "model's is the right one."
        )
    return CheckpointError(
        f"{path} is missing, and tokenizer.model (SentencePiece) is not read. Put the base model's tokenizer.json "
        "there, or make one of it: load it with transformers' AutoTokenizer.from_pretrained and write it with "
        "save_pretrained."
    )


def not_a_gguf(path: Path) -> str | None:
    """What to do with a file that is no GGUF file; None where it is one, or may be a damaged one."""
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return None
    if path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        return f"Give the folder that it lies in, with config.json: {path.parent}."
    if path.suffix in (".zip", ".gz", ".tgz", ".tar", ".zst", ".7z"):
        return "It is an archive: unpack it, and give the folder that config.json lies in."
    return None


def check_no_pointer(path: Path, text: str) -> None:
    """Raises CheckpointError where the file is the pointer that git keeps in the place of a large file."""
    if text.startswith(_POINTER):
        raise CheckpointError(
            f"{path} is a pointer of Git LFS, not the file itself: the repository was cloned without its large files. "
            "Fetch them with `git lfs pull` there."
        )


def is_pointer(path: Path) -> bool:
    """Whether the file is such a pointer."""
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER.encode()
    except OSError:
        return False


def weights_reason(names: Sequence[str]) -> str | None:
    """Why files of these names are no weights that can be read, and the way out; None where nothing tells."""
    top = [name for name in names if "/" not in name]
    others = _other_formats(top) or folder_reason(names) or _other_names(top) or _graphs(names)
    return _shards(top) or _adapter(top) or others


def folder_reason(names: Sequence[str]) -> str | None:
    """What a folder with files of these names is, where it is no checkpoint, and the way out; None where nothing
    tells."""
    top = [name for name in names if "/" not in name]
    if reason := _adapter(top):
        return reason
    if BUNDLE_MARK in top:
        return "it is a bundle, which an export has made already. Give the checkpoint that it was made of."
    if found := next((name for name in reversed(names) if _SNAPSHOT.fullmatch(name)), None):
        return f"it is a repository in a hub's cache. Give the path of the snapshot in it, {found}."
    if found := _ending(top, ".gguf"):
        return f"it has GGUF files. Give the path of one, such as {found}, instead of the folder's."
    if found := next((name for name in names if re.fullmatch(r"[^/]+/config\.json", name)), None):
        return f"a folder in it has one. Give the path of that folder, {Path(found).parent}."
    return None


def _adapter(names: Sequence[str]) -> str | None:
    if not any(name in names for name in ADAPTER_FILES):
        return None
    return (
        "it is an adapter of peft, which holds only what was trained. Export the model that it was trained on, and "
        "name this folder by --adapter."
    )


def _shards(names: Sequence[str]) -> str | None:
    """Shards that no index lists."""
    found = [match for name in names if (match := _SHARD.fullmatch(name))]
    if not found:
        return None
    count = int(found[0]["count"])
    here = {int(match["number"]) for match in found}
    absent = [number for number in range(1, count + 1) if number not in here]
    index = f"{found[0]['stem']}.safetensors.index.json"
    if absent:
        return (
            f"{len(absent)} of its {count} shards are missing, the first is number {absent[0]}, and {index}, which "
            "says what is in which, too. Download the checkpoint again, with all its files."
        )
    return (
        f"all {count} shards are there, but {index}, which says what is in which, is missing. Download it, or "
        f"{_SAVE_AGAIN}."
    )


def _other_formats(names: Sequence[str]) -> str | None:
    """Weights in files of other programs."""
    if found := next((name for name in names if _PICKLED.fullmatch(name)), None):
        return (
            f"its weights are in {found} and are pickled, and reading a pickled file runs the code in it. To convert "
            f"the checkpoint, {_SAVE_AGAIN}."
        )
    if any(name.startswith(("global_step", "zero_to_fp32", "zero_pp_rank")) for name in names):
        return (
            "it is a state of DeepSpeed's ZeRO, in which weights are spread over files. Gather them with its script: "
            "`python zero_to_fp32.py . OUT --safe_serialization`."
        )
    if any(name.startswith("pytorch_model_fsdp") or name.endswith(".distcp") for name in names):
        return (
            "it is a sharded state of FSDP, in which weights are spread over files. Gather them with "
            "`accelerate merge-weights`."
        )
    for ending, program in _PROGRAMS.items():
        if found := _ending(names, ending):
            return (
                f"{found} is a file of {program}, which is not read. Take the model's safetensors files, or, where "
                f"transformers reads it, {_SAVE_AGAIN}."
            )
    return None


def _graphs(names: Sequence[str]) -> str | None:
    """ONNX graphs in a folder of their own, as transformers.js has them."""
    found = next((name for name in names if name.endswith(".onnx")), None)
    return f"it holds ONNX graphs ({found}). Export the checkpoint that they were made of." if found else None


def _other_names(names: Sequence[str]) -> str | None:
    """Weights in safetensors under another name."""
    found = _ending(names, ".safetensors")
    if found is None:
        return None
    return f"it has {found}. If that is the whole model, rename it to {SINGLE_NAME}."


def _ending(names: Iterable[str], ending: str) -> str | None:
    return next((name for name in names if name.endswith(ending) and name not in _TRAINERS), None)
