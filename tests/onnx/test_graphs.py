"""The interface of the ONNX files: for transformers.js, other engines, and plans that share their data."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from gemtab.backends.onnx import write_onnx
from gemtab.backends.onnx.run import OnnxText
from gemtab.backends.reference import rope
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import DECODER_STEM, EMBED_STEM, FOLDER
from gemtab.errors import BundleError
from gemtab.graph import GraphBuilder
from tests.onnx.conftest import Written, WrittenAs
from tests.variants import IMAGE_ID, VIDEO_ID

Array = npt.NDArray[np.int64] | npt.NDArray[np.float32]

# For sums in another order.
ROUNDING = 1e-4

FORMATS = get_args(WeightFormat)


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def signature(declared: Any) -> dict[str, tuple[str, list[int | str]]]:
    return {value.name: (value.type, value.shape) for value in declared}


def decode(exported: Written, ids: npt.NDArray[np.int64], **changed: Array) -> npt.NDArray[np.float32]:
    """Logits of ids [batch, T] without a past. changed: replaces inputs of the decoder."""
    batch, length = ids.shape
    embed, decoder = session(exported.graphs[EMBED_STEM]), session(exported.graphs[DECODER_STEM])
    feeds: dict[str, Array] = dict(
        zip([output.name for output in embed.get_outputs()], embed.run(None, {"input_ids": ids}), strict=True)
    )
    feeds["position_ids"] = np.tile(np.arange(length), (batch, 1))
    feeds["attention_mask"] = np.ones((batch, length), np.int64)
    feeds["num_logits_to_keep"] = np.array(0, np.int64)
    for declared in decoder.get_inputs():
        if declared.name.startswith("past_key_values."):
            _, heads, _, size = declared.shape
            feeds[declared.name] = np.zeros((batch, heads, 0, size), np.float32)
    logits: npt.NDArray[np.float32] = decoder.run(["logits"], {**feeds, **changed})[0]
    return logits


def some_ids(batch: int, length: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(3).integers(0, IMAGE_ID, (batch, length))


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("name", ["everything", "mixed"])
@pytest.mark.parametrize("stem", [EMBED_STEM, DECODER_STEM])
def test_files_pass_the_checker(name: str, weight_format: WeightFormat, stem: str, written: WrittenAs) -> None:
    path = written(name, weight_format).graphs[stem]
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path, load_external_data=False)
    assert model.producer_name == "gemtab"
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 21, "com.microsoft": 1}


def test_inputs_and_outputs_are_what_transformers_js_feeds_and_reads(written: WrittenAs) -> None:
    exported = written("everything", "q4")
    embed, decoder = session(exported.graphs[EMBED_STEM]), session(exported.graphs[DECODER_STEM])
    batch, tokens = "batch_size", "sequence_length"
    embeddings = {
        "inputs_embeds": ("tensor(float)", [batch, tokens, 160]),
        "per_layer_inputs": ("tensor(float)", [batch, tokens, 8, 32]),
    }
    assert signature(embed.get_inputs()) == {"input_ids": ("tensor(int64)", [batch, tokens])}
    assert signature(embed.get_outputs()) == embeddings
    # Four of eight layers own a cache. The fourth is full, with larger heads.
    sizes = {0: 32, 1: 32, 2: 32, 3: 64}

    def caches(name: str, length: str) -> dict[str, tuple[str, list[int | str]]]:
        return {
            f"{name}.{layer}.{part}": ("tensor(float)", [batch, 1, length, size])
            for layer, size in sizes.items()
            for part in ("key", "value")
        }

    assert signature(decoder.get_inputs()) == {
        **embeddings,
        "position_ids": ("tensor(int64)", [batch, tokens]),
        "num_logits_to_keep": ("tensor(int64)", []),
        "attention_mask": ("tensor(int64)", [batch, "total_sequence_length"]),
        **caches("past_key_values", "past_sequence_length"),
    }
    assert signature(decoder.get_outputs()) == {
        "logits": ("tensor(float)", [batch, "kept", 384]),
        **caches("present", "total_sequence_length"),
    }


def test_a_model_without_per_layer_embeddings_has_no_such_input(written: WrittenAs) -> None:
    exported = written("mixed", "q4")
    assert [output.name for output in session(exported.graphs[EMBED_STEM]).get_outputs()] == ["inputs_embeds"]
    assert "per_layer_inputs" not in signature(session(exported.graphs[DECODER_STEM]).get_inputs())


@pytest.mark.parametrize(("keep", "kept"), [(0, 9), (1, 1), (4, 4), (9, 9), (20, 9)])
def test_num_logits_to_keep_counts_from_the_end(keep: int, kept: int, written: WrittenAs) -> None:
    exported = written("everything", "f32")
    ids = some_ids(1, 9)
    logits = decode(exported, ids, num_logits_to_keep=np.array(keep, np.int64))
    assert logits.shape == (1, kept, 384)
    np.testing.assert_allclose(logits, decode(exported, ids)[:, -kept:], atol=ROUNDING)


@pytest.mark.parametrize("name", ["everything", "mixed"])
def test_padding_on_the_left_changes_nothing(name: str, written: WrittenAs) -> None:
    """Prompts and padding are longer than the window of 8, so that rows of padding see nothing."""
    exported = written(name, "f32")
    ids, pad = some_ids(1, 20), 11
    padded = np.concatenate([np.zeros((1, pad), np.int64), ids], axis=1)
    mask = (np.arange(pad + 20) >= pad).astype(np.int64)[None]
    # As transformers.js counts positions: 1 at padding.
    positions = np.where(mask == 1, mask.cumsum(-1) - 1, 1)
    found = decode(exported, padded, attention_mask=mask, position_ids=positions)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, pad:], decode(exported, ids), atol=ROUNDING)


@pytest.mark.parametrize("name", ["everything", "mixed"])
def test_conversations_in_a_batch_do_not_see_each_other(name: str, written: WrittenAs) -> None:
    exported = written(name, "q4")
    ids = some_ids(3, 20)
    alone = np.concatenate([decode(exported, row[None]) for row in ids])
    np.testing.assert_allclose(decode(exported, ids), alone, atol=ROUNDING)


def test_media_placeholders_look_up_the_pad_tokens_row(written: WrittenAs) -> None:
    exported = written("everything", "q4")
    embed = session(exported.graphs[EMBED_STEM])
    for output in embed.run(None, {"input_ids": np.array([[IMAGE_ID, VIDEO_ID, exported.spec.text.pad_id, 5]])}):
        np.testing.assert_array_equal(output[0, 0], output[0, 2])
        np.testing.assert_array_equal(output[0, 1], output[0, 2])
        assert np.abs(output[0, 3] - output[0, 2]).max() > 0


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("stem", [EMBED_STEM, DECODER_STEM])
def test_every_initializer_of_the_checkpoint_is_where_the_plan_looks(
    weight_format: WeightFormat, stem: str, written: WrittenAs
) -> None:
    exported = written("everything", weight_format)
    model = onnx.load(exported.graphs[stem], load_external_data=False)
    found = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entry = {item.key: item.value for item in tensor.external_data}
            weight, plane = tensor.name.rsplit(".", 1)
            found[weight, plane] = (f"{FOLDER}/{entry['location']}", int(entry["offset"]), int(entry["length"]))
    expected = exported.locations[stem]
    assert found == {key: (at.file, at.offset, at.bytes) for key, at in expected.items()}
    assert stem == EMBED_STEM or len({at.file for at in expected.values()}) > 1, "several files are meant here"


@pytest.mark.parametrize("weight_format", ["f32", "q8", "q4"])
@pytest.mark.parametrize("stem", [EMBED_STEM, DECODER_STEM])
def test_no_f16_or_f64_is_left_once_an_engine_has_folded_constants(
    weight_format: WeightFormat, stem: str, written: WrittenAs, tmp_path: Path
) -> None:
    """GPUs without f16 could not compute with f16, and some builds of ONNX Runtime have no f64."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(
        written("mixed", weight_format).graphs[stem], options, providers=["CPUExecutionProvider"]
    )
    folded = onnx.load(tmp_path / "folded.onnx", load_external_data=False)
    assert folded.graph.initializer
    unwanted = {onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    left = [tensor.name for tensor in folded.graph.initializer if tensor.data_type in unwanted]
    assert left == []


@pytest.mark.parametrize(("theta", "size", "rotated_pairs"), [(1e4, 256, 128), (1e6, 512, 64), (100.0, 32, 16)])
def test_rope_is_as_exact_at_the_last_position_as_at_the_first(
    theta: float, size: int, rotated_pairs: int, tmp_path: Path
) -> None:
    b = GraphBuilder("rope")
    positions = b.input("position_ids", ("T",), "i32")
    graph = b.finish(rotated=b.rope(b.input("x", ("T", 2, size)), positions, theta, rotated_pairs))
    path = tmp_path / write_onnx(tmp_path, "rope", graph, "f32", {})
    at = np.array([0, 1, 4095, 131_071, 262_143])
    x = np.random.default_rng(6).standard_normal((len(at), 2, size), np.float32)
    (found,) = session(path).run(None, {"x": x[None], "position_ids": at[None]})
    expected = rope(torch.from_numpy(x), torch.from_numpy(at), theta=theta, rotated_pairs=rotated_pairs)
    np.testing.assert_allclose(found[0], expected.numpy(), atol=4e-6)


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"embed_tokens_q4\.onnx is missing"):
        OnnxText(tmp_path, "q4")


def test_a_cut_data_file_is_rejected_by_an_error_that_names_it(tmp_path: Path, written: WrittenAs) -> None:
    exported = written("base", "q4")
    copy = tmp_path / FOLDER
    copy.mkdir()
    for file in exported.graphs[EMBED_STEM].parent.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    data = copy / f"{exported.graphs[EMBED_STEM].name}_data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"onnxruntime rejects .*embed_tokens_q4\.onnx"):
        OnnxText(tmp_path, "q4")
