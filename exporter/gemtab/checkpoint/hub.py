"""Checkpoints from a model hub, by their id there: downloaded into the hub's own cache, or taken from it.

A download goes on where a connection broke off, and files that are whole are not downloaded again. `HF_ENDPOINT`,
`HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to huggingface_hub.
"""

import re
from pathlib import Path

from gemtab.errors import HubError, UsageError
from gemtab.output import disk_full

FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "processor_config.json",
    "README.md",
)
"""What is downloaded of a repository, as far as it is there. README.md says which licence a model has."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(source: str) -> bool:
    """Whether `source` is a model's id on a hub, such as google/gemma-4-E2B-it; a folder of that name wins."""
    return not Path(source).exists() and _ID.fullmatch(source) is not None


def checkpoint_folder(source: str, revision: str | None = None, show_progress: bool = False) -> Path:
    """Where a checkpoint is: a folder or GGUF file that is there already, or an id on a hub, downloaded as far as it is
    not yet.

    revision: a branch, tag or commit there, by default the main branch.
    Raises UsageError where `source` is neither, or a folder is given a revision; HubError where the hub does not give
    it.
    """
    if not is_hub_id(source):
        if not Path(source).exists():
            raise UsageError(
                f"There is no folder or file {source}. Give the folder of a checkpoint, a GGUF file, or a model's id "
                "on the hub, such as google/gemma-4-E2B-it."
            )
        if revision is not None:
            raise UsageError(f"--revision {revision} is for models of the hub, and {source} is here.")
        return Path(source)
    return _download(source, revision, show_progress)


def _download(model: str, revision: str | None, show_progress: bool) -> Path:
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not show_progress:
        disable_progress_bars()
    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(FILES)))
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
    except (errors.HfHubHTTPError, OSError) as error:
        if disk_full(error):
            raise
        raise HubError(
            f"The download of {model} broke off: {_first_line(error)}. Run the same command again: files that are "
            "whole are kept."
        ) from error
    if not (folder / "config.json").exists():
        raise HubError(f"{model} has no config.json on the hub: it is not a checkpoint as transformers saves it.")
    return folder


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
