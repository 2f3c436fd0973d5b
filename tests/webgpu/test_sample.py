"""The sampler against the same rule in numpy: exact top-k, nucleus, Gumbel noise from the same hash."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemtab.backends.webgpu.compile import PlanBuilder, write_tables
from gemtab.backends.webgpu.device import Device
from gemtab.backends.webgpu.executor import PlanRunner
from gemtab.backends.webgpu.lower import MOST_CANDIDATES, SAMPLED_RING, Lowering, Shared
from gemtab.backends.webgpu.render import shader_root
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.plan import Limits
from gemtab.graph import Value
from tests.webgpu.graphs import write_files

CASES = json.loads((shader_root() / "sample" / "cases.json").read_text())


def sampler(vocabulary: int, folder: Path, device: Device) -> PlanRunner:
    """A plan whose only program samples from logits that the test writes."""
    stored = StoredWeights("f32", {}, lambda _: [1.0], 1 << 27)
    shared = Shared(stored, "f32", Limits(), context=512, fill_tokens=1)
    lowering = Lowering(shared, tokens=1, fill=False)
    logits = Value("logits", ("T", vocabulary))
    lowering.lower([], [logits])
    lowering.sample(logits)
    builder = PlanBuilder(shared, vocabulary)
    builder.add_program("run", lowering, 1, {"logits": "logits"}, ["logits"])
    write_files(builder, folder)
    return PlanRunner(folder, builder.finish(write_tables(folder, {})), device=device)


def hash32(value: int) -> int:
    """pcg's output function, as in the kernel."""
    state = (value * 747796405 + 2891336453) & 0xFFFFFFFF
    word = (((state >> ((state >> 28) + 4)) ^ state) * 277803737) & 0xFFFFFFFF
    return (word >> 22) ^ word


def expected_id(logits: np.ndarray, case: dict[str, Any], seed: int, position: int) -> tuple[int, float]:
    """The id that the rule gives, and how far its score is ahead of the second."""
    logits = np.nan_to_num(logits, nan=-np.inf)
    order = np.lexsort((np.arange(len(logits)), -logits))
    if case["temperature"] == 0:
        return int(order[0]), np.inf
    kept = order[: min(case["top_k"] or MOST_CANDIDATES, MOST_CANDIDATES)]
    scaled = logits[kept].astype(np.float64) / case["temperature"]
    shares = np.exp(scaled - scaled[0])
    count = int(np.searchsorted(np.cumsum(shares), case["top_p"] * shares.sum() * (1 - 1e-12)) + 1)
    kept, scaled = kept[:count], scaled[:count]
    bits = np.array([hash32(int(i) ^ hash32(position ^ hash32(seed))) for i in kept])
    noise = -np.log(-np.log(((bits >> 9) + 0.5) / 2**23))
    scores = np.sort(scaled + noise)
    return int(kept[np.argmax(scaled + noise)]), float(scores[-1] - scores[-2]) if count > 1 else np.inf


def set_sampling(runner: PlanRunner, case: dict[str, Any], seed: int) -> None:
    words = np.array([0, case["top_k"], 0, seed], np.uint32)
    words[[0, 2]] = np.array([case["temperature"], case["top_p"]], np.float32).view(np.uint32)
    runner.write("sampling", words)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
def test_samples_by_the_rule(case: dict[str, Any], tmp_path: Path, devices: Callable[[bool], Device]) -> None:
    runner = sampler(case["vocabulary"], tmp_path, devices(True))
    random = np.random.default_rng(case["vocabulary"])
    chosen = set()
    for seed in range(12):
        logits = (4 * random.standard_normal(case["vocabulary"])).astype(np.float32)
        logits[[3, 20]] = logits.max()  # a tie at the top: the lower id is first
        logits[5] = np.nan
        set_sampling(runner, case, seed)
        runner.write("run/logits", logits)
        position = runner.position
        runner.run("run", None, 1)
        found = int(runner.read("ids", np.uint32, 1)[0])
        expected, margin = expected_id(logits, case, seed, position)
        assert found == expected or margin < 1e-4
        assert found == int(runner.read("sampled", np.uint32, SAMPLED_RING)[seed % SAMPLED_RING])
        chosen.add(found)
    assert list(runner.read("step", np.uint32, 3)) == [12, 1, 12]
    assert len(chosen) > 1 or case["temperature"] == 0 or case["top_k"] == 1


def test_the_same_seed_gives_the_same_ids(tmp_path: Path, devices: Callable[[bool], Device]) -> None:
    runner = sampler(1472, tmp_path, devices(True))
    case = {"temperature": 1.0, "top_k": 64, "top_p": 0.95}
    logits = np.zeros(1472, np.float32)
    runs = []
    for seed in (1, 1, 2):
        runner.reset()
        set_sampling(runner, case, seed)
        ids = []
        for _ in range(8):
            runner.write("run/logits", logits)
            runner.run("run", None, 1)
            ids.append(int(runner.read("ids", np.uint32, 1)[0]))
        runs.append(ids)
    assert runs[0] == runs[1] != runs[2]
