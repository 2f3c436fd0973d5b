"""Running a bundle's ONNX graphs on the CPU with onnxruntime, for parity and tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import DECODER_STEM, EMBED_STEM, graph_file
from gemtab.errors import BundleError, UsageError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = npt.NDArray[np.float32]


class OnnxText:
    """One conversation with a bundle's text graphs; what it has seen stays in its caches.

    Raises UsageError where onnxruntime is not installed, BundleError where it refuses a graph.
    """

    def __init__(self, folder: Path, weight_format: WeightFormat) -> None:
        self._embed = _session(folder / graph_file(EMBED_STEM, weight_format))
        self._decoder = _session(folder / graph_file(DECODER_STEM, weight_format))
        self._past: dict[str, Array] = {
            declared.name: np.zeros([1, declared.shape[1], 0, declared.shape[3]], np.float32)
            for declared in self._decoder.get_inputs()
            if declared.name.startswith("past_key_values.")
        }
        self.position = 0

    def step(self, ids: Sequence[int], keep: int = 0) -> Array:
        """Process ids at the positions that follow. Logits [keep, vocabulary] of the last `keep`; 0 keeps all."""
        outputs = self._embed.run(None, {"input_ids": np.array([ids], np.int64)})
        feeds = dict(zip((output.name for output in self._embed.get_outputs()), outputs, strict=True))
        stop = self.position + len(ids)
        feeds["position_ids"] = np.arange(self.position, stop, dtype=np.int64)[None]
        feeds["attention_mask"] = np.ones((1, stop), np.int64)
        feeds["num_logits_to_keep"] = np.array(keep, np.int64)
        logits, *present = self._decoder.run(None, feeds | self._past)
        self._past = dict(zip(self._past, present, strict=True))
        self.position = stop
        result: Array = logits[0]
        return result

    def rewind(self, position: int) -> None:
        """Forget the tokens from `position` on; 0 begins anew."""
        self._past = {name: past[:, :, :position] for name, past in self._past.items()}
        self.position = position


def _session(path: Path) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            "Running ONNX graphs needs onnxruntime. Install it with `pip install 'gemtab[parity]'`."
        ) from None
    if not path.is_file():
        raise BundleError(f"{path} is missing. Export the checkpoint again.")
    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"onnxruntime refuses {path}: {error}. Copy or export the bundle again.") from error
