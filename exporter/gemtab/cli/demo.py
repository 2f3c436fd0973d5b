"""`gemtab demo`."""

from pathlib import Path
from typing import Annotated

import typer

from gemtab.cli.console import err, stage_progress
from gemtab.server.serve import DEFAULT_HOST, DEFAULT_PORT

BUNDLE_NAME = "tiny"


def command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")] = DEFAULT_PORT,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, where there is one.")] = True,
) -> None:
    """Export the tiny model that comes with gemtab, serve it, and open the page.

    It is a Gemma 4 of a few million parameters, trained to show that everything works. The bundle is kept in the
    user's cache folder, so that the next demo starts at once.
    """
    from gemtab.cli.serve import serve_bundles

    serve_bundles({BUNDLE_NAME: demo_bundle()}, DEFAULT_HOST, port, open_browser=browser)


def demo_bundle() -> Path:
    """The tiny model's bundle, exported first where this version's is not there yet."""
    from gemtab import resources
    from gemtab.bundle.folder import is_bundle
    from gemtab.export import export_bundle

    checkpoint = resources.tiny_checkpoint()
    folder = resources.cache_folder() / f"demo-{_version_of(checkpoint)}" / BUNDLE_NAME
    if not is_bundle(folder):
        err.print("Exporting the tiny model…")
        with stage_progress() as progress:
            export_bundle(checkpoint, folder, "q4", context=None, force=True, progress=progress)
    return folder


def _version_of(checkpoint: Path) -> str:
    """A digest of all that decides what the export would be: checkpoint, code and shader templates."""
    import hashlib

    from gemtab import resources

    digest = hashlib.sha256(resources.code_digest().encode())
    for path in sorted(checkpoint.glob("*")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
