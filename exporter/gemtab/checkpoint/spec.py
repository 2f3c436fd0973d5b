"""The spec of a checkpoint: a model, and the names of its weights in the checkpoint."""

from dataclasses import dataclass, replace
from typing import Self

from gemtab.checkpoint.tensor_names import tensor_name
from gemtab.checkpoint.trained_codes import TrainedCodes
from gemtab.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec(ModelSpec):
    """A whole checkpoint.

    text_prefix: text before the text stack's tensor names in the checkpoint, e.g. `model.language_model.`.
    norm_offset: number to add to the stored weights of the text stack's norms: 1 where the model multiplies by 1 +
    weight.
    """

    text_prefix: str
    norm_offset: float = 0.0

    def tensor_name(self, source: str) -> str:
        """Return the name in the checkpoint of a weight's source."""
        return tensor_name(self.text_prefix, source)

    @property
    def trained_codes(self) -> TrainedCodes | None:
        """The weights that are integers in the checkpoint; None for none."""
        codes = self.text.codes
        assert codes is None or isinstance(codes, TrainedCodes)
        return codes

    def with_text_prefix(self, prefix: str) -> Self:
        """Return this spec with another prefix before the text stack's tensor names."""
        codes = self.trained_codes and replace(self.trained_codes, text_prefix=prefix)
        return replace(self, text_prefix=prefix, text=replace(self.text, codes=codes))
