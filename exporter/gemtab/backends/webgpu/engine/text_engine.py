"""A bundle's text model on this machine's GPU."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gemtab.backends.media import Media
from gemtab.backends.webgpu.engine.caches import Caches, Snapshot
from gemtab.backends.webgpu.engine.decode import Decoder
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.fill import fill
from gemtab.backends.webgpu.engine.load import TextChoice, load_text
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.backends.webgpu.engine.watch import UNWATCHED, GpuWatch
from gemtab.bundle.folder import verified
from gemtab.bundle.manifest import Manifest
from gemtab.bundle.plan import DECODE, HostEmbeddingsChoice


class TextEngine:
    """The text model of the bundle in `folder`, loaded.

    activation, context, host_embeddings, memory: as in TextChoice. device: to run on; None opens one. watch: records
    each wait for the GPU, if no device is given. manifest: of the bundle, if its files have been verified.

    Raises BundleError if files differ from the manifest, and what `load_text` raises.
    """

    def __init__(
        self,
        folder: Path,
        activation: str | None = None,
        context: int | None = None,
        device: Device | None = None,
        host_embeddings: HostEmbeddingsChoice = "auto",
        memory: int | None = None,
        watch: GpuWatch = UNWATCHED,
        manifest: Manifest | None = None,
    ) -> None:
        self._manifest = manifest or verified(folder)
        choice = TextChoice(activation, context, host_embeddings, memory)
        self._text = load_text(folder, self._manifest, choice, device, watch)
        self._decoder = Decoder(self._text)

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest, against which its files have been verified."""
        return self._manifest

    @property
    def runner(self) -> PlanRunner:
        """The plan's buffers and programs."""
        return self._text.runner

    @property
    def caches(self) -> Caches:
        """The keys and values of the tokens so far."""
        return self._text.caches

    @property
    def position(self) -> int:
        """Tokens in the caches."""
        return self.caches.position

    @property
    def context(self) -> int:
        """Tokens that the caches may hold."""
        return self.caches.context

    def set_sampling(self, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0) -> None:
        """Set how further ids are chosen: see Decoder.set_sampling."""
        self._decoder.set_sampling(temperature, top_k, top_p, seed)

    def fill(
        self, ids: Sequence[int], media: Sequence[Media] = (), after_chunk: Callable[[int], None] | None = None
    ) -> None:
        """Fill the caches with tokens: see `gemtab.backends.webgpu.engine.fill`."""
        fill(self._text, ids, media, after_chunk)

    def decode(self, token: int | None = None) -> int:
        """Process one token; sample the next token and return its id: see Decoder.step."""
        return self._decoder.step(token)

    def verify(self, ids: Sequence[int]) -> np.ndarray:
        """Process several tokens. Return their logits [T, vocabulary] f32: see Decoder.verify."""
        return self._decoder.verify(ids)

    def read_logits(self, program: str = DECODE, tokens: int = 1) -> np.ndarray:
        """Return the last step's logits [T, vocabulary] f32."""
        return self._decoder.read_logits(program, tokens)

    def snapshot(self) -> Snapshot:
        """Save the state that a rewind cannot recover: see Caches.snapshot."""
        return self.caches.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state saved in `snapshot`: see Caches.restore."""
        self.caches.restore(snapshot)

    def rewind(self, position: int) -> bool:
        """Go back to `position` if no snapshot is needed; return whether it was possible: see Caches.rewind."""
        return self.caches.rewind(position)

    def reset(self) -> None:
        """Start over with empty caches."""
        self.caches.reset()
