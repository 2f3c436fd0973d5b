"""A bundle's shaders as the templates would have them now."""

from pathlib import Path

from gemtab.backends.webgpu.compile import build_text_plan
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.shards import Location
from gemtab.checkpoint import load_spec
from gemtab.model.text import fill_graph, text_graph
from gemtab.quantize import planes


def rerender(folder: Path) -> dict[str, str]:
    """WGSL file of the bundle -> its text, compiled anew for what the bundle holds.

    Neither where weights lie nor what they are has a part in a shader's text, so none are read.
    """
    manifest, spec = read_manifest(folder), load_spec(folder).text
    filling, whole = fill_graph(spec), text_graph(spec)
    locations: dict[tuple[str, str], Location] = {
        (weight.name, plane.name): Location("", 0, plane.bytes)
        for weight in whole.weights()
        for plane in planes(weight, manifest.weights)
    }
    texts: dict[str, str] = {}
    for entry in manifest.plans:
        plan = load_plan(folder / entry.file)
        stored = StoredWeights(manifest.weights, locations, lambda _: 1.0, plan.limits.maxStorageBufferBindingSize)
        builder, _ = build_text_plan(filling, whole, stored, entry.activation, plan.context, plan.limits)
        texts |= builder.shaders
    return texts
