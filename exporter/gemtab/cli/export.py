"""`gemtab export`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gemtab.bundle.manifest import WeightFormat
from gemtab.cli.console import err, out, print_json, stage_progress


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of a Gemma checkpoint as transformers saves it, a GGUF file, or a model id on the hub, "
            "such as google/gemma-4-E2B-it."
        ),
    ],
    out_folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new bundle.")],
    weights: Annotated[
        WeightFormat | None,
        typer.Option(
            help="Format of the weights: f32, f16, q8, q4 (4 bits in blocks of 32), or qat (the integer weights of a "
            "pre-quantized checkpoint). [default: qat for pre-quantized checkpoints, else q4]"
        ),
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="Maximum tokens of a conversation. [default: the model's maximum, at most 32768]")
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Inputs of the bundle, separated by commas: text, image, video, audio. [default: all of the model]"
        ),
    ] = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a LoRA adapter to merge. May be repeated; adapters are merged in this order."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a model on the hub. [default: its main branch]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle at OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Compile a checkpoint into a bundle: a folder of static files for any web server.

    An export that was interrupted, killed or stopped by a full disk leaves the folder OUT.partial. The same command
    then resumes the export.
    """
    from gemtab.checkpoint.hub import checkpoint_folder, is_hub_id
    from gemtab.cli.tables import print_bundle
    from gemtab.commands import command_line
    from gemtab.export import check_output, check_without_weights, export_bundle
    from gemtab.summary import summarise_bundle

    taken = None if inputs is None else inputs.split(",")
    adapters = adapter or []
    check_output(out_folder, force)
    checkpoint = checkpoint_folder(
        source,
        revision,
        show_progress=err.is_terminal and not as_json,
        check=lambda folder: check_without_weights(folder, weights, context, taken, adapters),
    )
    started = time.monotonic()
    with _interruption_explained(out_folder), stage_progress(quiet=as_json) as progress:
        export_bundle(
            checkpoint,
            out_folder,
            weights,
            context,
            force,
            progress,
            inputs=taken,
            adapters=adapters,
            name=source if is_hub_id(source) else None,
        )
    summary = summarise_bundle(out_folder)
    if as_json:
        print_json(summary.model_dump_json(indent=1))
        return
    print_bundle(summary, f"Exported {source} to {out_folder} in {time.monotonic() - started:.1f} s")
    if not summary.plans:
        return
    merged = [word for folder in adapters for word in ("--adapter", folder)]
    pinned = [] if revision is None else ["--revision", revision]
    verify = command_line("gemtab", "verify", out_folder, "--checkpoint", source, *merged, *pinned)
    serve = command_line("gemtab", "serve", out_folder)
    out.print(f"\nNext: `{verify}`, `{serve}`.", soft_wrap=True)


@contextmanager
def _interruption_explained(out_folder: Path) -> Iterator[None]:
    """After Ctrl-C, say what is kept."""
    from gemtab.weight_files.partial import kept_note

    try:
        yield
    except KeyboardInterrupt:
        err.print(kept_note(out_folder), soft_wrap=not err.is_terminal)
        raise
