"""Runs the ONNX graphs of a bundle on the CPU with onnxruntime, for parity checks and tests."""

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
    """A conversation on the text graphs of the bundle at `folder`: takes token ids, keeps caches, returns logits.

    Raises UsageError if onnxruntime is not installed, and BundleError if a graph is missing or onnxruntime rejects it.
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
        """Append at least one id to the conversation. Return the logits [vocabulary] after the last id."""
        return self._run(ids, 1)[0]

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Append ids to the conversation. Return the logits [len(ids), vocabulary] after each id."""
        return self._run(ids, 0)

    def see(self, ids: Sequence[int], media: Sequence[Rows], keep: int = 0) -> torch.Tensor:
        """As `logits`, for a prompt with placeholders of `media`. keep: return only the last `keep` rows, 0 for all."""
        return self._run(ids, keep, media)

    def rewind(self, position: int) -> None:
        """Drop the token at `position` and all later tokens."""
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
    """The draft model of the bundle at `folder`. Raises what OnnxText raises."""

    def __init__(self, folder: Path, weight_format: WeightFormat) -> None:
        self._session = _session(folder / graph_file(DRAFT_STEM, weight_format))

    def step(
        self, inputs_embeds: torch.Tensor, position: int, caches: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Return the outputs of the draft graph by name, for inputs_embeds [1, 2 * target_hidden] at `position`.

        caches: the target's, by kind of layer: keys and values [P, kv_heads, size] of the positions before `position`.
        """
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
    """The tower `stem` of the bundle at `folder`. Raises what OnnxText raises."""

    def __init__(self, folder: Path, stem: str, weight_format: WeightFormat) -> None:
        self._session = _session(folder / graph_file(stem, weight_format))

    def run(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return the soft tokens [all of the batch, hidden] of `inputs` by name, which are padded to one length."""
        (features,) = self._session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        return torch.from_numpy(features)

    def encode(self, inputs: Mapping[str, npt.NDArray[Any]]) -> torch.Tensor:
        """Return the soft tokens [T, hidden] of one image or stretch of audio, whose inputs have no padding."""
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
    # Idle threads would spin, and take the CPU from the backend that the graph is compared with.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"onnxruntime rejects {path}: {error}. Copy or export the bundle again.") from error
