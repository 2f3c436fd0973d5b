"""`gemtab verify`: run every backend on a few prompts, and judge the differences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gemtab import __version__
from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.backends.onnx.check import check_graph
from gemtab.backends.webgpu.engine.device import Device, open_device
from gemtab.backends.webgpu.engine.encoder import TowerEncoder
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.backends.webgpu.engine.watch import UNWATCHED, GpuWatch
from gemtab.bundle.folder import accept_file, check_files, open_plan, read_answering_manifest
from gemtab.bundle.manifest import Manifest
from gemtab.bundle.onnx_files import graph_files
from gemtab.bundle.parity import PARITY_NAME, Backend, Comparison, Edge, ExtentChoice, OnnxGraph, Parity, Truth
from gemtab.bundle.plan import Plan
from gemtab.card import add_parity
from gemtab.checkpoint import CheckpointWeights, adapted, load_spec, open_checkpoint
from gemtab.checkpoint.adapter import adapted_spec
from gemtab.errors import BundleError, ParityError
from gemtab.model.spec import ModelSpec
from gemtab.output import write_atomically
from gemtab.parity.backends import (
    Continued,
    continue_greedily,
    onnx_logits,
    reference_logits,
    reference_work,
    webgpu_logits,
)
from gemtab.parity.compare import Logits, compare
from gemtab.parity.edge import EdgeWatch
from gemtab.parity.extent import Extent, choose_extent
from gemtab.parity.failing import failing
from gemtab.parity.progress import Progress, Stages, fill_work
from gemtab.parity.prompts import prompts
from gemtab.parity.tolerances import Tolerance, arithmetic
from gemtab.quantize import WeightReader

Explained = Callable[[Backend], Tolerance]


@dataclass(frozen=True)
class _Ran:
    """Results of the plans. found: logits by backend. texts: prompts that the f32 plan continued. edge: how close the
    f16 plan comes to the largest f16 number, even if the device cannot run that plan."""

    found: dict[Backend, list[Logits]]
    texts: list[Continued]
    edge: Edge | None


def verify_bundle(
    folder: Path,
    checkpoint: Path | None,
    progress: Progress,
    adapters: Sequence[Path] = (),
    extent: ExtentChoice = "auto",
    watch: GpuWatch = UNWATCHED,
) -> Parity:
    """Compare the bundle's backends on this machine with the reference, and write parity.json.

    checkpoint, adapters: the sources of the bundle's export. Without a checkpoint, the comparison is only with the
    bundle's own weights. watch: is notified when the command waits for the GPU. Raises BundleError where a file is
    missing or altered, is not valid ONNX, or cannot be run; ParityError where a backend differs from the bundle's own
    weights by more than its tolerance.
    """
    progress.begin("Checking the files", 0)
    manifest = read_answering_manifest(folder)
    check_files(folder, manifest)
    graphs = [OnnxGraph(file=file, nodes=check_graph(folder, file)) for file in graph_files(manifest.files)]
    plan, half = open_plan(folder, manifest, _plan_file(folder, manifest)), _half(folder, manifest)
    device = open_device(plan.limits, watch)
    chosen = choose_extent(extent, plan, device)
    stages = Stages(progress, 3 + _runs(half, device) + (checkpoint is not None))
    with failing("Running the WebGPU plans"):
        ran = _webgpu(folder, manifest, plan, half, device, chosen, stages)
    found, texts = ran.found, ran.texts
    advance = stages.begin("Running the ONNX graphs", _decoding_work(texts))
    with failing("Running the ONNX graphs"):
        found["onnx"] = onnx_logits(folder, manifest.weights, texts, advance)
    with failing("Running the reference on the bundle's weights"):
        spec = load_spec(folder)
        stored = _reference("the bundle's weights", spec, BundleWeights(folder, manifest.weights), texts, stages)
    routed = any(layer.moe for layer in spec.text.layers)

    def most(backend: Backend) -> Tolerance:
        return arithmetic("f16" if backend == "webgpu f16" else "f32", manifest.weights, routed)

    with failing("Comparing the backends"):
        comparisons = _compare_all(found, "stored weights", stored, most)
    if checkpoint is not None:
        opened = open_checkpoint(checkpoint)
        tensors = adapted(opened.tensors, adapters, opened.spec)
        truth = adapted_spec(opened.spec, tensors)
        wanted = _reference("the checkpoint", truth, CheckpointWeights(tensors, truth), texts, stages)
        comparisons += _compare_all({"reference": stored, **found}, "checkpoint", wanted, most)
    parity = Parity(
        gemtab=__version__,
        extent=chosen.name,
        prompts=len(texts),
        steps=sum(len(text.continuation) for text in texts),
        longest_prompt=max(len(text.prompt) for text in texts),
        media_tokens=sum(entry.item.tokens for text in texts for entry in text.items),
        adapter=device.name,
        f16_edge=ran.edge,
        onnx_graphs=tuple(graphs),
        comparisons=tuple(comparisons),
    )
    write_atomically(folder / PARITY_NAME, parity.model_dump_json(indent=1) + "\n")
    accept_file(folder, PARITY_NAME)
    add_parity(folder, parity)
    _judge(parity, most)
    return parity


def _half(folder: Path, manifest: Manifest) -> Plan | None:
    """Return the bundle's plan for f16, if any."""
    halves = [entry.file for entry in manifest.plans if entry.activation == "f16"]
    return open_plan(folder, manifest, halves[0]) if halves else None


