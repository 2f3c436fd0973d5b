"""Random checkpoints in the true shapes of published models, for measurements."""

from gemtab.synth.published import SIZES, published_config
from gemtab.synth.write import synthesise, write_checkpoint

__all__ = ["SIZES", "published_config", "synthesise", "write_checkpoint"]
