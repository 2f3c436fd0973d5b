"""Measures a checkpoint on held-out cases: `python -m models.training.evaluate [FOLDER]`.

In bf16, greedily, by transformers' own tokenizer and `generate`.
"""

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Gemma4AudioFeatureExtractor, Gemma4ForConditionalGeneration, GemmaTokenizer
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from . import drawings, examples, rendering, speech, tokenizer
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
    "caption_one": 0.97,
    "caption_two": 0.90,
    "question": 0.90,
    "speech": 0.90,
    "unseen_voice": 0.70,
}
IMAGE_TASKS, AUDIO_TASKS = ("caption_one", "caption_two", "question"), ("speech", "unseen_voice")
MAX_NEW_TOKENS = 160


@dataclass
class Asked:
    """A held-out example with what it is about: an image, or the samples of audio at 16 kHz."""

    example: Example
    image: Image.Image | None = None
    audio: np.ndarray | None = None


@dataclass
class Case:
    """A held-out example and what the model wrote."""

    example: Example
    written: str

    @property
    def right(self) -> bool:
        return self.example.is_right(self.written)


def held_out(task: str, count: int, seed: int = 1) -> list[Asked]:
    """`count` cases of `task` that training cannot have seen."""
    if task in IMAGE_TASKS:
        return _images(task, count, seed)
    if task in AUDIO_TASKS:
        return _audio(task, count, seed)
    return [Asked(one) for one in examples.held_out_examples(task, count, seed)]


def _images(task: str, count: int, seed: int) -> list[Asked]:
    """Images of another seed; pairs of shapes and relations are those that training leaves out."""
    rng = Random(f"{task} {seed}")
    found: list[Asked] = []
    while len(found) < count:
        one, drawing = drawings.example(rng, task)
        if len(drawing.shapes) == 1 or drawing.held_out:
            found.append(Asked(one, image=drawing.paint()))
    return found


def _audio(task: str, count: int, seed: int) -> list[Asked]:
    """Word sequences that training leaves out (all single words occur in it), for the last task in new voices."""
    rng = Random(f"{task} {seed}")
    microphone = np.random.default_rng(seed)
    recordings = speech.recordings(rng, count, "unseen" if task == "unseen_voice" else "many", held_out=True)
    return [
        Asked(speech.example(rng, recording.said), audio=speech.recorded(recording, microphone))
        for recording in recordings
    ]


class Judge:
    """A checkpoint in bf16 that answers examples in batches."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: GemmaTokenizer = tokenizer.load(folder)
        self._eye = _part(folder, "image_processor", Gemma4ImageProcessorPil)
        self._ear = _part(folder, "feature_extractor", Gemma4AudioFeatureExtractor)
        self._model = Gemma4ForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16).eval()

    @torch.no_grad()
    def answers(self, cases: list[Asked], rows: int = 50) -> Iterator[Case]:
        """The cases with the model's answers, the short ones first."""
        ordered = sorted(cases, key=lambda one: len(rendering.prompt(one.example)))
        for start in range(0, len(ordered), rows):
            some = ordered[start : start + rows]
            inputs = self._inputs(some)
            output = self._model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
            new = output[:, inputs["input_ids"].shape[1] :]
            for one, ids in zip(some, new.tolist(), strict=True):
                yield Case(one.example, self._tokenizer.decode(ids).replace("<pad>", ""))

    def _inputs(self, some: list[Asked]) -> dict[str, Any]:
        """Return the inputs of `generate`. The ids are those of Gemma4Processor, which is not used here: it needs
        torchvision for videos."""
        media: dict[str, Any] = {}
        counts = [0] * len(some)
        if some[0].image is not None:
            seen = self._eye([one.image for one in some], return_tensors="pt")
            counts = seen.pop("num_soft_tokens_per_image")
            media = {"pixel_values": seen["pixel_values"], "image_position_ids": seen["image_position_ids"]}
        if some[0].audio is not None:
            media = dict(self._ear([one.audio for one in some], return_tensors="pt"))
            counts = [-(-int(frames) // 4) for frames in media["input_features_mask"].sum(1)]
        prompts = [
            rendering.expanded(rendering.prompt(one.example), int(count))
            for one, count in zip(some, counts, strict=True)
        ]
        return media | dict(self._tokenizer(prompts, add_special_tokens=False, padding=True, return_tensors="pt"))


def _part(folder: Path, name: str, kind: Any) -> Any:
    """A part of the processor, as processor_config.json has it."""
    return kind(**json.loads((folder / "processor_config.json").read_text())[name])


def main() -> None:
    """Prints one row a task, and the first wrong answers of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=TINY)
    parser.add_argument("--cases", type=int, default=300, help="held-out cases a task")
    parser.add_argument("--wrong", type=int, default=0, help="wrong answers to print a task")
    parser.add_argument(
        "--tasks", nargs="*", default=[*examples.TASKS, *IMAGE_TASKS, *AUDIO_TASKS], help="tasks to measure"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    judge = Judge(options.folder)
    for task in options.tasks:
        cases = list(judge.answers(held_out(task, options.cases)))
        wrong = [case for case in cases if not case.right]
        share = 1 - len(wrong) / len(cases)
        floor = f"{FLOORS[task]:.0%}" if task in FLOORS else "-"
        print(f"{task:16} {share:7.1%}  of {len(cases)} (floor {floor})", flush=True)
        for case in wrong[: options.wrong]:
            print(
                f"  {rendering.prompt(case.example)[-160:]!r}\n    wanted  {case.example.completion!r}\n    written "
                f"{case.written!r}"
            )


if __name__ == "__main__":
    main()
