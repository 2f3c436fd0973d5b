"""Per-layer embeddings on the host: the same tokens, in less GPU memory."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.memory import memory_need
from gemtab.bundle.plan import HostEmbeddingsChoice, Limits, Residence, RowsBuffer
from gemtab.checkpoint import load_spec
from gemtab.errors import BundleError, DeviceError
from gemtab.export import export_bundle
from tests.silent import Silent
from tests.variants import TINY, variant

Devices = Callable[[bool], Device]
CONTEXT = 512
SMALL = Limits(maxStorageBufferBindingSize=65536)


def export(name: str, weights: WeightFormat, folder: Path, limits: Limits) -> Path:
    """The bundle of a variant or of models/tiny."""
    source = TINY if name == "tiny" else variant(name, folder / "checkpoint", with_tokenizer=True)
    export_bundle(source, folder / "bundle", weights, CONTEXT, False, Silent(), limits=limits)
    return folder / "bundle"


def prompt(bundle: Path, length: int) -> list[int]:
    """Random ids, with placeholders of media among them, which count as the pad token."""
    vocabulary = load_spec(bundle).text.vocabulary
    replaced = {id_ for buffer in rows_of(bundle).values() for id_ in buffer.replaced}
    draw = random.Random(length)
    ids = [draw.randrange(vocabulary) for _ in range(length - len(replaced))] + sorted(replaced)
    return draw.sample(ids, len(ids))


def rows_of(bundle: Path) -> dict[str, RowsBuffer]:
    plan = load_plan(bundle / "plan" / "f32.json")
    return {name: buffer for name, buffer in plan.buffers.items() if isinstance(buffer, RowsBuffer)}


def run(executor: TextEngine, ids: list[int], steps: int) -> tuple[list[int], np.ndarray]:
    """Greedy ids after `ids`, each step with the id that the step before left on the GPU; then logits of verified
    ids."""
    executor.fill(ids[:-1])
    chosen = [executor.decode(ids[-1])]
    chosen += [executor.decode() for _ in range(steps - 1)]
    return chosen, executor.verify(ids[:3])


@pytest.fixture(
    scope="module",
    params=[
        ("tiny", "q4", Limits()),
        ("everything", "q8", SMALL),
        ("everything", "f32", SMALL),
        ("bare", "f16", Limits()),
        ("per_layer", "q4", Limits()),
        ("coded", "qat", Limits()),
    ],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, weights, limits = request.param
    return export(name, weights, tmp_path_factory.mktemp("exported"), limits)


@pytest.mark.parametrize("activation", ["f32", "f16"])
def test_tokens_are_the_same(exported: Path, activation: Activation, devices: Devices) -> None:
    ids = prompt(exported, 300)
    ways: tuple[HostEmbeddingsChoice, ...] = ("never", "always")
    executors = [TextEngine(exported, activation, device=devices(True), host_embeddings=way) for way in ways]
    (on_gpu, logits), (on_host, same_logits) = (run(executor, ids, 20) for executor in executors)
    assert [executor.runner.embeddings for executor in executors] == ["gpu", "host"]
    assert len(set(on_gpu)) > 2
    assert on_host == on_gpu
    assert np.array_equal(same_logits, logits), "the same rows go through the same kernels"


def test_the_embeddings_are_not_on_the_gpu(tmp_path: Path, devices: Devices) -> None:
    bundle = export("everything", "q4", tmp_path, SMALL)
    (entry,) = (one for one in read_manifest(bundle).plans if one.activation == "f32")
    found = {}
    sides: tuple[tuple[Residence, HostEmbeddingsChoice], ...] = (("gpu", "never"), ("host", "always"))
    for embeddings, way in sides:
        executor = TextEngine(bundle, "f32", device=devices(True), host_embeddings=way)
        run(executor, prompt(bundle, 300), 3)
        found[embeddings] = executor.runner.memory
        assert found[embeddings].weights == memory_need(entry, CONTEXT, embeddings).weights
    assert found["gpu"].weights - found["host"].weights == entry.memory.embeddings - entry.memory.rows > 0
    sizes = [buffer.rows * buffer.row_bytes for buffer in rows_of(bundle).values()]
    assert entry.memory.embeddings == pytest.approx(sum(sizes), abs=64)


def test_a_table_that_is_the_output_matrix_too_stays_on_the_gpu(tmp_path: Path) -> None:
    bundle = export("per_layer", "q4", tmp_path, Limits())
    assert {name.split(":")[0] for name in rows_of(bundle)} == {"embed_tokens_per_layer"}
    untied = rows_of(export("coded", "qat", tmp_path / "coded", Limits()))
    assert {name.split(":")[0] for name in untied} == {"embed_tokens_per_layer", "embed_tokens"}
    assert rows_of(export("base", "q4", tmp_path / "base", Limits())) == {}


def test_the_choice_is_made_by_what_fits(tmp_path: Path, devices: Devices) -> None:
    bundle = export("everything", "q4", tmp_path, Limits())
    (entry,) = (one for one in read_manifest(bundle).plans if one.activation == "f32")
    on_gpu, on_host = (memory_need(entry, CONTEXT, embeddings).total for embeddings in ("gpu", "host"))

    def residence(memory: int | None, way: HostEmbeddingsChoice = "auto") -> Residence:
        return TextEngine(bundle, "f32", device=devices(True), host_embeddings=way, memory=memory).runner.embeddings

    assert residence(None) == residence(on_gpu) == "gpu"
    assert residence(on_gpu - 1) == residence(on_host) == residence(on_gpu, "always") == "host"
    rejected: tuple[tuple[int, HostEmbeddingsChoice], ...] = (
        (on_host - 1, "auto"),
        (on_gpu - 1, "never"),
        (on_host - 1, "always"),
    )
    for memory, way in rejected:
        with pytest.raises(DeviceError, match=r"needs [\d,]+ bytes of GPU memory .* smaller context"):
            residence(memory, way)


def test_a_truncated_file_is_an_error(tmp_path: Path, devices: Devices) -> None:
    bundle = export("everything", "q4", tmp_path, Limits())
    (file,) = {buffer.file for buffer in rows_of(bundle).values()}
    content = (bundle / file).read_bytes()
    (bundle / file).write_bytes(content[: min(buffer.offset for buffer in rows_of(bundle).values()) + 64])
    with pytest.raises(BundleError, match="export the bundle again"):
        TextEngine(bundle, "f32", device=devices(True), host_embeddings="always")
