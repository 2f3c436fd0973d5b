"""`gemtab inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from gemtab.cli.console import byte_count, print_json
from gemtab.errors import DeviceError, UsageError


def command(
    path: Annotated[
        Path, typer.Argument(help="Folder of a bundle or of a checkpoint, a GGUF file, or a single config.json.")
    ],
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="MEMORY",
            help="Only say whether the bundle fits into this GPU memory, such as 8GB or 6GiB. Exit code 5 if not.",
        ),
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="With --fit: tokens of the conversation. [default: the bundle's]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show what a bundle contains and needs, or what a checkpoint is and which bundle it would become."""
    if fit is not None:
        _fit(path, byte_count(fit), context, as_json)
        return
    if context is not None:
        raise UsageError("--context needs --fit MEMORY. Add --fit, or leave --context out.")
    from gemtab.cli.tables import print_bundle, print_checkpoint
    from gemtab.summary import BundleSummary, summarise

    summary = summarise(path)
    if as_json:
        print_json(summary.model_dump_json(indent=1))
    elif isinstance(summary, BundleSummary):
        print_bundle(summary, f"Bundle {path}")
    else:
        print_checkpoint(summary, f"Checkpoint {path}")


def _fit(path: Path, memory: int, context: int | None, as_json: bool) -> None:
    import json

    from gemtab.bundle.folder import check_small_files, open_plan, read_answering_manifest
    from gemtab.bundle.manifest_check import plan_entries
    from gemtab.cli.tables import print_fit
    from gemtab.fit import fit

    manifest = read_answering_manifest(path)
    check_small_files(path, manifest)
    for entry in plan_entries(manifest):
        open_plan(path, manifest, entry.file)  # checks the plan's memory against the manifest
    found = fit(manifest, memory, context)
    if as_json:
        print_json(json.dumps([one.model_dump() for one in found], indent=1))
    else:
        print_fit(found, f"Bundle {path}")
    if found[0].verdict != "fits":
        raise typer.Exit(DeviceError.exit_code)
