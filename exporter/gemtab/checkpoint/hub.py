"""Get a checkpoint from a model hub by its id: from the hub's local cache, or downloaded into it.

Weights are downloaded last, after all checks that need no weights. Interrupted downloads are resumed, and complete
files are not downloaded again. `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` have the same meaning as for
huggingface_hub.
"""

import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gemtab.checkpoint.missing import INDEX_NAME, SINGLE_NAME, folder_reason, weights_reason
from gemtab.checkpoint.tensors import read_index
from gemtab.errors import HubError, OutputError, UsageError
from gemtab.output import disk_full

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

TEXTS = (
    INDEX_NAME,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "README.md",
)
"""Files that are downloaded beside the weights, where the repository has them. README.md states the licence."""

_ID = re.compile(r"(?=.{1,96}$)(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9](?:[\w.-]*\w)?", re.ASCII)
"""Names of repositories on hubs."""


def is_hub_id(source: str) -> bool:
    """Whether `source` is a model id on a hub, such as google/gemma-4-E2B-it. An existing path takes precedence."""
    return not os.path.exists(source) and _ID.fullmatch(source) is not None


def checkpoint_folder(
    source: str,
    revision: str | None = None,
    show_progress: bool = False,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Return the path of a checkpoint: an existing folder or GGUF file, or a hub's checkpoint, downloaded where needed.

    revision: branch, tag or commit on the hub; by default the main branch.
    check: called with a hub's checkpoint before its weights are downloaded; an exception stops the download.
    Raises UsageError where `source` is neither a path nor an id, or a path has a revision; HubError where the hub does
    not provide the checkpoint; OutputError where the disk is too small.
    """
    if not is_hub_id(source):
        if not os.path.exists(source):  # also False for a name that is too long, or a circular link
            raise UsageError(
                f"There is no folder or file {source}. Give the folder of a checkpoint, a GGUF file, or a model id on "
                "the hub, such as google/gemma-4-E2B-it."
            )
        if revision is not None:
            raise UsageError(f"--revision {revision} is for models on the hub, and {source} is a local path.")
        return Path(source)
    return _download(source, revision, show_progress, check)


def _download(model: str, revision: str | None, show_progress: bool, check: Callable[[Path], None] | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = show_progress and not are_progress_bars_disabled()
    disable_progress_bars()
    with _errors_explained(model, revision):
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*TEXTS]))
    if not (folder / "config.json").exists():
        reason = folder_reason(_names(model, revision) or []) or "it is not a checkpoint in transformers' format."
        raise HubError(f"{model} has no config.json on the hub: {reason}")
    if check is not None:
        check(folder)
    wanted = _weight_files(folder)
    listed, free = _listed(model, revision, wanted), _free_bytes()
    if listed is not None:
        if absent := sorted({*wanted} - {file.filename for file in listed}):
            raise _no_weights(model, absent[0], _names(model, revision) or [])
        needed = _to_come(listed)
        # A snapshot's folder has the commit's name: the branch may have moved since.
        revision = folder.name
        # Incomplete downloads: some releases of huggingface_hub resume them.
        begun = sum(path.stat().st_size for path in (folder.parents[1] / "blobs").glob("*.incomplete"))
        if needed - begun > free:
            raise _no_space(model, needed, free)
    if shown:
        enable_progress_bars()
    with _errors_explained(model, revision):
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*wanted, *TEXTS]))


def _weight_files(folder: Path) -> list[str]:
    """Return the weight files of a checkpoint whose other files are downloaded. Other weights are not downloaded."""
    listed = read_index(folder)
    return sorted(set(listed.values())) or [SINGLE_NAME]


def _no_weights(model: str, absent: str, names: list[str]) -> HubError:
    reason = weights_reason(names) if absent == SINGLE_NAME else None
    return HubError(
        f"{model} has no {absent} on the hub, and gemtab reads weights from safetensors"
        + (f": {reason}" if reason else ". Choose another repository or revision.")
    )


def _listed(model: str, revision: str | None, wanted: Sequence[str]) -> "list[DryRunFileInfo] | None":
    """Return the checkpoint's files on the hub, the weight files `wanted` included; None where the hub does not
    answer."""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(model, revision=revision, allow_patterns=[*wanted, *TEXTS], dry_run=True)
    except _failures():
        return None


def _names(model: str, revision: str | None) -> list[str] | None:
    """Return the names of all files of the repository; None where the hub does not answer."""
    from huggingface_hub import HfApi

    try:
        return [file.rfilename for file in HfApi().model_info(model, revision=revision).siblings or []]
    except _failures():
        return None


def _to_come(files: "Sequence[DryRunFileInfo]") -> int:
    """Return the number of bytes that are still to be downloaded."""
    return sum(file.file_size or 0 for file in files if file.will_download)


def _failures() -> tuple[type[Exception], ...]:
    """Return the errors of requests to the hub: OSError and those of the hub's HTTP library, and RuntimeError, which
    hf_xet raises for everything."""
    from huggingface_hub.errors import HfHubHTTPError

    return (*cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__), RuntimeError)


def _free_bytes() -> int:
    """Return the free bytes on the disk of the hub's cache, which may not exist yet."""
    cache = _cache()
    return shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.is_dir())).free


def _cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).expanduser().absolute()


def _no_space(model: str, needed: int, free: int) -> OutputError:
    return OutputError(
        f"{model} could not be downloaded to {_cache()}: the disk is too small, or your quota is used up. The download "
        f"needs {f'{needed:,} ' if needed else ''}bytes more, and the disk has {free:,} free. Free some space, or set "
        "HF_HOME to a folder on another disk, and run the same command again: complete files are kept."
    )


@contextmanager
def _errors_explained(model: str, revision: str | None) -> Iterator[None]:
    """Turn errors of a download into HubError, or OutputError where the disk is full."""
    from huggingface_hub import errors

    try:
        with warnings.catch_warnings():
            # The error that follows reports it.
            warnings.filterwarnings("ignore", "Not enough free disk space")
            yield
    except errors.GatedRepoError:
        raise HubError(
            f"{model} is gated: its owner asks you to accept terms first. Open its page on the hub while logged in, "
            "accept the terms, then log in here with `hf auth login`."
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"There is no folder {model} here, and the hub has no such public model. Check the name; for a private "
            "model, log in with `hf auth login`."
        ) from None
    except (errors.RevisionNotFoundError, errors.RevisionResolutionError):
        raise HubError(
            f"{model} has no revision {revision} on the hub. Give a branch, tag or commit that it has."
        ) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        raise HubError(
            f"There is no folder {model} here. The cache on this machine does not have the complete model of that "
            "name, and the hub cannot be reached. Check the name, the network, and whether HF_HUB_OFFLINE is set; "
            "complete files are kept."
        ) from None
    except _failures() as error:
        if disk_full(error) or "No space left on device" in str(error):
            listed = _listed(model, revision, ["*.safetensors"])
            raise _no_space(model, _to_come(listed or []), _free_bytes()) from error
        raise HubError(
            f"The download of {model} failed: {_first_line(error)}. Run the same command again: complete files are "
            "kept."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
