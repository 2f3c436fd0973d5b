"""One optimisation run that can be cut off at any time and goes on where it stopped."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine from `peak` down to `floor` times the peak."""

    steps: int
    peak: float
    warm_up: int = 60
    floor: float = 0.02

    def rate(self, step: int) -> float:
        """The learning rate of `step`."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.peak * (self.floor + (1 - self.floor) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))))


def prefetched(items: Iterable[Item], ahead: int = 4) -> Iterator[Item]:
    """The same endless items, made by a thread of their own so that the optimiser does not wait for them."""
    waiting: queue.Queue[Item | BaseException] = queue.Queue(ahead)

    def work() -> None:
        try:
            for item in items:
                waiting.put(item)
        except (
            BaseException
        ) as error:  # handed over: in a thread it would end unseen, and the reader would wait for ever
            waiting.put(error)

    threading.Thread(target=work, daemon=True).start()
    while True:
        item = waiting.get()
        if isinstance(item, BaseException):
            raise item
        yield item


Pace = Callable[[str], float]
"""By a parameter's name, what its learning rate is multiplied by."""


def _even(_: str) -> float:
    return 1.0


def _optimisers(module: nn.Module, pace: Pace) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, which learns to copy in far fewer steps; AdamW for embeddings, convolutions and norms."""
    named = [(name, one) for name, one in module.named_parameters() if one.requires_grad]
    paces = sorted({pace(name) for name, _ in named}, reverse=True)

    def groups(kind: str, decay: float) -> list[dict[str, Any]]:
        found = [
            {
                "params": [one for name, one in named if _kind(name, one) == kind and pace(name) == factor],
                "pace": factor,
            }
            for factor in paces
        ]
        return [group | {"weight_decay": decay} for group in found if group["params"]]

    return [
        torch.optim.Muon(groups("matrix", 0.01), adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([*groups("table", 0.01), *groups("vector", 0.0)], betas=(0.9, 0.98), fused=True),
    ]


def _kind(name: str, parameter: nn.Parameter) -> str:
    if parameter.dim() == 2 and "embed_tokens" not in name:
        return "matrix"
    return "table" if parameter.dim() > 1 else "vector"


def run(
    module: nn.Module,
    losses: Callable[[int], Iterator[Tensor]],
    schedule: Schedule,
    checkpoint: Path,
    save_every: int = 100,
    pace: Pace = _even,
) -> None:
    """Trains the parameters of `module` that require a gradient, in place.

    `losses(seed)` yields one loss a step. The state after every `save_every` steps goes to `checkpoint`; if that exists,
    the run goes on from there, on data of another seed.
    """
    optimisers, first = _optimisers(module, pace), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
            for group in optimiser.param_groups:
                group.setdefault("pace", 1.0)  # a state of before there were paces
        first = state["step"]
    began, stream = time.monotonic(), losses(first)
    for step in range(first, schedule.steps):
        loss = next(stream)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step) * group["pace"]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if (step + 1) % 20 == 0:
            log.info("%s step %d loss %.4f, %.0f s", checkpoint.stem, step + 1, loss.item(), time.monotonic() - began)
        if (step + 1) % save_every == 0 or step + 1 == schedule.steps:
            states = [optimiser.state_dict() for optimiser in optimisers]
            state = {"module": module.state_dict(), "optimisers": states, "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
