"""Whole towers on the GPU against the reference, their plans, and the inputs that they reject."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gemtab.backends.reference import Reference
from gemtab.backends.webgpu.compile_tower import MAX_TOKENS, build_tower, tower_plan
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.load import load_tower
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.backends.webgpu.fuse_tower import fuse_tower
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import Tower, WeightFormat
from gemtab.bundle.plan import Limits, Plan, ScratchBuffer, evaluate
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.errors import ContextError, DeviceError, UsageError
from gemtab.export import export_bundle
from gemtab.graph import Weight
from gemtab.model.audio import audio_graph
from gemtab.model.spec import AudioSpec, ModelSpec, PatchSpec, TextSpec, VisionSpec
from gemtab.model.towers import tower_graphs
from gemtab.model.vision import vision_graph
from gemtab.parity.tolerances import TOWERS as TOLERANCES
from gemtab.quantize import WeightReader, planes
from gemtab.server.rerender import rerender
from gemtab.synth import published_config
from tests.silent import Silent
from tests.variants import TOWERS, variant
from tests.webgpu.towers import TowerOnDevice, as_arrays, patch_grid

Devices = Callable[[bool], Device]
Opened = Callable[[str], tuple[ModelSpec, CheckpointWeights]]

ALL: list[tuple[str, Tower]] = [
    *((name, "image") for name, recipe in TOWERS.items() if recipe.vision),
    *((name, "audio") for name, recipe in TOWERS.items() if recipe.audio),
]
WIDE = ("e2b_towers", "large_tower")
STORED: list[WeightFormat] = ["f32", "q4", "q8", "f16"]
"""Formats. Wide towers, which are slow here, run in the first two only."""
SMALL = Limits(maxStorageBufferBindingSize=65536)
VALIDATOR = Path(__file__).parents[2] / "webruntime" / "scripts" / "validate-wgsl.mjs"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """The spec and the weights of a variant, written once."""

    @cache
    def open_variant(name: str) -> tuple[ModelSpec, CheckpointWeights]:
        folder = variant(name, tmp_path_factory.mktemp(name))
        spec = load_spec(folder)
        return spec, CheckpointWeights(Checkpoint.open(folder), spec)

    return open_variant


def image(spec: ModelSpec, across: int, down: int) -> dict[str, torch.Tensor]:
    """A random image of across * down soft tokens."""
    towerless = isinstance(spec.vision, PatchSpec)
    side, width = (1, 3 * 48**2) if towerless else (3, 3 * 16**2)
    positions = patch_grid(across * side, down * side)
    pixels = torch.rand(len(positions), width, generator=torch.Generator().manual_seed(2))
    return {"pixel_values": pixels, "pixel_position_ids": positions}


def test_a_tower_of_codes_rounds_as_the_reference_does(opened: Opened, tmp_path: Path, devices: Devices) -> None:
    """Most rows equal the reference's; a value at a rounding edge changes its row."""
    spec, weights = opened("coded_tower")
    graph = tower_graphs(spec)["image"]
    tower = TowerOnDevice.make(graph, tmp_path, devices(True), "qat", weights=weights)
    assert any("matmul-fill.rows2.f" not in name and ".codes" in name for name in tower.runner.plan.kernels)
    found, expected = tower.run(**image(spec, 5, 4))
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert float(error.median()) < 0.02
    assert float(error.max()) < 0.3


def audio(spec: ModelSpec, frames: int) -> dict[str, torch.Tensor]:
    """Random features of audio."""
    width = spec.audio.bins if isinstance(spec.audio, AudioSpec) else 640
    return {"input_features": torch.randn(frames, width, generator=torch.Generator().manual_seed(3))}


def media(spec: ModelSpec, tower: Tower, small: bool = False) -> Iterator[dict[str, torch.Tensor]]:
    """Images: a rectangle, a strip, a single cell. Audio that ends within a token, and longer than a window."""
    if tower == "image":
        yield from (image(spec, *cells) for cells in ([(2, 1), (1, 1)] if small else [(3, 2), (5, 1), (1, 1)]))
    else:
        yield from (audio(spec, frames) for frames in ([1] if small else [57, 1, 4, 130, 131, 133]))


