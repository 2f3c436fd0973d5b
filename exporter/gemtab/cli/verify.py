"""`gemtab verify`."""

from pathlib import Path
from typing import Annotated

import typer

from gemtab.cli.console import out, stage_progress
from gemtab.cli.extras import require


def command(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint it was exported from; without it, only the arithmetic is compared."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare reference, ONNX graphs and WebGPU plans on this machine, and write parity.json into the bundle.

    First every file is checked against its digest. Then each way of running the bundle continues a few prompts, one
    of them longer than the sliding window; the logits are compared with the reference's, on the bundle's own weights
    and on the checkpoint's.
    """
    require("wgpu", "onnxruntime")
    from gemtab.bundle.folder import check_files, read_manifest
    from gemtab.cli.tables import print_parity
    from gemtab.parity.verify import verify_bundle

    with stage_progress(quiet=as_json) as progress:
        progress.begin("Checking the files")
        check_files(bundle, read_manifest(bundle))
        parity = verify_bundle(bundle, checkpoint, progress.begin)
    if as_json:
        out.file.write(parity.model_dump_json(indent=1) + "\n")
    else:
        print_parity(parity)
