"""`gemtab publish`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gemtab.cli.console import err, out, size


def command(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    to: Annotated[
        str | None, typer.Option(help="Model repository on the hub, user/name. It is created if it does not exist.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files that would be uploaded.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Upload a bundle to a model hub. Without --to, print commands for other static hosts.

    Every file is first checked against its digest. HF_ENDPOINT and HF_TOKEN have the same meaning as for
    huggingface_hub.
    """
    from gemtab.publish import files_to_publish, host_commands, upload

    files = files_to_publish(bundle)
    if to is None:
        _print_commands(host_commands(bundle))
        return
    if dry_run:
        _print_files(files, f"Would be uploaded to {to}")
        return
    err.print(f"Uploading {len(files)} files, {size(sum(files.values()))}, to {to}")
    out.print(f"Published: {upload(bundle, files, to, private)}", soft_wrap=True)


def _print_commands(commands: dict[str, str]) -> None:
    out.print("The bundle is a folder of static files. Any HTTPS host that supports range requests can serve it.\n")
    for host, line in commands.items():
        out.print(f"{host}:\n    {line}", soft_wrap=True)
    out.print(
        "\nName the folder in bundles/index.json, which the site's index.html reads, or in your own page. If the page "
        "has another origin, let the host answer with `Access-Control-Allow-Origin`. Upload gemtab.json last, so that "
        "nobody loads an incomplete bundle.",
        soft_wrap=True,
    )


def _print_files(files: dict[str, int], title: str) -> None:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right")
    for name, count in files.items():
        table.add_row(name, size(count))
    table.add_row(f"{len(files)} files", size(sum(files.values())))
    out.print(table)
