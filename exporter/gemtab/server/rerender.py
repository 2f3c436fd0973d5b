"""Render a bundle's shaders from the current templates."""

from pathlib import Path

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.backends.webgpu.compile import build_text_plan
from gemtab.backends.webgpu.compile_tower import build_tower
from gemtab.backends.webgpu.fuse import fuse
from gemtab.backends.webgpu.fuse_tower import fuse_tower
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.folder import open_plan, read_manifest
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import Manifest, PlanEntry
from gemtab.bundle.plan import Plan
from gemtab.checkpoint import load_spec
from gemtab.graph import Graph
from gemtab.model.text import fill_graph, text_graph
from gemtab.model.towers import tower_graphs
from gemtab.quantize import planes


def rerender(folder: Path) -> dict[str, str]:
    """Return WGSL file -> text, compiled again for the bundle's plans.

    A shader's text does not depend on locations of weights, and of their values only on activation scales.
    """
    manifest, spec = read_manifest(folder), load_spec(folder)
    if not manifest.plans:
        return {}
    towers = manifest.towers
    filling = fuse(fill_graph(spec.text, media=bool(towers.image or towers.audio)))
    whole = fuse(text_graph(spec.text))
    texts: dict[str, str] = {}
    for entry in manifest.plans:
        plan, stored = _opened(folder, entry, whole.graph, manifest)
        builder, _ = build_text_plan(filling, whole, stored, entry.activation, plan.context, plan.limits)
        texts |= builder.shaders
    entries = {"image": towers.image, "audio": towers.audio}
    for graph, entry in [(graph, entry) for tower, graph in tower_graphs(spec).items() for entry in entries[tower]]:
        plan, stored = _opened(folder, entry, graph, manifest)
        builder, _ = build_tower(fuse_tower(graph), stored, plan.limits, plan.context)
        texts |= builder.shaders
    return texts


def _opened(folder: Path, entry: PlanEntry, graph: Graph, manifest: Manifest) -> tuple[Plan, StoredWeights]:
    """Return a plan of the bundle, and its graph's weights with dummy locations."""
    plan, weights = open_plan(folder, manifest, entry.file), manifest.weights
    locations: dict[tuple[str, str], Location] = {
        (weight.name, plane.name): Location("", 0, plane.bytes)
        for weight in graph.weights()
        for plane in planes(weight, weights)
    }
    held = BundleWeights(folder, weights)
    most = plan.limits.maxStorageBufferBindingSize
    return plan, StoredWeights(weights, locations, lambda weight: held.read(weight).tolist(), most)
