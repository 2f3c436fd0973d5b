"""Publish a bundle for browsers: on a model hub, or by a command on any static host."""

import re
from pathlib import Path

from gemtab.bundle.folder import check_files, open_plan, read_manifest
from gemtab.bundle.manifest import MANIFEST_NAME
from gemtab.bundle.manifest_check import plan_entries
from gemtab.commands import command_line
from gemtab.errors import HubError, UsageError

_OURS = ("onnx/*", "plan/*", "shaders/*")
"""Files of bundles: those of an earlier bundle are removed from the repository."""


def files_to_publish(bundle: Path) -> dict[str, int]:
    """Return the bundle's files with their sizes in bytes, the manifest last. Raises BundleError where a file is
    missing or altered, or a plan is invalid."""
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    for entry in plan_entries(manifest):
        open_plan(bundle, manifest, entry.file)
    sizes = {name: entry.bytes for name, entry in manifest.files.items()}
    return {**sizes, MANIFEST_NAME: (bundle / MANIFEST_NAME).stat().st_size}


def upload(bundle: Path, files: dict[str, int], to: str, private: bool) -> str:
    """Upload the bundle's files to the model repository `to` (user/name) in one commit. Create the repository if
    needed.

    Returns the commit's address. Raises UsageError for an invalid repository name, HubError where the hub rejects the
    upload.
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
        raise HubError(f"{to} could not be written: you are not logged in. Log in with `hf auth login`.") from None
    except errors.HfHubHTTPError as error:
        raise HubError(_rejected(to, error.response.status_code, str(error))) from error
    except ValueError as error:
        raise HubError(f"{to} could not be written: {error}") from error
    except OSError as error:
        raise HubError(
            f"{to} could not be written: the hub cannot be reached ({error}). Check the network and run the same "
            "command again; the hub keeps the files that it has."
        ) from error
    return str(commit.commit_url)


def _rejected(to: str, status: int, message: str) -> str:
    if status in (401, 403):
        return (
            f"{to} could not be written: the hub rejects the login. Log in with `hf auth login` and a token that may "
            f"write to {to.split('/')[0]}'s repositories."
        )
    return f"{to} could not be written: {message.strip().splitlines()[0]}. Try again."


def host_commands(bundle: Path) -> dict[str, str]:
    """Return commands that copy the bundle to static hosts, by kind of host."""
    name = bundle.resolve().name
    inside = f"{bundle}/"  # rsync copies the folder's content
    lines: dict[str, tuple[str | Path, ...]] = {
        "a web server by ssh": ("rsync", "-a", "--delete", inside, f"user@host:/var/www/bundles/{name}/"),
        "Amazon S3 and compatible stores": ("aws", "s3", "sync", "--delete", bundle, f"s3://bucket/bundles/{name}"),
        "Google Cloud Storage": ("gcloud", "storage", "rsync", "--recursive", bundle, f"gs://bucket/bundles/{name}"),
        "any other, by rclone": ("rclone", "sync", bundle, f"remote:bundles/{name}"),
        "a model hub": ("gemtab", "publish", bundle, "--to", f"user/{repository_name(name)}"),
    }
    return {host: command_line(*words) for host, words in lines.items()}


def repository_name(name: str) -> str:
    """Return the name with a hyphen for each run of characters that a hub does not allow in names."""
    return re.sub(r"[^\w.-]+|--+|\.\.+", "-", name, flags=re.ASCII).strip("-.")[:96] or "model"
