"""Putting a bundle where browsers can load it from: onto a model hub, or by a command onto any static host."""

import re
from pathlib import Path

from gemtab.bundle.folder import check_files, open_plan, read_manifest
from gemtab.bundle.manifest import MANIFEST_NAME
from gemtab.bundle.manifest_check import plan_entries
from gemtab.commands import command_line
from gemtab.errors import HubError, UsageError

_OURS = ("onnx/*", "plan/*", "shaders/*")
"""Folders that hold nothing but the bundle's files: what an earlier bundle left there is removed."""


def files_to_publish(bundle: Path) -> dict[str, int]:
    """The bundle's files and their sizes, the manifest last. Raises BundleError where one is missing or altered, and
    where a plan is one that a tab refuses."""
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    for entry in plan_entries(manifest):
        open_plan(bundle, manifest, entry.file)
    sizes = {name: entry.bytes for name, entry in manifest.files.items()}
    return {**sizes, MANIFEST_NAME: (bundle / MANIFEST_NAME).stat().st_size}


def upload(bundle: Path, files: dict[str, int], to: str, private: bool) -> str:
    """Uploads these files of the bundle to the model repository `to` (user/name), made if need be, in one commit.

    Returns the commit's address. Raises UsageError for what is no repository's name, HubError where the hub does not
    take it.
    """
    from huggingface_hub import HfApi, errors

    hub = HfApi()
    try:
        hub.create_repo(to, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=to,
            folder_path=bundle,
            allow_patterns=list(files),
            delete_patterns=list(_OURS),
            commit_message="Publish by gemtab",
        )
    except errors.HFValidationError as error:
        raise UsageError(f"--to {to}: give the repository as user/name ({error}).") from None
    except errors.LocalTokenNotFoundError:
        raise HubError(f"{to} could not be written: nobody is logged in. Log in with `hf auth login`.") from None
    except errors.HfHubHTTPError as error:
        raise HubError(_refused(to, error.response.status_code, str(error))) from error
    except ValueError as error:
        raise HubError(f"{to} could not be written: the hub's client says: {error}") from error
    except OSError as error:
        raise HubError(
            f"{to} could not be written: the hub cannot be reached ({error}). Check the network; the same command "
            "begins anew, and the hub keeps the files that it has."
        ) from error
    return str(commit.commit_url)


def _refused(to: str, status: int, message: str) -> str:
    if status in (401, 403):
        return (
            f"{to} could not be written: the hub wants another login. Log in with `hf auth login` and a token that may "
            f"write to {to.split('/')[0]}'s repositories."
        )
    return f"{to} could not be written: {message.strip().splitlines()[0]}. Try again."


def host_commands(bundle: Path) -> dict[str, str]:
    """Commands that copy the bundle to hosts of static files, by kind of host."""
    name = bundle.resolve().name
    inside = f"{bundle}/"  # what is in the folder, to rsync
    lines: dict[str, tuple[str | Path, ...]] = {
        "a web server by ssh": ("rsync", "-a", "--delete", inside, f"user@host:/var/www/bundles/{name}/"),
        "Amazon S3 and what speaks it": ("aws", "s3", "sync", "--delete", bundle, f"s3://bucket/bundles/{name}"),
        "Google Cloud Storage": ("gcloud", "storage", "rsync", "--recursive", bundle, f"gs://bucket/bundles/{name}"),
        "any other, by rclone": ("rclone", "sync", bundle, f"remote:bundles/{name}"),
        "a model hub": ("gemtab", "publish", bundle, "--to", f"user/{repository_name(name)}"),
    }
    return {host: command_line(*words) for host, words in lines.items()}


def repository_name(name: str) -> str:
    """The name with a hyphen for each run of characters that a hub's repository may not have in its own."""
    return re.sub(r"[^\w.-]+|--+|\.\.+", "-", name, flags=re.ASCII).strip("-.")[:96] or "model"