def _plan_file(folder: Path, manifest: Manifest) -> str:
    found = [entry.file for entry in manifest.plans if entry.activation == "f32"]
    if not found:
        raise BundleError(f"{folder} has no f32 plan, which every bundle needs. Copy or export the bundle again.")
    return found[0]


def _runs(half: Plan | None, device: Device) -> bool:
    return half is not None and set(half.features) <= device.features


def _webgpu(
    folder: Path, manifest: Manifest, plan: Plan, half: Plan | None, device: Device, extent: Extent, stages: Stages
) -> _Ran:
    asked = prompts(folder, manifest, extent.long(plan), plan.context - extent.steps, extent)
    work = sum(fill_work(len(prompt.ids) - 1) + extent.steps for prompt in asked)
    advance = stages.begin("Running the WebGPU plan in f32", work)
    executor = TextEngine(folder, "f32", device=device, manifest=manifest)
    encoder = TowerEncoder(folder, executor)
    watch = EdgeWatch(executor.caches, half) if half else None
    texts, logits = continue_greedily(executor, asked, extent.steps, encoder, watch, advance)
    found: dict[Backend, list[Logits]] = {"webgpu f32": logits}
    edge = watch.edge if watch else None
    if _runs(half, device):
        del executor, watch  # frees the first plan's weights: a GPU may not hold both plans
        advance = stages.begin("Running the WebGPU plan in f16", work)
        executor = TextEngine(folder, "f16", device=device, manifest=manifest)
        found["webgpu f16"] = webgpu_logits(executor, texts, encoder, advance=advance)
    return _Ran(found, texts, edge)


def _decoding_work(texts: Sequence[Continued]) -> int:
    return sum(fill_work(len(text.prompt) - 1) + len(text.continuation) for text in texts)


def _reference(
    what: str, spec: ModelSpec, weights: WeightReader, texts: Sequence[Continued], stages: Stages
) -> list[Logits]:
    advance = stages.begin(f"Running the reference on {what}", reference_work(spec, len(texts)))
    return reference_logits(spec, weights, texts, advance)


def _compare_all(
    found: dict[Backend, list[Logits]], against: Truth, wanted: Sequence[Logits], most: Explained
) -> list[Comparison]:
    return [compare(backend, against, logits, wanted, most(backend)) for backend, logits in found.items()]


def _judge(parity: Parity, explained: Explained) -> None:
    """Raise ParityError where a backend exceeds its tolerance, which covers the order of f32 sums, keys and values in
    f16, and the model's own roundings and choices of experts. Errors of quantization are reported without a limit."""
    for one in parity.comparisons:
        most = explained(one.backend).kl
        if one.against == "stored weights" and not one.kl <= most:
            raise ParityError(
                f"{one.backend} differs from the reference on the bundle's weights: KL divergence {one.kl:.3g} nats, "
                f"tolerance {most:.0e} (largest logit error {one.max_error:.3g}, "
                f"greedy tokens equal on {one.greedy_match:.0%} of the prompts; adapter {parity.adapter}). "
                f"Please report this with {PARITY_NAME}, and do not publish the bundle."
            )
