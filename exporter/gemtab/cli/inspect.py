"""`gemtab inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from gemtab.cli.console import out


def command(
    path: Annotated[Path, typer.Argument(help="Folder of a bundle or of a checkpoint, or a GGUF file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what a bundle holds and needs, or what a checkpoint is and would become."""
    from gemtab.cli.tables import print_bundle, print_checkpoint
    from gemtab.summary import BundleSummary, summarise

    summary = summarise(path)
    if as_json:
        out.file.write(summary.model_dump_json(indent=1) + "\n")
    elif isinstance(summary, BundleSummary):
        print_bundle(summary, f"Bundle {path}")
    else:
        print_checkpoint(summary, f"Checkpoint {path}")
