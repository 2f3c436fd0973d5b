"""`gemtab verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemtab.bundle.parity import ExtentChoice
from gemtab.cli.console import err, print_json, stage_progress
from gemtab.cli.extras import require
from gemtab.errors import UsageError

if TYPE_CHECKING:
    from gemtab.bundle.manifest import Manifest


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="The checkpoint of the bundle: a folder, or an id on the hub. Without it, backends are compared with "
            "the reference on the bundle's weights only."
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a checkpoint on the hub.")] = None,
    adapter: Annotated[
        list[Path] | None, typer.Option(help="Folder of a merged adapter. May be repeated, in the export's order.")
    ] = None,
    extent: Annotated[
        ExtentChoice,
        typer.Option(
            help="Amount of comparison. full: 24 tokens after each of up to six prompts. short: 8 tokens, and images "
            "of little detail. quick: 4 tokens after up to three prompts, none longer than the sliding window. auto: "
            "full, but short for a model of more than 1 GB without a GPU."
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare reference, ONNX graphs and WebGPU plans on this machine, and write parity.json into the bundle.

    First every file is checked against its digest. Then each backend continues a few prompts, one of them longer than
    the sliding window. The logits are compared with the reference's, on the bundle's weights and on the checkpoint's.
    A large model takes minutes, and longer without a GPU: --extent shortens the comparison.
    """
    require("wgpu", "onnxruntime")
    from gemtab.bundle.folder import read_answering_manifest
    from gemtab.checkpoint.hub import checkpoint_folder
    from gemtab.cli.tables import print_parity
    from gemtab.parity.verify import verify_bundle

    shown = err.is_terminal and not as_json
    source = None if checkpoint is None else checkpoint_folder(checkpoint, revision, shown)
    with stage_progress(quiet=as_json, unit="share") as progress:
        manifest = read_answering_manifest(bundle)
        adapters = adapter or []
        _check_adapters(bundle, manifest, source, adapters)
        parity = verify_bundle(bundle, source, progress, adapters, extent, context.obj)
    if manifest.inputs != ("text",) and not parity.media_tokens:
        err.print(
            f"Towers were not compared: a prompt with images or audio does not fit the context of {manifest.context} "
            "tokens. Export with a larger --context to compare them."
        )
    if as_json:
        print_json(parity.model_dump_json(indent=1))
    else:
        print_parity(parity)


def _check_adapters(bundle: Path, manifest: "Manifest", checkpoint: Path | None, given: list[Path]) -> None:
    """Raise UsageError where the checkpoint and adapters given are not those of the export."""
    if given and checkpoint is None:
        raise UsageError("--adapter needs --checkpoint, the checkpoint that the adapters were merged into.")
    from gemtab.checkpoint.naming import name_of

    wanted, found = list(manifest.source.adapters), [name_of(folder).text for folder in given]
    if checkpoint is not None and wanted != found:
        raise UsageError(
            f"{bundle} was exported with {_adapters(wanted)}, not with {_adapters(found)}. Give each one by --adapter, "
            "in the same order."
        )


def _adapters(names: list[str]) -> str:
    return f"the adapters {', '.join(names)}" if names else "no adapter"
