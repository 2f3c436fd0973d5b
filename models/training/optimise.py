"""One optimisation run that can be cut off at any time and goes on where it stopped."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine down to a fiftieth of the peak."""

    steps: int
    peak: float
    warm_up: int = 60

    def rate(self, step: int) -> float:
        """The learning rate of `step`."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.peak * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))))


def prefetched(items: Iterable[Item], ahead: int = 4) -> Iterator[Item]:
    """The same items, made by a thread of their own so that the optimiser does not wait for them."""
    waiting: queue.Queue[Item] = queue.Queue(ahead)

    def work() -> None:
        for item in items:
            waiting.put(item)

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield waiting.get()


def _adam(module: nn.Module, rate: float) -> torch.optim.AdamW:
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": 0.01},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.98), fused=True)


def run(
    module: nn.Module,
    losses: Callable[[int], Iterator[Tensor]],
    schedule: Schedule,
    checkpoint: Path,
    save_every: int = 100,
) -> None:
    """Trains the parameters of `module` that require a gradient, in place.

    `losses(seed)` yields one loss a step. The state after every `save_every` steps goes to `checkpoint`; if that exists,
    the run goes on from there, on data of another seed.
    """
    optimiser, first = _adam(module, schedule.peak), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    began, stream = time.monotonic(), losses(first)
    for step in range(first, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        loss = next(stream)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if (step + 1) % 10 == 0:
            log.info("%s step %d loss %.4f, %.0f s", checkpoint.stem, step + 1, loss.item(), time.monotonic() - began)
        if (step + 1) % save_every == 0 or step + 1 == schedule.steps:
            state = {"module": module.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
