"""`gemtab demo`."""

from pathlib import Path
from typing import Annotated

import typer

from gemtab.cli.console import err, stage_progress
from gemtab.server.serve import DEFAULT_HOST, DEFAULT_PORT

BUNDLE_NAME = "tiny"


def command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = DEFAULT_PORT,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Export gemtab's own tiny model, serve it, and open the page.

    The model is a Gemma 4 with a few million parameters, trained to show that everything works. The bundle is kept in
    the user's cache folder, so that the next demo starts at once.
    """
    from gemtab.cli.serve import serve_bundles

    serve_bundles({BUNDLE_NAME: demo_bundle()}, DEFAULT_HOST, port, open_browser=browser)


def demo_bundle() -> Path:
    """Return the folder of the tiny model's bundle. Export it first if this version's bundle is missing."""
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
    """Return a digest of everything that decides the export: checkpoint, code and shader templates."""
    import hashlib

    from gemtab import resources

    digest = hashlib.sha256(resources.code_digest().encode())
    for path in sorted(checkpoint.glob("*")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
