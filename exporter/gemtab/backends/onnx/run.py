"""Running a bundle's ONNX graphs on the CPU with onnxruntime, for parity and tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from gemtab.backends.media import Rows, block_numbers
from gemtab.backends.onnx.attention import PAST_NAME, SHARED_NAME
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import DECODER_STEM, DRAFT_STEM, EMBED_STEM, graph_file
from gemtab.errors import BundleError, UsageError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxText:
    """Takes token ids, keeps caches, gives logits: a conversation with the text graphs of the bundle at `folder`.

    Raises UsageError where onnxruntime is not installed, BundleError where a graph is missing or refused.
    """

    def __init__(self, folder: Path, weight_format: WeightFormat) -> None:
        self._embed = _session(folder / graph_file(EMBED_STEM, weight_format))
        self._decoder = _session(folder / graph_file(DECODER_STEM, weight_format))
        self._past: dict[str, npt.NDArray[np.float32]] = {
            declared.name: np.zeros([1, declared.shape[1], 0, declared.shape[3]], np.float32)
            for declared in self._decoder.get_inputs()
            if declared.name.startswith(PAST_NAME)
        }
        self._sees_ahead = any(declared.name == "block_ids" for declared in self._decoder.get_inputs())
        self.position = 0

    def step(self, ids: Sequence[int]) -> torch.Tensor:
        """Append at least one id to the conversation; logits [vocabulary] of what comes after the last."""
        return self._run(ids, 1)[0]

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Append ids to the conversation; logits [len(ids), vocabulary] after each of them."""
        return self._run(ids, 0)

    def see(self, ids: Sequence[int], media: Sequence[Rows], keep: int = 0) -> torch.Tensor:
        """As `logits`, of a prompt whose placeholders stand for `media`; keep: of the last so many alone, 0 for all."""
        return self._run(ids, keep, media)

    def rewind(self, position: int) -> None:
        """Forget the token at `position` and all after it."""
        self._past = {name: past[:, :, :position] for name, past in self._past.items()}
        self.position = position

    def _run(self, ids: Sequence[int], keep: int, media: Sequence[Rows] = ()) -> torch.Tensor:
        outputs = self._embed.run(None, {"input_ids": np.array([ids], np.int64)})
        feeds = dict(zip((output.name for output in self._embed.get_outputs()), outputs, strict=True))
        stop = self.position + len(ids)
        for one in media:
            begin, end = one.position - self.position, one.end - self.position
            feeds["inputs_embeds"][0, begin:end] = one.rows.numpy()
        if self._sees_ahead:
            feeds["block_ids"] = block_numbers(range(self.position, stop), media).numpy()[None]
        feeds["position_ids"] = np.arange(self.position, stop, dtype=np.int64)[None]
        feeds["attention_mask"] = np.ones((1, stop), np.int64)
        feeds["num_logits_to_keep"] = np.array(keep, np.int64)
        logits, *present = self._decoder.run(None, feeds | self._past)
        self._past = dict(zip(self._past, present, strict=True))
        self.position = stop
        return torch.from_numpy(logits[0])


class OnnxDraft:
    """The assistant of the bundle at `folder`. Raises as OnnxText does."""

    def __init__(self, folder: Path, weight_format: WeightFormat) -> None:
        self._session = _session(folder / graph_file(DRAFT_STEM, weight_format))

    def step(
        self, inputs_embeds: torch.Tensor, position: int, caches: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The outputs of the draft graph, of inputs_embeds [1, 2 * target_hidden] at `position`; `caches` are the
        target's by kind of layer, keys and values [P, kv_heads, size] of the positions before it."""
        feeds: dict[str, npt.NDArray[Any]] = {
            f"{SHARED_NAME}.{kind}_attention.{part}": tensor.transpose(0, 1)[None].numpy()
            for kind, cache in caches.items()
            for part, tensor in zip(("key", "value"), cache, strict=True)
        }
        declared = {value.name for value in self._session.get_inputs()}
        feeds = {name: feed for name, feed in feeds.items() if name in declared}
        feeds["inputs_embeds"] = inputs_embeds[None].numpy()
        feeds["position_ids"] = np.array([[position]], np.int64)
        feeds["attention_mask"] = np.ones((1, position), np.int64)
        found = self._session.run(None, feeds)
        names = [value.name for value in self._session.get_outputs()]
        return {name: torch.from_numpy(output[0]) for name, output in zip(names, found, strict=True)}


class OnnxTower:
    """The graph `stem` of the bundle at `folder`, of pictures or of sound. Raises as OnnxText does."""

    def __init__(self, folder: Path, stem: str, weight_format: WeightFormat) -> None:
        self._session = _session(folder / graph_file(stem, weight_format))

    def run(self, **inputs: torch.Tensor) -> torch.Tensor:
        """The soft tokens [all of the batch, hidden] of `inputs` by name, padded to one length."""
        (features,) = self._session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        return torch.from_numpy(features)

    def encode(self, inputs: Mapping[str, npt.NDArray[Any]]) -> torch.Tensor:
        """The soft tokens of one picture or sound, whose inputs have no padding: a batch of one."""
        batch = {name: torch.from_numpy(array)[None] for name, array in inputs.items()}
        if "pixel_position_ids" in batch:
            batch["pixel_position_ids"] = batch["pixel_position_ids"].to(torch.int64)
        if "input_features" in batch:
            batch["input_features_mask"] = torch.ones(batch["input_features"].shape[:2], dtype=torch.bool)
        return self.run(**batch)


def _session(path: Path) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            "Running ONNX graphs needs onnxruntime. Install it with `pip install 'gemtab[parity]'`."
        ) from None
    if not path.is_file():
        raise BundleError(f"{path} is missing. Export the checkpoint again.")
    options = onnxruntime.SessionOptions()
    # Idle threads would spin, and take the processor from whatever the graph is compared with.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"onnxruntime refuses {path}: {error}. Copy or export the bundle again.") from error
