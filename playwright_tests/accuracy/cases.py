"""What models/tiny is asked about files: a question, the file, and the answer that is right."""

from dataclasses import dataclass
from typing import Literal

from models.training.conversation import Example


@dataclass(frozen=True)
class Case:
    """kind: the type of the part that the file becomes; suffix: of its name."""

    kind: Literal["image", "audio"]
    suffix: str
    content: bytes
    question: str
    answer: str

    @property
    def example(self) -> Example:
        """The case as the model's training knows it."""
        parts = [{"type": self.kind}, {"type": "text", "text": self.question}]
        return Example(self.kind, [{"role": "user", "content": parts}], self.answer)
