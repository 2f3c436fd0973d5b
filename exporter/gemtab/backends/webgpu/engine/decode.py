"""Samples tokens one by one, and reads logits."""

from collections.abc import Sequence

import numpy as np

from gemtab.backends.webgpu.engine.text_runner import TextRunner
from gemtab.bundle.plan import DECODE, VERIFY
from gemtab.errors import BundleError


class Decoder:
    """Decodes with the text model `text`, from the position of its caches on. Greedy before `set_sampling`."""

    def __init__(self, text: TextRunner) -> None:
        self._text = text
        self.set_sampling()

    def set_sampling(self, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0) -> None:
        """Set how further ids are chosen: see ControlBuffer. Temperature 0 is greedy, top_k 0 is the most possible."""
        words = np.array([0, top_k, 0, seed & 0xFFFFFFFF], np.uint32)
        words[[0, 2]] = np.array([temperature, top_p], np.float32).view(np.uint32)
        self._text.runner.write("sampling", words)

    def step(self, token: int | None = None) -> int:
        """Process one token, the last sampled one if None; sample the next token and return its id.

        Raises ContextError if the context is full, and BundleError if the sampled id is outside the vocabulary.
        """
        self._text.run(DECODE, None if token is None else [token], 1)
        sampled = int(self._text.runner.read("ids", np.uint32, 1)[0])
        plan = self._text.plan
        if sampled >= plan.vocabulary:
            raise BundleError(
                f"The {plan.activation} plan sampled token {sampled} of a vocabulary of {plan.vocabulary}: its kernels "
                "do not fit the model. Export the checkpoint again."
            )
        return sampled

    def verify(self, ids: Sequence[int]) -> np.ndarray:
        """Process T tokens, at most those of the program `verify`. Return their logits [T, vocabulary] f32."""
        self._text.run(VERIFY, ids, len(ids))
        return self.read_logits(VERIFY, len(ids))

    def read_logits(self, program: str = DECODE, tokens: int = 1) -> np.ndarray:
        """Return the last step's logits [T, vocabulary] f32."""
        plan = self._text.plan
        name = plan.programs[program].outputs["logits"]
        return self._text.runner.read(name, np.float32, tokens * plan.vocabulary).reshape(tokens, plan.vocabulary)
