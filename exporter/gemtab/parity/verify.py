"""`gemtab verify`: every backend on a few prompts, and what to make of the differences."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gemtab import __version__
from gemtab.backends.webgpu.device import open_device
from gemtab.backends.webgpu.executor import Executor
from gemtab.backends.webgpu.watch import UNWATCHED, GpuWatch
from gemtab.bundle.folder import PARITY_NAME, accept_file, check_files, open_plan, read_answering_manifest
from gemtab.bundle.manifest import Manifest
from gemtab.bundle.plan import Plan, StateBuffer
from gemtab.card import add_parity
from gemtab.chat.encoder import TowerEncoder
from gemtab.checkpoint import CheckpointWeights, adapted, load_spec, open_checkpoint
from gemtab.checkpoint.adapter import adapted_spec
from gemtab.errors import BundleError, ParityError
from gemtab.output import write_in_one_step
from gemtab.parity.backends import (
    Continued,
    continue_greedily,
    onnx_logits,
    reference_logits,
    webgpu_logits,
)
from gemtab.parity.compare import Logits, compare
from gemtab.parity.edge import EdgeWatch
from gemtab.parity.failing import failing
from gemtab.parity.prompts import prompts
from gemtab.parity.report import Backend, Comparison, Edge, Parity, Truth
from gemtab.parity.stored import BundleWeights
from gemtab.parity.tolerances import Tolerance, arithmetic

STEPS = 24
"""Tokens compared after each prompt."""

Announce = Callable[[str], None]
Explained = Callable[[Backend], Tolerance]


def verify_bundle(
    folder: Path,
    checkpoint: Path | None,
    announce: Announce,
    adapters: Sequence[Path] = (),
    watch: GpuWatch = UNWATCHED,
) -> Parity:
    """Compares the bundle's backends on this machine with the reference, and writes parity.json.

    checkpoint, adapters: what the bundle was exported from; without a checkpoint the truth is what the bundle's own
    weights stand for. watch: told when the GPU is waited for.
    Raises BundleError where a file is missing or altered, or cannot be run, and ParityError where a backend is further
    from the bundle's own weights than arithmetic explains.
    """
    announce("Checking the files")
    manifest = read_answering_manifest(folder)
    check_files(folder, manifest)
    announce("Running the WebGPU plans")
    with failing("Running the WebGPU plans"):
        found, texts, adapter, edge = _webgpu(folder, manifest, watch)
    announce("Running the ONNX graphs")
    with failing("Running the ONNX graphs"):
        found["onnx"] = onnx_logits(folder, manifest.weights, texts)
    announce("Running the reference on the bundle's weights")
    with failing("Running the reference on the bundle's weights"):
        spec = load_spec(folder)
        stored = reference_logits(spec, BundleWeights(folder, manifest.weights), texts)
    routed = any(layer.moe for layer in spec.text.layers)

    def most(backend: Backend) -> Tolerance:
        return arithmetic("f16" if backend == "webgpu f16" else "f32", manifest.weights, routed)

    with failing("Comparing the backends"):
        comparisons = _compare_all(found, "stored weights", stored, most)
    if checkpoint is not None:
        announce("Running the reference on the checkpoint")
        opened = open_checkpoint(checkpoint)
        tensors = adapted(opened.tensors, adapters, opened.spec)
        truth = adapted_spec(opened.spec, tensors)
        wanted = reference_logits(truth, CheckpointWeights(tensors, truth), texts)
        comparisons += _compare_all({"reference": stored, **found}, "checkpoint", wanted, most)
    parity = Parity(
        gemtab=__version__,
        prompts=len(texts),
        steps=sum(len(text.continuation) for text in texts),
        longest_prompt=max(len(text.prompt) for text in texts),
        media_tokens=sum(placed.item.tokens for text in texts for placed in text.items),
        adapter=adapter,
        f16_edge=edge,
        comparisons=tuple(comparisons),
    )
    write_in_one_step(folder / PARITY_NAME, parity.model_dump_json(indent=1) + "\n")
    accept_file(folder, PARITY_NAME)
    add_parity(folder, parity)
    _judge(parity, most)
    return parity


def _webgpu(
    folder: Path, manifest: Manifest, watch: GpuWatch
) -> tuple[dict[Backend, list[Logits]], list[Continued], str, Edge | None]:
    """Logits of each plan, on texts that the f32 plan continues; the adapter's name; and how near the plan for f16
    comes to its end, whether the adapter runs it or not."""
    plan = open_plan(folder, manifest, _plan_file(folder, manifest))
    device = open_device(plan.limits, watch)
    executor = Executor(folder, "f32", device=device, manifest=manifest)
    most = executor.context - STEPS
    encoder = TowerEncoder(folder, executor)
    texts = [
        continue_greedily(executor, prompt.ids, STEPS, prompt.items, encoder)
        for prompt in prompts(folder, manifest, _wrapping_length(plan), most)
    ]
    halves = [open_plan(folder, manifest, entry.file) for entry in manifest.plans if entry.activation == "f16"]
    edge = EdgeWatch(executor.runner, halves[0]) if halves else None
    found: dict[Backend, list[Logits]] = {"webgpu f32": webgpu_logits(executor, texts, encoder, edge)}
    if halves and "shader-f16" in device.features:
        half = Executor(folder, "f16", device=device, manifest=manifest)
        found["webgpu f16"] = webgpu_logits(half, texts, TowerEncoder(folder, half))
    return found, texts, device.name, edge.edge if edge else None


def _plan_file(folder: Path, manifest: Manifest) -> str:
    found = [entry.file for entry in manifest.plans if entry.activation == "f32"]
    if not found:
        raise BundleError(f"{folder} has no f32 plan, which every export has. Copy or export the bundle again.")
    return found[0]


def _wrapping_length(plan: Plan) -> int:
    """Tokens after which the largest ring cache has been written once over, and a half more."""
    rings = [buffer.ring.rows for buffer in plan.buffers.values() if isinstance(buffer, StateBuffer) and buffer.ring]
    return 3 * max(rings, default=64) // 2


def _compare_all(
    found: dict[Backend, list[Logits]], against: Truth, wanted: Sequence[Logits], most: Explained
) -> list[Comparison]:
    return [compare(backend, against, logits, wanted, most(backend)) for backend, logits in found.items()]


def _judge(parity: Parity, explained: Explained) -> None:
    """What arithmetic explains is f32 sums in another order, or keys and values in f16, and what the model's own
    roundings and choices of experts make of them. Quantisation is another matter, and reported without a limit."""
    for one in parity.comparisons:
        most = explained(one.backend).kl
        if one.against == "stored weights" and not one.kl <= most:
            raise ParityError(
                f"{one.backend} differs from what the bundle's weights stand for: KL divergence {one.kl:.3g} nats, "
                f"where arithmetic explains {most:.0e} (largest logit error {one.max_error:.3g}, "
                f"greedy tokens equal on {one.greedy_match:.0%} of the prompts; adapter {parity.adapter}). "
                f"Please report this with {PARITY_NAME}; the bundle should not be published."
            )
