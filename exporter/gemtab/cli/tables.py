"""Tables that commands print at their end."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from gemtab.bundle.parity import Edge, Parity
from gemtab.cli.console import out, size
from gemtab.fit import Fit
from gemtab.grid_report import grid_words, inexact_words
from gemtab.shown import shown
from gemtab.summary import BundleSummary, CheckpointSummary, MemorySummary, ProgramSummary

_UNITS = {"fill": "a prompt chunk", "decode": "a decoded token", "image": "an image", "audio": "an audio segment"}
"""The unit of one step of a program, or of one run of a tower."""


class _Facts(Table):
    """A table of names and values. Values are not markup."""

    def add_fact(self, name: str, value: str) -> None:
        """Add a row."""
        self.add_row(name, Text(shown(value)))


def _facts(title: str) -> _Facts:
    table = _Facts(title=Text(shown(title)), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _parameters(summary: BundleSummary | CheckpointSummary) -> str:
    """Return the parameters of the whole model, and of its text stack where the model has more parts."""
    text = f", {summary.text_parameters:,} of them in the text stack"
    return f"{summary.parameters:,} parameters" + (text if summary.text_parameters < summary.parameters else "")


def print_bundle(summary: BundleSummary, title: str) -> None:
    """Print a bundle's source, sizes, programs, memory and parity."""
    table = _facts(title)
    source = summary.source
    table.add_fact("model", f"{source.name} ({source.model_type}), {_parameters(summary)}")
    if source.adapters:
        table.add_fact("adapters", ", ".join(source.adapters))
    table.add_fact("licence", source.licence or "not stated in the checkpoint")
    table.add_fact("takes", ", ".join(summary.inputs))
    table.add_fact("context", f"{summary.context:,} tokens")
    table.add_fact(
        "weights", f"{summary.weights}, {summary.bits_per_weight:.2f} bits a weight, {size(summary.weight_bytes)}"
    )
    if summary.grid:
        table.add_fact("trained for Q4_0", grid_words(summary.grid))
        for one in summary.grid.others:
            table.add_fact("", inexact_words(one))
    if summary.no_transformers_js:
        table.add_fact("transformers.js", f"does not load the onnx folder: {summary.no_transformers_js}")
    table.add_fact("files", f"{size(sum(summary.sizes.values()))} in all")
    for kind, count in summary.sizes.items():
        table.add_fact("", f"{size(count)} {kind}")
    for plan in summary.plans:
        for name, program in plan.programs.items():
            table.add_fact(f"{plan.activation} {name}", _program(name, program))
    for tower, plans in summary.towers.items():
        for plan in plans:
            table.add_fact(tower, _program(tower, plan.programs["encode"]))
    for memory in summary.memory:
        table.add_fact(f"{memory.activation} memory", _memory(memory))
    if summary.draft:
        table.add_fact("drafts for", _target(summary.draft.target_hidden))
    elif summary.parity is None:
        table.add_fact("parity", "not verified yet: `gemtab verify`")
    _add_notes(table, summary.notes)
    out.print(table)
    if summary.parity:
        print_parity(summary.parity)


def _add_notes(table: _Facts, notes: Sequence[str]) -> None:
    for index, note in enumerate(notes):
        table.add_fact("" if index else "note" if len(notes) == 1 else "notes", note)


def print_fit(found: Sequence[Fit], title: str) -> None:
    """Print whether a bundle's plans fit, and advice where they do not."""
    table = _facts(title)
    for one in found:
        verdict = {
            "fits": f"fits into {size(one.memory)} with a context of {one.context:,} tokens",
            "smaller context": f"fits into {size(one.memory)} with a context of up to {one.max_context:,} tokens",
            "does not fit": f"does not fit into {size(one.memory)}",
        }[one.verdict]
        need = f"needs {size(one.needed)} with a context of {one.context:,} tokens: {_parts(one)}"
        kept = ", its per-layer embeddings kept in the browser's storage (slower)" if one.embeddings == "host" else ""
        table.add_fact(f"{one.activation} plan", verdict + ("" if one.verdict == "does not fit" else kept))
        table.add_fact("", need)
        if one.advice:
            table.add_fact("", f"To make it fit: {'; '.join(one.advice)}.")
    out.print(table)


