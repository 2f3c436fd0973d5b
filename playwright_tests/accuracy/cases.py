"""The questions to models/tiny about files: a question, the file, and the correct answer."""

from dataclasses import dataclass
from typing import Literal

from models.training.conversation import Example


@dataclass(frozen=True)
class Case:
    """A question about a file.

    kind: type of the file's part; suffix: ending of the file's name.
    """

    kind: Literal["image", "audio"]
    suffix: str
    content: bytes
    question: str
    answer: str

    @property
    def example(self) -> Example:
        """Return the case in the form of the model's training."""
        parts = [{"type": self.kind}, {"type": "text", "text": self.question}]
        return Example(self.kind, [{"role": "user", "content": parts}], self.answer)