def assert_rows(found: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance, size = TOLERANCES, float(expected.square().mean().sqrt())
    error = found - expected
    assert float(error.abs().max()) <= tolerance.max * size
    assert float(error.square().mean().sqrt()) <= tolerance.rms * size


@pytest.mark.parametrize(
    ("name", "tower", "stored"), [(*one, s) for one in ALL for s in STORED[: 2 if one[0] in WIDE else None]]
)
def test_rows(
    name: str,
    tower: Tower,
    stored: WeightFormat,
    opened: Opened,
    devices: Devices,
    tmp_path: Path,
) -> None:
    spec, weights = opened(name)
    graph = tower_graphs(spec)[tower]
    run = TowerOnDevice.make(graph, tmp_path, devices(True), stored, weights=weights)
    for index, inputs in enumerate(media(spec, tower)):
        if index == 0 or name not in WIDE:
            assert_rows(*run.run(**inputs))


@pytest.mark.parametrize("stored", ["q4", "f32"])
@pytest.mark.parametrize("tower", ["image", "audio"])
def test_rows_of_12b_at_its_true_shape(tower: Tower, stored: WeightFormat, devices: Devices, tmp_path: Path) -> None:
    """Patches of 48 x 48 and frames of 640 samples, projected to 3,840 numbers."""
    spec = parse_config(published_config("12B"), "12B")
    run = TowerOnDevice.make(tower_graphs(spec)[tower], tmp_path, devices(True), stored)
    found, expected = run.run(**next(media(spec, tower)))
    assert expected.shape[1] == 3840
    assert_rows(found, expected)


@pytest.mark.parametrize("weight_format", ["f32", "q4"])
@pytest.mark.parametrize(("name", "tower"), [one for one in ALL if one[0] not in (*WIDE, "towerless")])
def test_rows_within_small_limits(
    name: str, tower: Tower, weight_format: WeightFormat, opened: Opened, devices: Devices, tmp_path: Path
) -> None:
    """Bindings of 64 KiB: matrices and position tables in pieces; two soft tokens of an image, one of audio."""
    spec, weights = opened(name)
    graph = tower_graphs(spec)[tower]
    run = TowerOnDevice.make(graph, tmp_path, devices(True), weight_format, SMALL, weights)
    assert run.runner.plan.context == {"image": 2, "audio": 1}[tower]
    for inputs in media(spec, tower, small=True):
        assert_rows(*run.run(**inputs))


def test_rows_of_an_image_whose_mlp_goes_in_parts(
    opened: Opened, devices: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of 64 patches: an image of 171 has three, the last one not full; an image of 18 has one."""
    monkeypatch.setattr("gemtab.backends.webgpu.lower_tower.MLP_ROWS", 64)
    for name in ("seeing", "coded_tower"):
        folder = tmp_path / name
        folder.mkdir()
        spec, weights = opened(name)
        form: WeightFormat = "qat" if name == "coded_tower" else "f32"
        run = TowerOnDevice.make(tower_graphs(spec)["image"], folder, devices(True), form, weights=weights)
        for cells in ((19, 1), (2, 1)):
            found, expected = run.run(**image(spec, *cells))
            if form == "qat":
                assert float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).median()) < 0.02
            else:
                assert_rows(found, expected)


def test_rows_without_subgroups(opened: Opened, devices: Devices, tmp_path: Path) -> None:
    both: list[tuple[str, Tower]] = [("seeing", "image"), ("hearing", "audio")]
    for name, tower in both:
        folder = tmp_path / name
        folder.mkdir()
        spec, weights = opened(name)
        run = TowerOnDevice.make(tower_graphs(spec)[tower], folder, devices(False), weights=weights)
        for inputs in media(spec, tower):
            assert_rows(*run.run(**inputs))


@dataclass(frozen=True)
class Loud:
    """Weights with a patch embedding so large that all residuals are large."""

    weights: WeightReader

    def read(self, weight: Weight) -> torch.Tensor:
        return self.weights.read(weight) * (1e6 if weight.name.endswith("input_proj") else 1.0)

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        return self.read(weight)[start:stop]


def test_features_beyond_f16_stay_exact(opened: Opened, devices: Devices, tmp_path: Path) -> None:
    spec, weights = opened("seeing")
    graph, inputs = tower_graphs(spec)["image"], image(spec, 3, 2)
    pooled = next(node for node in graph.nodes if node.op == "pool").output
    (features,) = Reference(graph.needed_for({"x": pooled}, "pooled"), Loud(weights)).run(inputs, {}).values()
    assert float(features.abs().max()) > 65_504
    run = TowerOnDevice.make(graph, tmp_path, devices(True), weights=Loud(weights))
    assert_rows(*run.run(**inputs))


# --- plans ------------------------------------------------------------------------------------------------

TEXT = load_spec(Path(__file__).parents[2] / "models" / "tiny").text
E2B_VISION = VisionSpec(
    hidden=768, intermediate=3072, layers=16, heads=12, kv_heads=12, head_size=64, eps=1e-6, theta=100.0, patch=16,
    pooling=3, positions=10_240, clipped=True, standardised=False,
)  # fmt: skip
LARGE_VISION = replace(
    E2B_VISION, hidden=1152, intermediate=4304, layers=27, heads=16, kv_heads=16, head_size=72, clipped=False,
    standardised=True,
)  # fmt: skip
E2B_AUDIO = AudioSpec(
    hidden=1024, layers=12, heads=8, bins=128, channels=(128, 32), kernel=5, window=12, distances=13, logit_cap=50.0,
    residual_weight=0.5, bound=1e10, eps=1e-6, output=1536, clipped=True,
)  # fmt: skip


def plan_of(spec: VisionSpec | PatchSpec | AudioSpec, text: TextSpec = TEXT) -> Plan:
    """The plan of a tower in q4 without weights."""
    graph = audio_graph(spec, text) if isinstance(spec, AudioSpec) else vision_graph(spec, text)
    found = [(weight, plane) for weight in graph.weights() for plane in planes(weight, "q4")]
    locations = {(weight.name, str(plane.name)): Location("weights", 0, plane.bytes) for weight, plane in found}
    stored = StoredWeights("q4", locations, lambda _: [1.0], Limits().maxStorageBufferBindingSize)
    most = MAX_TOKENS["audio" if isinstance(spec, AudioSpec) else "image"]
    return tower_plan(*build_tower(fuse_tower(graph), stored, Limits(), most), {})


@pytest.mark.parametrize(
    ("spec", "tokens", "dispatches"),
    [
        (E2B_VISION, 1120, 16 * 13 + 6),
        (LARGE_VISION, 1120, 27 * 13 + 6),
        (E2B_AUDIO, 750, 12 * 18 + 6),
    ],
    ids=["E2B image", "31B image", "E2B audio"],
)
def test_published_towers_fit(spec: VisionSpec | AudioSpec, tokens: int, dispatches: int) -> None:
    plan = plan_of(spec)
    assert plan.context == tokens
    for count, parts in ((280, 1), (plan.context, -(-9 * plan.context // 2560))):
        sizes = {"T": count, "P": 0, "C": plan.context}
        running = [one for one in plan.programs["encode"].dispatches if 0 not in [evaluate(e, sizes) for e in one.grid]]
        # Queries and the three matrices of an MLP of a large image are processed in parts.
        split = 4 * (parts - 1) if isinstance(spec, VisionSpec) else 0
        assert len(running) == dispatches + split * spec.layers
    for name, buffer in plan.buffers.items():
        size = evaluate(buffer.bytes, sizes) if isinstance(buffer, ScratchBuffer) else buffer.bytes
        assert isinstance(size, int) and size <= plan.limits.maxStorageBufferBindingSize, name
    for dispatch in plan.programs["encode"].dispatches:
        storage = [access for access in plan.kernels[dispatch.kernel].bindings if access != "uniform"]
        assert len(storage) <= plan.limits.maxStorageBuffersPerShaderStage
        assert max(evaluate(expr, sizes) for expr in dispatch.grid) <= plan.limits.maxComputeWorkgroupsPerDimension


def test_slots_hold_their_values_at_every_size() -> None:
    for spec in (E2B_VISION, E2B_AUDIO):
        plan = plan_of(spec)
        for tokens in (1, 70, plan.context):
            for buffer in plan.buffers.values():
                if isinstance(buffer, ScratchBuffer):
                    held = evaluate(plan.slots[buffer.slot], {"T": tokens})
                    assert evaluate(buffer.bytes, {"T": tokens}) <= held


def test_a_patch_that_does_not_fit_is_rejected(opened: Opened, devices: Devices, tmp_path: Path) -> None:
    spec, weights = opened("seeing")
    limits = Limits(maxStorageBufferBindingSize=16384)
    with pytest.raises(DeviceError, match=r"One token's activations need a storage binding of 27,648 bytes"):
        TowerOnDevice.make(tower_graphs(spec)["image"], tmp_path, devices(True), limits=limits, weights=weights)


# --- bundles ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A variant's bundle in q4, exported once."""

    @cache
    def bundle(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        source = variant(name, folder / "source", with_tokenizer=True)
        export_bundle(source, folder / "bundle", "q4", 512, False, Silent())
        return folder / "bundle"

    return bundle


def test_bundles_name_their_towers(bundles: Callable[[str], Path]) -> None:
    towers = {name: read_manifest(bundles(name)).towers for name in ("seeing", "hearing")}
    assert [entry.file for entry in towers["seeing"].image] == ["plan/image.json"]
    assert [entry.features for entry in towers["hearing"].audio] == [()]
    assert towers["seeing"].audio == towers["hearing"].image == ()
    assert "plan/image.bin" in read_manifest(bundles("seeing")).files


def test_shaders_are_rendered_again_as_they_are(bundles: Callable[[str], Path]) -> None:
    for name in ("seeing", "hearing"):
        found = {path.name: path.read_text() for path in (bundles(name) / "shaders").iterdir()}
        assert {Path(file).name: text for file, text in rerender(bundles(name)).items()} == found


def test_rows_stay_on_the_device_of_the_text(bundles: Callable[[str], Path]) -> None:
    folder = bundles("seeing")
    text = TextEngine(folder, "f32")
    tower = load_tower(folder, "image", text.runner.device)
    assert tower.runner.device is text.runner.device
    inputs = as_arrays(image(load_spec(folder), 3, 2))
    rows, tokens = tower.encode_to_buffer(inputs)
    data = text.runner.device.gpu.queue.read_buffer(rows)
    assert tokens == 6
    assert np.array_equal(np.frombuffer(data, np.float32).reshape(6, -1), tower.encode(inputs))


def test_an_image_is_encoded_the_same_after_another(bundles: Callable[[str], Path]) -> None:
    """A larger image leaves nothing in the scratch of a smaller one."""
    folder = bundles("seeing")
    spec, tower = load_spec(folder), load_tower(folder, "image")
    first = tower.encode(as_arrays(image(spec, 2, 1)))
    tower.encode(as_arrays(image(spec, 5, 4)))
    assert np.array_equal(tower.encode(as_arrays(image(spec, 2, 1))), first)


def test_media_that_do_not_fit_are_rejected(bundles: Callable[[str], Path]) -> None:
    seeing = load_tower(bundles("seeing"), "image")
    hearing = load_tower(bundles("hearing"), "audio")
    inputs = as_arrays(image(load_spec(bundles("seeing")), 2, 1))
    with pytest.raises(UsageError, match="pixel_position_ids is missing"):
        seeing.encode({"pixel_values": inputs["pixel_values"]})
    with pytest.raises(UsageError, match="17 patches do not fill whole cells"):
        seeing.encode({name: array[:-1] for name, array in inputs.items()})
    with pytest.raises(UsageError, match="their numbers of rows differ"):
        seeing.encode({**inputs, "pixel_values": inputs["pixel_values"][:9]})
    with pytest.raises(UsageError, match=r"pixel_values float64\[18, 768\] does not fit"):
        seeing.encode({**inputs, "pixel_values": inputs["pixel_values"].astype(np.float64)})
    with pytest.raises(UsageError, match=r"input_features float32\[0, 128\] does not fit"):
        hearing.encode({"input_features": np.zeros((0, 128), np.float32)})
    with pytest.raises(ContextError, match="751 soft tokens are more than the 750"):
        hearing.encode({"input_features": np.zeros((3001, 128), np.float32)})
    assert hearing.encode({"input_features": np.zeros((5, 128), np.float32)}).shape == (2, 96)


def test_tint_accepts_every_shader_of_towers(bundles: Callable[[str], Path]) -> None:
    """naga has compiled all kernels that ran; Chrome has another compiler."""
    shaders: list[dict[str, Any]] = []
    for name in ("seeing", "hearing", "blocks", "towerless"):
        for path in sorted((bundles(name) / "plan").glob("*.json")):
            for kernel in load_plan(path).kernels.values():
                for form in kernel.forms:
                    code = (bundles(name) / form.file).read_text()
                    assert "enable " not in code
                    shader = {"name": form.file, "code": code, "features": form.features, "entry": form.entry_point}
                    shaders.append({**shader, "constants": form.constants, "bindings": kernel.bindings})
    assert len(shaders) > 100
    done = subprocess.run(["node", VALIDATOR], input=json.dumps(shaders), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
