"""Trains models/tiny from nothing: `python -m models.training.train`.

Stages, each resumable, with their state in the work folder: tokenizer, text. A stage that is finished is not run again.
"""

import argparse
import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from transformers import Gemma4ForConditionalGeneration, GemmaTokenizer

from . import architecture, batches, examples, forward, rendering, tokenizer
from .optimise import Schedule, prefetched, run

SEED = 4
TEXT_STEPS = 1600
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


def text_losses(model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer) -> Callable[[int], Iterator[Tensor]]:
    """The losses of the text stage: next-token prediction on packed conversations."""
    sampler, text = rendering.Sampler(tokens), model.model.language_model
    layers = [torch.compile(layer, dynamic=False) for layer in text.layers]
    cap = model.config.text_config.final_logit_softcapping

    def losses(seed: int) -> Iterator[Tensor]:
        samples = (sampler(one) for one in examples.training_examples(SEED + 1 + seed))
        for batch in prefetched(batches.batches(samples)):
            with torch.autocast("cpu", torch.bfloat16):
                hidden = forward.hidden_states(text, batch, layers=layers)
                loss = forward.loss(hidden, text.embed_tokens.weight, batch.labels, cap)
            yield loss

    return losses


def train_text(model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer, work: Path) -> None:
    """The text stack alone; the towers keep their starting weights."""
    run(model.model.language_model, text_losses(model, tokens), Schedule(TEXT_STEPS, 3e-3), work / "text.pt")


def main() -> None:
    """Runs the stages that are not finished and writes the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/tiny"), help="folder of the stages' state")
    parser.add_argument("--out", type=Path, default=TINY, help="folder of the finished checkpoint")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options.work.mkdir(parents=True, exist_ok=True)
    tokens = train_tokenizer(options.work)
    model = architecture.build(tokens, SEED)
    train_text(model, tokens, options.work)
    architecture.save(model, tokens, options.out)


if __name__ == "__main__":
    main()
