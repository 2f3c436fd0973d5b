"""Trains models/tiny from nothing: `python -m models.training.train`.

Stages, each resumable, with their state in the work folder: tokenizer, basics, text, audio, vision, joint. What is finished is not
run again. The speech data needs espeak-ng and flite.
"""

import argparse
import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from transformers import Gemma4ForConditionalGeneration, GemmaTokenizer

from . import architecture, batches, examples, forward, joint, rendering, tokenizer, towers
from .optimise import Schedule, prefetched, run

SEED = 4
BASIC_STEPS, TEXT_STEPS = 1200, 8000
STAGES = ("basics", "text", "audio", "vision", "joint")
# Eight layers in two shapes, forward only or with a gradient: each is compiled on its own.
torch._dynamo.config.recompile_limit = 64
TINY = Path(__file__).parent.parent / "tiny"


def train_tokenizer(folder: Path) -> GemmaTokenizer:
    """The tokenizer of `folder`, trained on the first examples if it is not there yet."""
    if not (folder / "tokenizer.json").exists():
        seen = islice(examples.training_examples(SEED), 20_000)
        trained = tokenizer.train(text for one in seen for text in rendering.plain_texts(one))
        trained.save_pretrained(folder)
    return tokenizer.load(folder)


def text_losses(
    model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer, setting: examples.Setting
) -> Callable[[int], Iterator[Tensor]]:
    """The losses of a text stage: next-token prediction on packed conversations."""
    sampler, text = rendering.Sampler(tokens), model.model.language_model
    layers = [torch.compile(layer, dynamic=False) for layer in text.layers]
    cap = model.config.text_config.final_logit_softcapping

    def losses(seed: int) -> Iterator[Tensor]:
        samples = (sampler(one) for one in examples.training_examples(SEED + 1 + seed, setting))
        for batch in prefetched(batches.batches(samples)):
            with torch.autocast("cpu", torch.bfloat16):
                hidden = forward.hidden_states(text, batch, layers=layers)
                loss = forward.loss(hidden, text.embed_tokens.weight, batch.labels, cap)
            yield loss

    return losses


def train_basics(model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer, work: Path) -> None:
    """The text stack on single exchanges, where copying from the question is learned soonest."""
    losses = text_losses(model, tokens, examples.SHORT)
    run(model.model.language_model, losses, Schedule(BASIC_STEPS, 3e-3, floor=0.5), work / "basics.pt")


def train_text(model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer, work: Path) -> None:
    """The text stack on whole conversations; the towers keep their starting weights."""
    losses = text_losses(model, tokens, examples.USUAL)
    run(model.model.language_model, losses, Schedule(TEXT_STEPS, 2.5e-3), work / "text.pt")


def main() -> None:
    """Runs the stages that are not finished and writes the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/tiny"), help="folder of the stages' state")
    parser.add_argument("--out", type=Path, default=TINY, help="folder of the finished checkpoint")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="last stage to run")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options.work.mkdir(parents=True, exist_ok=True)
    tokens = train_tokenizer(options.work)
    model = architecture.build(tokens, SEED)
    stages: tuple[Callable[[], None], ...] = (
        lambda: train_basics(model, tokens, options.work),
        lambda: train_text(model, tokens, options.work),
        lambda: towers.train_audio(model, options.work, SEED),
        lambda: towers.train_vision(model, options.work, SEED),
        lambda: joint.train_joint(model, tokens, options.work, SEED),
    )
    for stage in stages[: STAGES.index(options.until) + 1]:
        stage()
    joint.bound_towers(model, options.work, SEED)
    architecture.save(model, tokens, options.out)


if __name__ == "__main__":
    main()