def _target(hidden: int) -> str:
    return f"the model that it was trained with, of hidden size {hidden:,}; it cannot answer without that model"


def _memory(memory: MemorySummary) -> str:
    return f"at most {size(memory.needed)} of GPU memory: {_parts(memory)}"


def _parts(memory: MemorySummary | Fit) -> str:
    parts = f"weights {size(memory.weights)}, caches {size(memory.state)}, scratch {size(memory.scratch)}"
    return parts + (f", {size(memory.towers)} more at the first image or audio" if memory.towers else "")


def _program(name: str, program: ProgramSummary) -> str:
    unit = _UNITS.get(name, "a step")
    tokens = f" of {program.tokens} tokens" if program.tokens > 1 else ""
    grows = program.dispatches_at_most > program.dispatches
    late = f"; {program.dispatches_at_most} at the end of the context" if grows else ""
    return f"{program.dispatches} dispatches {unit}{tokens}, at most {program.longest_layer} a layer{late}"


def print_checkpoint(summary: CheckpointSummary, title: str) -> None:
    """Print a checkpoint's sizes, and the bytes of its bundles."""
    table = _facts(title)
    table.add_fact("model", f"{summary.name} ({summary.model_type}), {_parameters(summary)}")
    kinds = f"{summary.sliding_layers} sliding (window {summary.window}), {summary.layers_owning_kv} with their own KV"
    if summary.target_hidden:
        kinds = f"{summary.sliding_layers} sliding, all with the target's KV"
        table.add_fact("drafts for", _target(summary.target_hidden))
    table.add_fact("layers", f"{summary.layers}: {kinds}")
    table.add_fact("sizes", f"hidden {summary.hidden:,}, vocabulary {summary.vocabulary:,}")
    if summary.per_layer_size:
        table.add_fact("per-layer embeddings", str(summary.per_layer_size))
    if summary.experts:
        table.add_fact("experts", str(summary.experts))
    table.add_fact("context", f"{summary.context:,} tokens")
    for format_, count in summary.export_bytes.items():
        table.add_fact(f"as {format_}", size(count) + ("" if summary.target_hidden else " for a tab to load"))
    _add_notes(table, summary.notes)
    out.print(table)


def print_parity(parity: Parity) -> None:
    """Print the parity report."""
    media = f", {parity.media_tokens} of images, frames and audio" if parity.media_tokens else ""
    title = (
        f"Parity over {parity.steps} tokens of {parity.prompts} prompts, the longest of {parity.longest_prompt} tokens"
        f"{media} ({parity.adapter})"
    )
    table = Table(title=Text(shown(title)), title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("backend")
    table.add_column("against")
    for name in ("max error", "RMS error", "KL", "top-1", "near ties", "greedy match"):
        table.add_column(name, justify="right")
    for one in parity.comparisons:
        numbers = (f"{one.max_error:.2g}", f"{one.rms_error:.2g}", f"{one.kl:.2g}")
        table.add_row(
            one.backend, one.against, *numbers, f"{one.top1:.1%}", str(one.near_ties), f"{one.greedy_match:.0%}"
        )
    out.print(table)
    if parity.onnx_graphs:
        count, nodes = len(parity.onnx_graphs), sum(graph.nodes for graph in parity.onnx_graphs)
        out.print(f"ONNX: {count} graphs with {nodes:,} nodes pass onnx's checker and strict shape inference.")
    if parity.f16_edge:
        out.print(_edge(parity.f16_edge))
    if parity.extent != "full":
        missing = " No prompt was longer than the sliding window." if parity.extent == "quick" else ""
        out.print(f"Extent: {parity.extent}.{missing} `gemtab verify --extent full` compares more.")


def _edge(edge: Edge) -> str:
    return f"Largest number kept in f16: {edge.share:.1%} of 65,504 ({edge.cache}); the scales of caches allow 50%."
