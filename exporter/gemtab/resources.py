"""Locations of gemtab's parts that are not Python: the built site, the shader templates, the tiny checkpoint.

In a wheel they are inside the package (see tools/wheel_contents.py), in a repository at their sources.
"""

import hashlib
import os
from functools import cache
from pathlib import Path

from gemtab.errors import UsageError

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parent.parent


def _folder(in_wheel: str, in_repository: str, hint: str) -> Path:
    for folder in (PACKAGE / in_wheel, REPOSITORY / in_repository):
        if folder.is_dir():
            return folder
    raise UsageError(f"{in_repository} is missing (looked in {PACKAGE / in_wheel} and {REPOSITORY}). {hint}")


def site() -> Path:
    """Return the folder of the built page, element and runtime."""
    return _folder("site", "dist/site", "In a clone of the repository, `make build` makes it.")


def shaders() -> Path:
    """Return the folder of WGSL templates, one folder an op."""
    return _folder("shaders", "shaders", "Reinstall gemtab.")


def tiny_checkpoint() -> Path:
    """Return the folder of the tiny trained Gemma 4, which the demo exports."""
    return _folder("tiny", "models/tiny", "Reinstall gemtab, or train it with `make tiny`.")


def cache_folder() -> Path:
    """Return the user's cache folder for gemtab: its content can be made again."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "gemtab"


@cache
def code_digest() -> str:
    """Return a digest of all code and shader templates: the same inputs and the same code give the same output."""
    digest = hashlib.sha256()
    for folder, pattern in ((PACKAGE, "**/*.py"), (shaders(), "**/*.jinja")):
        for path in sorted(folder.glob(pattern)):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
