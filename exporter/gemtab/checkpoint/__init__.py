"""Read a checkpoint, a folder or a GGUF file: its config into a `CheckpointSpec`, its tensors one at a time."""

from gemtab.checkpoint.adapter import adapted
from gemtab.checkpoint.source import Opened, load_spec, open_checkpoint
from gemtab.checkpoint.tensors import Checkpoint
from gemtab.checkpoint.weights import CheckpointWeights

__all__ = ["Checkpoint", "CheckpointWeights", "Opened", "adapted", "load_spec", "open_checkpoint"]
