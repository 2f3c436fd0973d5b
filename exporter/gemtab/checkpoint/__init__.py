"""Reading a checkpoint: config.json into a `ModelSpec`, and its tensors one at a time."""

from gemtab.checkpoint.adapter import adapted
from gemtab.checkpoint.config import load_spec
from gemtab.checkpoint.tensors import Checkpoint
from gemtab.checkpoint.weights import CheckpointWeights

__all__ = ["Checkpoint", "CheckpointWeights", "adapted", "load_spec"]
