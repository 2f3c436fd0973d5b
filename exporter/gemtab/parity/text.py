"""Run the text stack on the reference backend, with a conversation's caches."""

from collections.abc import Sequence

import torch

from gemtab.backends.media import Rows, media_inputs
from gemtab.backends.reference import Caches, Reference
from gemtab.model.spec import TextSpec
from gemtab.model.text import fill_graph, text_graph
from gemtab.quantize import WeightReader


class ReferenceText:
    """Takes token ids, keeps caches, returns logits.

    As in a plan's programs, prompt tokens go through `fill_graph`, and the last one through `text_graph`.
    caches: keys and values of the `position` tokens so far.
    """

    def __init__(self, spec: TextSpec, weights: WeightReader, layerwise: bool = False) -> None:
        self._weights, self._layerwise = weights, layerwise
        self._spec = spec
        self._fill = Reference(fill_graph(spec), weights, layerwise)
        self._text = Reference(text_graph(spec), weights, layerwise)
        self.caches: Caches = {}
        self.position = 0

    def step(self, ids: Sequence[int]) -> torch.Tensor:
        """Append at least one id to the conversation. Return the logits [vocabulary] f32 after the last one."""
        if len(ids) > 1:
            self._fill.run(self._inputs(ids[:-1]), self.caches)
            self.position += len(ids) - 1
        return self.logits(ids[-1:])[-1]

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Append ids to the conversation. Return the logits [len(ids), vocabulary] f32 after each of them."""
        logits = self._text.run(self._inputs(ids), self.caches)["logits"]
        self.position += len(ids)
        return logits

    def see(self, ids: Sequence[int], media: Sequence[Rows]) -> torch.Tensor:
        """As `logits`, for a prompt whose placeholders are replaced by `media`."""
        step = range(self.position, self.position + len(ids))
        inputs = self._inputs(ids) | media_inputs(self._spec.hidden, step, media)
        logits = Reference(text_graph(self._spec, media=True), self._weights, self._layerwise).run(inputs, self.caches)
        self.position += len(ids)
        return logits["logits"]

    def rewind(self, position: int) -> None:
        """Remove the token at `position` and all after it from the caches."""
        self.caches = {name: cache.until(position) for name, cache in self.caches.items()}
        self.position = position

    def _inputs(self, ids: Sequence[int]) -> dict[str, torch.Tensor]:
        positions = torch.arange(self.position, self.position + len(ids), dtype=torch.int32)
        return {"input_ids": torch.tensor(ids, dtype=torch.int32), "position_ids": positions}
