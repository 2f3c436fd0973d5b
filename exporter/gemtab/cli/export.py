"""`gemtab export`."""

import time
from pathlib import Path
from typing import Annotated, get_args

import typer

from gemtab.bundle.manifest import WeightFormat
from gemtab.cli.console import out, stage_progress
from gemtab.errors import UsageError


def weight_format(text: str) -> WeightFormat:
    """A weight format from the command line."""
    for name in get_args(WeightFormat):
        if text == name:
            found: WeightFormat = name
            return found
    raise typer.BadParameter(f"{text!r} is none of {', '.join(get_args(WeightFormat))}.")


def command(
    source: Annotated[
        Path, typer.Argument(help="Folder of a Gemma checkpoint, as transformers saves it, or a GGUF file.")
    ],
    out_folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the bundle to be made.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="How weights are stored: f32, f16, q8, q4 (4 bits, blocks of 32), or qat (codes that the checkpoint "
            "was trained with). [default: qat where there are such, else q4]"
        ),
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="Most tokens of a conversation. [default: what the model takes, at most 32768]")
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="What the bundle takes: text and of image, video, audio. [default: all that the model takes]"
        ),
    ] = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a LoRA adapter to merge; given several times, they are merged in this order."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is at OUT already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Compile a checkpoint into a bundle: a folder of static files that any web server can offer."""
    from gemtab.cli.tables import print_bundle
    from gemtab.export import export_bundle
    from gemtab.summary import summarise_bundle

    if not source.exists():
        raise UsageError(f"There is no folder or file {source}. SOURCE is the folder of a checkpoint, or a GGUF file.")
    chosen = None if weights is None else weight_format(weights)
    started = time.monotonic()
    with stage_progress(quiet=as_json) as progress:
        taken = None if inputs is None else inputs.split(",")
        adapters = adapter or []
        export_bundle(source, out_folder, chosen, context, force, progress, inputs=taken, adapters=adapters)
    summary = summarise_bundle(out_folder)
    if as_json:
        out.file.write(summary.model_dump_json(indent=1) + "\n")
        return
    print_bundle(summary, f"Exported {source} to {out_folder} in {time.monotonic() - started:.1f} s")
    merged = "".join(f" --adapter {folder}" for folder in adapters)
    out.print(f"\nNext: `gemtab verify {out_folder} --checkpoint {source}{merged}`, `gemtab serve {out_folder}`.")
