"""The loss of each weight format on a trained model."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from gemtab.bundle.manifest import WeightFormat
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.parity.logits import compare
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import WEIGHTS
from gemtab.quantize import DequantisedWeights
from tests.variants import TINY

QUESTIONS = ("Hello! Who are you?", "My name is Ada. What is 3 plus 4?", "What is gemtab?")
ANSWER = 24


def answered(folder: Path) -> list[tuple[list[int], int]]:
    """Each question as a prompt with the model's greedy answer, and the prompt's length."""
    spec = load_spec(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), spec)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = tokenizer.token_to_id("<turn|>")
    conversations = []
    for question in QUESTIONS:
        prompt = f"<bos><|turn>user\n{question}<turn|>\n<|turn>model\n"
        ids = list(tokenizer.encode(prompt, add_special_tokens=False).ids)
        length = len(ids)
        text = ReferenceText(spec.text, weights)
        logits = text.step(ids)
        while len(ids) < length + ANSWER and (token := int(logits.argmax())) != end:
            ids.append(token)
            logits = text.step([token])
        conversations.append((ids, length))
    return conversations


@pytest.fixture(scope="module")
def conversations() -> list[tuple[list[int], int]]:
    return answered(TINY)


@pytest.mark.parametrize("weight_format", WEIGHTS)
def test_a_trained_model_stays_within_its_formats_tolerance(
    weight_format: WeightFormat, conversations: list[tuple[list[int], int]]
) -> None:
    spec = load_spec(TINY)
    weights = CheckpointWeights(Checkpoint.open(TINY), spec)
    stored = DequantisedWeights(weights, weight_format)
    for ids, length in conversations:
        expected = ReferenceText(spec.text, weights).logits(ids)[length - 1 :]
        found = ReferenceText(spec.text, stored).logits(ids)[length - 1 :]
        assert compare(expected, found).beyond(WEIGHTS[weight_format]) == []
