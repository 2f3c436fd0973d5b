"""Measures a checkpoint on held-out cases: `python -m models.training.evaluate [FOLDER]`.

In bf16, greedily, by transformers' own tokenizer and `generate`.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Gemma4ForConditionalGeneration, GemmaTokenizer

from . import examples, rendering, tokenizer
from .conversation import Example

TINY = Path(__file__).parent.parent / "tiny"

#: The rows of the README: what is measured, on which tasks, and what the checkpoint must reach.
FLOORS: dict[str, float] = {
    "greeting": 0.97,
    "fact": 0.97,
    "system": 0.97,
    "memory": 0.97,
    "tool_call": 0.97,
    "tool_answer": 0.97,
    "thinking": 0.90,
    "off_subject": 0.90,
}
MOST_NEW_TOKENS = 160


@dataclass
class Case:
    """A held-out example and what the model wrote."""

    example: Example
    written: str

    @property
    def right(self) -> bool:
        return self.example.is_right(self.written)


class Judge:
    """A checkpoint in bf16 that answers examples in batches."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: GemmaTokenizer = tokenizer.load(folder)
        self._model = Gemma4ForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16).eval()

    @torch.no_grad()
    def answers(self, cases: list[Example], rows: int = 50) -> Iterator[Case]:
        """The cases with the model's answers, the short ones first."""
        ordered = sorted(cases, key=lambda one: len(rendering.prompt(one)))
        for start in range(0, len(ordered), rows):
            some = ordered[start : start + rows]
            prompts = [rendering.prompt(one) for one in some]
            inputs = self._tokenizer(prompts, add_special_tokens=False, padding=True, return_tensors="pt")
            output = self._model.generate(**inputs, do_sample=False, max_new_tokens=MOST_NEW_TOKENS)
            new = output[:, inputs["input_ids"].shape[1] :]
            for one, ids in zip(some, new.tolist(), strict=True):
                yield Case(one, self._tokenizer.decode(ids).replace("<pad>", ""))


def main() -> None:
    """Prints one row a task, and the first wrong answers of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=TINY)
    parser.add_argument("--cases", type=int, default=300, help="held-out cases a task")
    parser.add_argument("--wrong", type=int, default=0, help="wrong answers to print a task")
    parser.add_argument("--tasks", nargs="*", default=list(examples.TASKS), help="tasks to measure")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    judge = Judge(options.folder)
    for task in options.tasks:
        cases = list(judge.answers(examples.held_out_examples(task, options.cases)))
        wrong = [case for case in cases if not case.right]
        share = 1 - len(wrong) / len(cases)
        floor = f"{FLOORS[task]:.0%}" if task in FLOORS else "-"
        print(f"{task:16} {share:7.1%}  of {len(cases)} (floor {floor})", flush=True)
        for case in wrong[: options.wrong]:
            print(
                f"  {rendering.prompt(case.example)[-160:]!r}\n    wanted  {case.example.completion!r}\n    written {case.written!r}"
            )


if __name__ == "__main__":
    main()
