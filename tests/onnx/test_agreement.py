"""The ONNX graphs in onnxruntime against the reference on the dequantised weights."""

from typing import get_args

import pytest
import torch

from gemtab.backends.onnx.run import OnnxText
from gemtab.bundle.manifest import WeightFormat
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ACTIVATIONS
from gemtab.quantize import DequantisedWeights
from tests.onnx.conftest import Written, WrittenAs
from tests.variants import AUDIO_ID, IMAGE_ID, VARIANTS, VIDEO_ID

# A prompt, single steps and chunks: 70 tokens, more than two of the longest windows.
STEPS = (40, 1, 1, 7, 1, 20)

EXACT = ACTIVATIONS["f32"]


def prompt(length: int = sum(STEPS)) -> list[int]:
    """Token ids, one of each media placeholder among them."""
    ids = torch.randint(0, IMAGE_ID, (length,), generator=torch.Generator().manual_seed(2)).tolist()
    ids[10:13] = [IMAGE_ID, AUDIO_ID, VIDEO_ID]
    return list(ids)


def reference(exported: Written) -> ReferenceText:
    return ReferenceText(exported.spec.text, DequantisedWeights(exported.weights, exported.format))


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= EXACT.max


def agree(exported: Written) -> None:
    onnx, expected = OnnxText(exported.folder, exported.format), reference(exported)
    ids, start = prompt(), 0
    for count in STEPS:
        part = ids[start : start + count]
        assert_close(onnx.logits(part), expected.logits(part))
        start += count


@pytest.mark.parametrize("weight_format", ["f32", "q4"])
@pytest.mark.parametrize("name", [*VARIANTS, "tiny"])
def test_prompt_and_cached_decoding_agree_with_the_reference(
    name: str, weight_format: WeightFormat, written: WrittenAs
) -> None:
    agree(written(name, weight_format))


@pytest.mark.parametrize("weight_format", ["f16", "q8"])
@pytest.mark.parametrize("name", ["everything", "mixed", "ragged"])
def test_the_other_formats_agree_too(name: str, weight_format: WeightFormat, written: WrittenAs) -> None:
    agree(written(name, weight_format))


@pytest.mark.parametrize("weight_format", get_args(WeightFormat))
def test_greedy_decoding_is_the_references(weight_format: WeightFormat, written: WrittenAs) -> None:
    exported = written("everything", weight_format)
    onnx, expected = OnnxText(exported.folder, weight_format), reference(exported)
    ids, chosen = prompt(), []
    for _ in range(12):
        logits, wanted = onnx.step(ids), expected.step(ids)
        ids = [int(wanted.argmax())]
        chosen.append(ids[0])
        assert float(wanted.max() - wanted[logits.argmax()]) <= EXACT.tie
    assert len(set(chosen)) > 3, "the model repeats itself too much for this test"


def test_a_rewound_conversation_goes_on_as_if_it_had_been_short(written: WrittenAs) -> None:
    exported = written("everything", "q4")
    onnx, expected = OnnxText(exported.folder, "q4"), reference(exported)
    ids = prompt()
    onnx.logits(ids)
    onnx.rewind(30)
    expected.logits(ids[:30])
    assert onnx.position == 30
    assert_close(onnx.logits(ids[50:60]), expected.logits(ids[50:60]))
