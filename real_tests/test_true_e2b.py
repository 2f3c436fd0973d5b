"""E2B at its true shape, with random weights: in q4, and pre-quantized as for mobile devices. The Python executor,
Chromium in f32 and Firefox in f16 decode the first tokens after a prompt with the reference's logits.

The test needs 20 GB of disk.
"""

import base64
import gc
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page

from benchmarks.export import export
from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.manifest import WeightFormat
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.graph import Weight
from gemtab.parity.backends import Continued, reference_logits
from gemtab.parity.compare import Logits
from gemtab.parity.greedy import compare_greedy
from gemtab.parity.logits import LogitError, compare
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ROUNDED, arithmetic
from gemtab.synth import synthesise
from playwright_tests.in_page import in_page
from playwright_tests.loading import MAX_BYTES, set_quota, watch_loading
from playwright_tests.serving import serving
from tests.coded import load_coded
from tests.variants import transformers_logits

Format = Literal["q4", "qat"]
FORMATS: tuple[Format, ...] = ("q4", "qat")

CONTEXT = 1024
PROMPT = [2, 105, 4711, 31_337, 200_000, 1000]
"""Ids from all parts of the tables, which are stored in pieces."""

STEPS = 4

QUOTA = 4_000_000_000
"""Bytes that the browser may store: the embeddings on the host take 1.3 GB."""

MAX_EXPORTING = 500_000_000
"""Maximum bytes of anonymous memory; the design allows 3 GB for any checkpoint."""

NUDGE = 1 + 2.0**-20
"""Factor on the reference's norms, to measure the effect of a difference in the last digits on rounded activations:
over 35 random layers it moves logits by some hundredths of their size."""

BESIDE_NUDGED = 1.5
"""Maximum RMS error of a pre-quantized model's logits, relative to that of the nudged reference."""


@dataclass(frozen=True)
class Made:
    """checkpoint: the synthesised one. bundle: its export."""

    format: Format
    checkpoint: Path
    bundle: Path


@dataclass
class Played:
    """Choices of a backend and their logits, after each token of a given text. seconds: of each step. load, fill:
    seconds of loading and filling before."""

    chosen: list[int] = field(default_factory=list)
    logits: list[Logits] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    load: float = 0.0
    fill: float = 0.0

    def __str__(self) -> str:
        each = ", ".join(f"{seconds:.1f}" for seconds in self.seconds)
        return f"loaded in {self.load:.0f} s, prompt in {self.fill:.1f} s, tokens in {each} s"


