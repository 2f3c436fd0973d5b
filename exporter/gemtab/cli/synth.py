"""`gemtab synth`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from gemtab.cli.console import out, size, stage_progress
from gemtab.cli.extras import require


def command(
    model: Annotated[str, typer.Argument(metavar="SIZE", help="E2B, E4B, 12B, 26B-A4B or 31B.")],
    out_folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new checkpoint.")],
    layers: Annotated[int | None, typer.Option(help="Keep only the first layers of each stack. [default: all]")] = None,
    experts: Annotated[int | None, typer.Option(help="Keep only this many experts. [default: all]")] = None,
    qat: Annotated[
        bool,
        typer.Option("--qat", help="E2B, E4B: pre-quantized to 2, 4 and 8 bits, as for mobile devices."),
    ] = False,
) -> None:
    """Write a random checkpoint in the true shape of a published model, to measure an export or a tab.

    The checkpoint has every tensor, a tokenizer of the true size and all other files. Its answers make no sense.
    """
    require("transformers", extra="synth")
    from gemtab.commands import command_line
    from gemtab.synth import synthesise

    started = time.monotonic()
    with stage_progress() as progress:
        progress.begin("Listing the tensors")
        synthesise(model, out_folder, layers, experts, progress.begin, progress.advance, qat)
    written = sum(path.stat().st_size for path in out_folder.iterdir())
    out.print(f"Wrote {size(written)} to {out_folder} in {time.monotonic() - started:.1f} s")
    export = command_line("gemtab", "export", out_folder, "BUNDLE")
    out.print(f"\nNext: `{export}`.", soft_wrap=True)
