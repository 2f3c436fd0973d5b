"""The draft graph in onnxruntime against the reference on the dequantised weights; its inputs and outputs."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from gemtab.backends.onnx.run import OnnxDraft
from gemtab.backends.reference import Reference
from gemtab.bundle.onnx_files import DRAFT_STEM
from gemtab.errors import BundleError
from gemtab.parity.tolerances import ACTIVATIONS
from gemtab.quantize import DequantisedWeights, PlainFormat
from tests.assistants import ASSISTANTS, Draft, random_draft
from tests.onnx.conftest import Written, WrittenAs, draft_graphs
from tests.onnx.test_graphs import ROUNDING, session, signature

FORMATS: tuple[PlainFormat, ...] = get_args(PlainFormat)
EXACT = ACTIVATIONS["f32"]
PASTS = [1, 9, 10, 57]


def reference(exported: Written) -> Reference:
    weights = DequantisedWeights(exported.weights, exported.format)
    return Reference(draft_graphs(exported.spec)[DRAFT_STEM], weights)


def step(onnx_draft: OnnxDraft, draft: Draft) -> dict[str, torch.Tensor]:
    caches = {kind: (cache.k, cache.v) for kind, cache in draft.caches.items()}
    return onnx_draft.step(draft.inputs_embeds, draft.position, caches)


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("name", ASSISTANTS)
def test_a_draft_agrees_with_the_reference(name: str, weight_format: PlainFormat, drafts: WrittenAs) -> None:
    exported = drafts(name, weight_format)
    runner, expected = OnnxDraft(exported.folder, weight_format), reference(exported)
    for past in PASTS:
        draft = random_draft(name, past)
        wanted, found = expected.run(draft.graph_inputs, draft.graph_caches), step(runner, draft)
        assert found.keys() == wanted.keys()
        for output in wanted:
            assert found[output].shape == wanted[output].shape
            assert float((found[output] - wanted[output]).abs().max()) <= EXACT.max


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("name", ["plain", "centroids"])
def test_files_pass_the_checker(name: str, weight_format: PlainFormat, drafts: WrittenAs) -> None:
    exported = drafts(name, weight_format)
    path = exported.graphs[DRAFT_STEM]
    onnx.checker.check_model(str(path), full_check=True)
    assert len({at.file for at in exported.locations[DRAFT_STEM].values()}) > 1, "several files are meant here"


@pytest.mark.parametrize("name", ["plain", "centroids"])
def test_inputs_are_what_a_target_has_and_outputs_what_the_next_draft_takes(name: str, drafts: WrittenAs) -> None:
    found = session(drafts(name, "q4").graphs[DRAFT_STEM])
    batch, tokens, past = "batch_size", "sequence_length", "past_sequence_length"
    assert signature(found.get_inputs()) == {
        "inputs_embeds": ("tensor(float)", [batch, tokens, 320]),
        "position_ids": ("tensor(int64)", [batch, tokens]),
        "attention_mask": ("tensor(int64)", [batch, past]),
        "shared_kv_states.sliding_attention.key": ("tensor(float)", [batch, 1, past, 32]),
        "shared_kv_states.sliding_attention.value": ("tensor(float)", [batch, 1, past, 32]),
        "shared_kv_states.full_attention.key": ("tensor(float)", [batch, 1, past, 64]),
        "shared_kv_states.full_attention.value": ("tensor(float)", [batch, 1, past, 64]),
    }
    assert signature(found.get_outputs()) == {
        "logits": ("tensor(float)", [batch, tokens, 384]),
        "last_hidden_state": ("tensor(float)", [batch, tokens, 160]),
    }


@pytest.mark.parametrize("name", ["plain", "centroids"])
def test_conversations_in_a_batch_do_not_see_each_other_nor_padding(name: str, drafts: WrittenAs) -> None:
    """The shorter conversation is padded on the left by more than the window."""
    exported = drafts(name, "q8")
    runner, pasts = OnnxDraft(exported.folder, "q8"), (12, 31)
    each = [random_draft(name, past) for past in pasts]
    alone = [step(runner, draft) for draft in each]
    logits, hidden = session(exported.graphs[DRAFT_STEM]).run(["logits", "last_hidden_state"], batch(each))
    for row, expected in enumerate(alone):
        np.testing.assert_allclose(logits[row], expected["logits"], atol=ROUNDING)
        np.testing.assert_allclose(hidden[row], expected["last_hidden_state"], atol=ROUNDING)


def batch(each: list[Draft]) -> dict[str, npt.NDArray[Any]]:
    """The graph's inputs for several conversations, padded on the left with values that must not be read."""
    longest = max(draft.position for draft in each)

    def padded(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
        lead = torch.full((longest - len(tensor), *tensor.shape[1:]), 9.0)
        whole: npt.NDArray[np.float32] = torch.cat([lead, tensor]).transpose(0, 1).numpy()
        return whole

    feeds: dict[str, npt.NDArray[Any]] = {
        f"shared_kv_states.{kind}_attention.{part}": np.stack(
            [padded(getattr(draft.caches[kind], part[0])) for draft in each]
        )
        for kind in ("sliding", "full")
        for part in ("key", "value")
    }
    positions = np.arange(longest)
    feeds["inputs_embeds"] = np.stack([draft.inputs_embeds.numpy() for draft in each])
    feeds["position_ids"] = np.array([[draft.position] for draft in each])
    feeds["attention_mask"] = np.stack([(positions >= longest - draft.position).astype(np.int64) for draft in each])
    return feeds


@pytest.mark.parametrize("weight_format", ["f32", "q8", "q4"])
def test_no_f16_or_f64_is_left_once_an_engine_has_folded_constants(
    weight_format: PlainFormat, drafts: WrittenAs, tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    path = drafts("plain", weight_format).graphs[DRAFT_STEM]
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    folded = onnx.load(tmp_path / "folded.onnx", load_external_data=False)
    unwanted = {onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    assert [tensor.name for tensor in folded.graph.initializer if tensor.data_type in unwanted] == []


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"draft_model_q4\.onnx is missing"):
        OnnxDraft(tmp_path, "q4")