@pytest.fixture(scope="module", params=FORMATS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    kept: Path | None = request.config.getoption("--kept")
    folder = kept or tmp_path_factory.mktemp("true-e2b")
    found = Made(request.param, folder / f"E2B-{request.param}", folder / f"bundle-{request.param}")
    make(found)
    yield found
    if kept is None:
        shutil.rmtree(folder)


def make(wanted: Made) -> None:
    """Writes the checkpoint and the bundle as far as they are not there, and prints how long that takes."""
    began = monotonic()
    if not wanted.checkpoint.exists():
        qat = wanted.format == "qat"
        synthesise("E2B", wanted.checkpoint, None, None, lambda *_: None, lambda _: None, qat)
        print(f"{wanted.format}: {_gigabytes(wanted.checkpoint)} of checkpoint in {monotonic() - began:.0f} s")
    began = monotonic()
    if not wanted.bundle.exists():
        options = ("--weights", wanted.format, "--context", str(CONTEXT), "--inputs", "text")
        peak = export(wanted.checkpoint, wanted.bundle, *options)
        print(
            f"{wanted.format}: {_gigabytes(wanted.bundle)} of bundle in {monotonic() - began:.0f} s, with "
            f"{peak / 1e6:.0f} MB of anonymous memory"
        )
        assert peak < MAX_EXPORTING


@pytest.fixture(scope="module")
def python(made: Made) -> tuple[Continued, Played]:
    """The Python executor's greedy continuation, and what it did meanwhile."""
    played, began = Played(), monotonic()
    executor = TextEngine(made.bundle, "f32")
    played.load, began = monotonic() - began, monotonic()
    executor.fill(PROMPT[:-1])
    executor.runner.wait()
    played.fill = monotonic() - began
    for _ in range(STEPS):
        began = monotonic()
        played.chosen.append(executor.decode(None if played.chosen else PROMPT[-1]))
        played.logits.append(executor.read_logits()[0])
        played.seconds.append(monotonic() - began)
    return Continued(PROMPT, played.chosen), played


@dataclass(frozen=True)
class Wanted:
    """The reference's logits [STEPS, vocabulary] on the bundle's weights. nudged: their error after a difference in the
    last digits, where activations are rounded."""

    logits: torch.Tensor
    nudged: LogitError | None


class NudgedWeights(BundleWeights):
    """A bundle's weights, the layers' norms a little larger."""

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        found = super().read_rows(weight, start, stop)
        return found * NUDGE if weight.name.endswith("layernorm") else found


@pytest.fixture(scope="module")
def wanted(made: Made, python: tuple[Continued, Played]) -> Wanted:
    gc.collect()
    text, _ = python
    began = monotonic()
    logits = _reference(made, BundleWeights, text)
    print(f"{made.format}: reference in {monotonic() - began:.0f} s")
    if made.format == "q4":
        return Wanted(logits, None)
    nudged = compare(logits, _reference(made, NudgedWeights, text))
    print(_line("qat, reference nudged by a millionth", nudged, logits))
    return Wanted(logits, nudged)


def _reference(made: Made, kind: type[BundleWeights], text: Continued) -> torch.Tensor:
    (logits,) = reference_logits(load_spec(made.bundle), kind(made.bundle, made.format), [text])
    return torch.from_numpy(logits)


@pytest.mark.parametrize("made", ["qat"], indirect=True)
def test_the_reference_computes_what_transformers_does(made: Made) -> None:
    """Pre-quantized only: the others would take transformers 19 GB of memory in f32. test_true_layers.py has them."""
    model = load_coded(made.checkpoint)
    expected = transformers_logits(model, PROMPT)
    del model
    gc.collect()
    spec = load_spec(made.checkpoint)
    weights = CheckpointWeights(Checkpoint.open(made.checkpoint), spec)
    error = compare(expected, ReferenceText(spec.text, weights, layerwise=True).logits(PROMPT))
    print(_line("qat, reference against transformers", error, expected))
    assert error.beyond(ROUNDED["f32"]) == []
    assert len(set(expected.argmax(-1).tolist())) == len(PROMPT), "the logits do not depend on the prompt"


def test_the_python_executor_decodes_as_the_reference(
    made: Made, python: tuple[Continued, Played], wanted: Wanted
) -> None:
    _, played = python
    assert_same(f"{made.format}, Python", played, wanted, made.format)


def test_chromium_decodes_as_the_reference(
    made: Made, python: tuple[Continued, Played], wanted: Wanted, page: Page
) -> None:
    """With the table on the GPU alone: a software GPU without f16 takes 12 s for a token."""
    text, _ = python
    with serving({"e2b": made.bundle}) as site:
        played = in_tab(page, site, "never", text, "f32")
    assert_same(f"{made.format}, Chromium", played, wanted, made.format)


@pytest.mark.parametrize("tables", ["never", "always"])
def test_firefox_decodes_as_the_reference(
    tables: str, made: Made, python: tuple[Continued, Played], wanted: Wanted, firefox: Browser
) -> None:
    text, _ = python
    page = firefox.new_page()
    with serving({"e2b": made.bundle}) as site:
        played = in_tab(page, site, tables, text, "f16")
    page.close()
    assert_same(f"{made.format}, Firefox, embeddings on the host {tables}", played, wanted, made.format, "f16")


@pytest.mark.parametrize("tables", ["never", "always"])
def test_weights_never_gather(tables: str, made: Made, page: Page) -> None:
    with serving({"e2b": made.bundle}) as site:
        set_quota(page, site, QUOTA)
        watched = watch_loading(page, site, "e2b", {"hostEmbeddings": tables})
    print(f"{made.format}, Chromium loads, embeddings on the host {tables}: {watched}")
    assert watched.most < MAX_BYTES


def in_tab(page: Page, site: str, tables: str, text: Continued, activation: Activation) -> Played:
    played, began = Played(), monotonic()
    page.goto(site + "example.html")
    if activation == "f32":
        set_quota(page, site, QUOTA)
    stats: dict[str, Any] = page.evaluate(in_page("engine.load"), [site, "e2b", {"hostEmbeddings": tables}])
    assert stats["activation"] == activation
    played.load, began = monotonic() - began, monotonic()
    print(f"{stats['activation']}, {stats['gpuBytes'] / 1e9:.2f} GB on the GPU")
    page.evaluate(in_page("engine.fill"), text.prompt[:-1])
    played.fill = monotonic() - began
    for token in [text.prompt[-1], *text.continuation[:-1]]:
        began = monotonic()
        step = page.evaluate(in_page("engine.step"), token)
        played.seconds.append(monotonic() - began)
        played.chosen.append(step["chosen"])
        played.logits.append(np.frombuffer(base64.b64decode(step["logits"]), np.float32))
    return played


def assert_same(
    name: str, played: Played, wanted: Wanted, weights: WeightFormat, activation: Activation = "f32"
) -> None:
    """Assert that logits are within the tolerance, and ids are the reference's or near ties. In f32, logits of a
    pre-quantized model must also be within the error of the nudged reference."""
    tolerance = arithmetic(activation, weights)
    error = compare(wanted.logits, torch.from_numpy(np.stack(played.logits)))
    match = compare_greedy(wanted.logits, played.chosen, tolerance.tie)
    print(f"{_line(name, error, wanted.logits)}; {match.equal} of {match.steps} tokens the same; {played}")
    assert error.beyond(tolerance) == []
    assert match.first_difference is None
    if wanted.nudged is not None and activation == "f32":
        assert error.rms <= BESIDE_NUDGED * wanted.nudged.rms


def _line(name: str, error: LogitError, wanted: torch.Tensor) -> str:
    size = float(wanted.square().mean().sqrt())
    return (
        f"{name}: largest difference {error.max:.2g}, RMS {error.rms:.2g}, KL {abs(error.kl):.2g}, "
        f"of logits of RMS {size:.2g}"
    )


def _gigabytes(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e9:.2f} GB"
