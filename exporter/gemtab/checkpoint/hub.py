"""Checkpoints from a model hub, by their id there: downloaded into the hub's own cache, or taken from it.

The weights come last, when all that can be known without them is. A download goes on where a connection broke off, and
files that are whole are not downloaded again. `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they
mean to huggingface_hub.
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
"""What is downloaded of a repository beside the weights, as far as it is there. README.md says which licence a model
has."""

_ID = re.compile(r"(?=.{1,96}$)(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9](?:[\w.-]*\w)?", re.ASCII)
"""As hubs name repositories."""


def is_hub_id(source: str) -> bool:
    """Whether `source` is a model's id on a hub, such as google/gemma-4-E2B-it; a folder of that name wins."""
    return not os.path.exists(source) and _ID.fullmatch(source) is not None


def checkpoint_folder(
    source: str,
    revision: str | None = None,
    show_progress: bool = False,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Where a checkpoint is: a folder or GGUF file that is there already, or an id on a hub, downloaded as far as it is
    not yet.

    revision: a branch, tag or commit there, by default the main branch.
    check: is given a hub's checkpoint when all but the weights is there; where it raises, they are not downloaded.
    Raises UsageError where `source` is neither, or a folder is given a revision; HubError where the hub does not give
    it; OutputError where it does not fit on the disk.
    """
    if not is_hub_id(source):
        if not os.path.exists(source):  # which is also False for a name that is too long, or a link to itself
            raise UsageError(
                f"There is no folder or file {source}. Give the folder of a checkpoint, a GGUF file, or a model's id "
                "on the hub, such as google/gemma-4-E2B-it."
            )
        if revision is not None:
            raise UsageError(f"--revision {revision} is for models of the hub, and {source} is here.")
        return Path(source)
    return _download(source, revision, show_progress, check)


def _download(model: str, revision: str | None, show_progress: bool, check: Callable[[Path], None] | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = show_progress and not are_progress_bars_disabled()
    disable_progress_bars()
    with _refusals_explained(model, revision):
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*TEXTS]))
    if not (folder / "config.json").exists():
        reason = folder_reason(_names(model, revision) or []) or "it is not a checkpoint as transformers saves it."
        raise HubError(f"{model} has no config.json on the hub: {reason}")
    if check is not None:
        check(folder)
    wanted = _weight_files(folder)
    listed, free = _listed(model, revision, wanted), _free_bytes()
    if listed is not None:
        if absent := sorted({*wanted} - {file.filename for file in listed}):
            raise _no_weights(model, absent[0], _names(model, revision) or [])
        needed = _to_come(listed)
        # A snapshot's folder is called as its commit: the branch may have moved on since.
        revision = folder.name
        # What earlier downloads left half done: some releases of huggingface_hub go on with it.
        begun = sum(path.stat().st_size for path in (folder.parents[1] / "blobs").glob("*.incomplete"))
        if needed - begun > free:
            raise _no_room(model, needed, free)
    if shown:
        enable_progress_bars()
    with _refusals_explained(model, revision):
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*wanted, *TEXTS]))


def _weight_files(folder: Path) -> list[str]:
    """The files of weights that belong to a checkpoint of which the rest is there: others are not downloaded."""
    listed = read_index(folder)
    return sorted(set(listed.values())) or [SINGLE_NAME]


def _no_weights(model: str, absent: str, names: list[str]) -> HubError:
    reason = weights_reason(names) if absent == SINGLE_NAME else None
    return HubError(
        f"{model} has no {absent} on the hub, and an export reads weights in safetensors"
        + (f": {reason}" if reason else ". Choose another repository or revision.")
    )


def _listed(model: str, revision: str | None, wanted: Sequence[str]) -> "list[DryRunFileInfo] | None":
    """The files of a checkpoint on the hub, those of its weights by their names; None where the hub cannot be asked."""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(model, revision=revision, allow_patterns=[*wanted, *TEXTS], dry_run=True)
    except _failures():
        return None


def _names(model: str, revision: str | None) -> list[str] | None:
    """The names of all files of the repository; None where the hub cannot be asked."""
    from huggingface_hub import HfApi

    try:
        return [file.rfilename for file in HfApi().model_info(model, revision=revision).siblings or []]
    except _failures():
        return None


def _to_come(files: "Sequence[DryRunFileInfo]") -> int:
    """How many bytes of them are still to be downloaded."""
    return sum(file.file_size or 0 for file in files if file.will_download)


def _failures() -> tuple[type[Exception], ...]:
    """What a request to the hub raises: an OSError, where a connection stays lost an error of its HTTP library, and
    RuntimeError, hf_xet's for whatever went wrong."""
    from huggingface_hub.errors import HfHubHTTPError

    return (*cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__), RuntimeError)


def _free_bytes() -> int:
    """What is free on the disk of the hub's cache, which may not be there yet."""
    cache = _cache()
    return shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.is_dir())).free


def _cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).expanduser().absolute()


def _no_room(model: str, needed: int, free: int) -> OutputError:
    return OutputError(
        f"{model} could not be downloaded to {_cache()}: the disk is too small, or your quota there used up. It takes "
        f"{f'{needed:,} ' if needed else ''}bytes more, and the disk has {free:,} free. Make room, or let HF_HOME name "
        "a folder on another disk, and run the same command again: files that are whole are kept."
    )


@contextmanager
def _refusals_explained(model: str, revision: str | None) -> Iterator[None]:
    """Turns what a download raises into a HubError, or an OutputError where the disk is full."""
    from huggingface_hub import errors

    try:
        with warnings.catch_warnings():
            # Told of by the error that follows, if it does.
            warnings.filterwarnings("ignore", "Not enough free disk space")
            yield
    except errors.GatedRepoError:
        raise HubError(
            f"{model} is gated: its owner wants you to accept its terms first. Open its page on the hub while logged "
            "in, accept them, then log in here with `hf auth login`."
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"There is no folder {model} here, and the hub has no such model, or it is private. Check the name; for a "
            "private one, log in with `hf auth login`."
        ) from None
    except (errors.RevisionNotFoundError, errors.RevisionResolutionError):
        raise HubError(
            f"{model} has no revision {revision} on the hub. Give a branch, tag or commit that it has."
        ) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        raise HubError(
            f"There is no folder {model} here; as a model of the hub it is not, or not whole, in the cache on this "
            "machine, and the hub cannot be reached. Check the name, the network, and whether HF_HUB_OFFLINE is set; "
            "files that are whole are kept."
        ) from None
    except _failures() as error:
        if disk_full(error) or "No space left on device" in str(error):
            listed = _listed(model, revision, ["*.safetensors"])
            raise _no_room(model, _to_come(listed or []), _free_bytes()) from error
        raise HubError(
            f"The download of {model} broke off: {_first_line(error)}. Run the same command again: files that are "
            "whole are kept."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
