"""The sampler against the same rule in numpy: exact top-k, nucleus, Gumbel noise from the same hash."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemtab.backends.webgpu.compile import PlanBuilder, write_tables
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.load import load_text_plan
from gemtab.backends.webgpu.engine.text_runner import TextRunner
from gemtab.backends.webgpu.lower import (
    FOUND_CANDIDATES,
    MAX_CANDIDATES,
    MAXIMA_GROUP,
    MAXIMA_SLICE,
    SAMPLED_RING,
    Lowering,
    Shared,
)
from gemtab.backends.webgpu.render import shader_root
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.plan import Limits
from gemtab.graph import Value
from tests.webgpu.graphs import write_files

CASES = json.loads((shader_root() / "sample" / "cases.json").read_text())


def sampler(vocabulary: int, folder: Path, device: Device) -> TextRunner:
    """A plan whose only program samples from logits, which the test writes."""
    stored = StoredWeights("f32", {}, lambda _: [1.0], 1 << 27)
    shared = Shared(stored, "f32", Limits(), context=512, fill_tokens=1)
    lowering = Lowering(shared, tokens=1, fill=False)
    logits = Value("logits", ("T", vocabulary))
    lowering.lower([], [logits])
    lowering.sample(logits)
    builder = PlanBuilder(shared, vocabulary)
    builder.add_program("run", lowering, 1, {"logits": "logits"}, ["logits"])
    write_files(builder, folder)
    return load_text_plan(folder, builder.finish(write_tables(folder, {})), device)


def hash32(value: int) -> int:
    """The output function of pcg, as in the kernel."""
    state = (value * 747796405 + 2891336453) & 0xFFFFFFFF
    word = (((state >> ((state >> 28) + 4)) ^ state) * 277803737) & 0xFFFFFFFF
    return (word >> 22) ^ word


def expected_id(logits: np.ndarray, case: dict[str, Any], seed: int, position: int) -> tuple[int, float]:
    """The id by the rule, and the lead of its score over the second."""
    logits = np.nan_to_num(logits, nan=-np.inf)
    order = np.lexsort((np.arange(len(logits)), -logits))
    if case["temperature"] == 0:
        return int(order[0]), np.inf
    kept = order[: min(case["top_k"] or MAX_CANDIDATES, MAX_CANDIDATES)]
    scaled = logits[kept].astype(np.float64) / case["temperature"]
    shares = np.exp(scaled - scaled[0])
    count = int(np.searchsorted(np.cumsum(shares), case["top_p"] * shares.sum() * (1 - 1e-12)) + 1)
    kept, scaled = kept[:count], scaled[:count]
    bits = np.array([hash32(int(i) ^ hash32(position ^ hash32(seed))) for i in kept])
    noise = -np.log(-np.log(((bits >> 9) + 0.5) / 2**23))
    scores = np.sort(scaled + noise)
    return int(kept[np.argmax(scaled + noise)]), float(scores[-1] - scores[-2]) if count > 1 else np.inf


def set_sampling(text: TextRunner, case: dict[str, Any], seed: int) -> None:
    words = np.array([0, case["top_k"], 0, seed], np.uint32)
    words[[0, 2]] = np.array([case["temperature"], case["top_p"]], np.float32).view(np.uint32)
    text.runner.write("sampling", words)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
def test_samples_by_the_rule(case: dict[str, Any], tmp_path: Path, devices: Callable[[bool], Device]) -> None:
    text = sampler(case["vocabulary"], tmp_path, devices(True))
    random = np.random.default_rng(case["vocabulary"])
    chosen = set()
    for seed in range(12):
        logits = (4 * random.standard_normal(case["vocabulary"])).astype(np.float32)
        logits[[3, 20]] = logits.max()  # a tie at the top: the lower id is first
        logits[5] = np.nan
        set_sampling(text, case, seed)
        text.runner.write("run/logits", logits)
        position = text.caches.position
        text.run("run", None, 1)
        found = int(text.runner.read("ids", np.uint32, 1)[0])
        expected, margin = expected_id(logits, case, seed, position)
        assert found == expected or margin < 1e-4
        assert found == int(text.runner.read("sampled", np.uint32, SAMPLED_RING)[seed % SAMPLED_RING])
        chosen.add(found)
    assert list(text.runner.read("step", np.uint32, 3)) == [12, 1, 12]
    assert len(chosen) > 1 or case["temperature"] == 0 or case["top_k"] == 1


def test_the_same_seed_gives_the_same_ids(tmp_path: Path, devices: Callable[[bool], Device]) -> None:
    text = sampler(1472, tmp_path, devices(True))
    case = {"temperature": 1.0, "top_k": 64, "top_p": 0.95}
    logits = np.zeros(1472, np.float32)
    runs = []
    for seed in (1, 1, 2):
        text.caches.reset()
        set_sampling(text, case, seed)
        ids = []
        for _ in range(8):
            text.runner.write("run/logits", logits)
            text.run("run", None, 1)
            ids.append(int(text.runner.read("ids", np.uint32, 1)[0]))
        runs.append(ids)
    assert runs[0] == runs[1] != runs[2]


LOGITS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "all equal": lambda _, size: np.full(size, -3.25),
    "two values": lambda random, size: 1.0 + (random.random(size) < 0.4),
    "few values": lambda random, size: np.round(3 * random.standard_normal(size)),
    "within a hundredth": lambda random, size: 10 + 0.01 * random.standard_normal(size),
    "falling": lambda _, size: np.linspace(20, -20, size),
    "rising": lambda _, size: np.linspace(-20, 20, size),
    "the largest side by side": lambda random, size: random.standard_normal(size) + 8 * (np.arange(size) < 200),
    "ten that are not masked": lambda random, size: np.where(
        random.permutation(size) < 10, random.standard_normal(size), -np.inf
    ),
    "half masked": lambda random, size: np.where(np.arange(size) % 2, random.standard_normal(size), -np.inf),
    "half NaN": lambda random, size: np.where(np.arange(size) % 2, random.standard_normal(size), np.nan),
}

SETTINGS = [
    (0.0, 0, 1.0),
    (1.0, 1, 1.0),
    (1.0, 64, 0.95),
    (0.7, 65, 1.0),
    (1.3, 700, 0.9),
    (1.0, 0, 1.0),
    (2.0, 1024, 0.99),
    (1.0, 5000, 1.0),
    (1.0, 64, 0.0),
    (1e-6, 64, 0.95),
    (1e6, 64, 0.95),
    (1e6, 0, 1.0),
    *((1e6, top_k, 1.0) for top_k in (5, 20, 40, 64, 80, 160, 320, 640)),
]
"""(temperature, top_k, top_p). At temperature a million, all of the top_k are equally likely."""


def rounding(logits: np.ndarray, temperature: float) -> float:
    """Largest error of f32 in a difference of scores."""
    return 1e-4 + (3e-7 * float(np.abs(logits[np.isfinite(logits)]).max()) / temperature if temperature else 0)


@pytest.mark.parametrize("vocabulary", [2, 57, 4097, 10001, 262144])
def test_every_kind_of_logits(vocabulary: int, tmp_path: Path, devices: Callable[[bool], Device]) -> None:
    text = sampler(vocabulary, tmp_path, devices(True))
    random = np.random.default_rng(vocabulary)
    for name, make in LOGITS.items():
        logits = make(random, vocabulary).astype(np.float32)
        text.runner.write("run/logits", logits)
        for seed, setting in enumerate(SETTINGS if vocabulary < 100_000 else SETTINGS[::3]):
            case = dict(zip(("temperature", "top_k", "top_p"), setting, strict=True))
            set_sampling(text, case, seed)
            position = text.caches.position
            text.run("run", None, 1)
            found = int(text.runner.read("ids", np.uint32, 1)[0])
            expected, margin = expected_id(logits, case, seed, position)
            assert found == expected or margin < rounding(logits, case["temperature"]), (name, case)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("masked", [-np.inf, np.nan])
def test_takes_the_first_id_where_all_are_masked(
    masked: float, temperature: float, tmp_path: Path, devices: Callable[[bool], Device]
) -> None:
    text = sampler(4097, tmp_path, devices(True))
    text.runner.write("run/logits", np.full(4097, masked, np.float32))
    for top_k in (0, 1, 64):
        set_sampling(text, {"temperature": temperature, "top_k": top_k, "top_p": 0.95}, seed=3)
        text.run("run", None, 1)
        assert text.runner.read("ids", np.uint32, 1)[0] == 0


@pytest.mark.parametrize(("top_k", "most"), [(64, 80), (1024, 1300)])
def test_looks_at_few_logits_once_more(
    top_k: int, most: int, tmp_path: Path, devices: Callable[[bool], Device]
) -> None:
    """Candidates are exactly the logits that reach the k-th largest maximum of a slice of 64."""
    text = sampler(262144, tmp_path, devices(True))
    logits = (4 * np.random.default_rng(5).standard_normal(262144)).astype(np.float32)
    low = np.sort(logits.reshape(-1, MAXIMA_SLICE, MAXIMA_GROUP // MAXIMA_SLICE).max(axis=1), axis=None)[-top_k]
    set_sampling(text, {"temperature": 1.0, "top_k": top_k, "top_p": 0.95}, seed=1)
    text.runner.write("run/logits", logits)
    text.runner.write("run/candidates", np.zeros(2 * FOUND_CANDIDATES, np.uint32))
    text.run("run", None, 1)
    candidates = text.runner.read("run/candidates", np.uint32, 2 * FOUND_CANDIDATES).reshape(-1, 2)
    found = candidates[candidates[:, 0] != 0, 1]
    assert sorted(found.tolist()) == np.flatnonzero(logits >= low).tolist()
    assert top_k <= len(found) <= most
