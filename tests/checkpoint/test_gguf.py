"""GGUF files mean what the checkpoint meant that they were made of. The gguf package and transformers are oracles."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from transformers import AutoTokenizer

from gemtab.chat import ChatTokenizer
from gemtab.checkpoint import Checkpoint, CheckpointWeights, adapted, load_spec, open_checkpoint
from gemtab.errors import CheckpointError
from gemtab.graph import Weight
from gemtab.model.text import text_graph
from gemtab.quantize import PlainFormat, packed_rows, planes, unpack
from tests.adapters import trained
from tests.checkpoint.gguf_files import F32, Q4_0, write_gguf

Gguf = Callable[..., Path]
MODELS = ["gemma3", "everything", "mixed", "bare", "unified_12b"]
TYPES = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
"""Those that the gguf package can also write."""


@pytest.fixture
def made(source: Callable[[str], Path], tmp_path: Path) -> Gguf:
    """Writes a variant as a GGUF file."""

    def make(name: str, kind: GGMLQuantizationType = F32, **changes: Any) -> Path:
        return write_gguf(source(name), tmp_path / f"{name}.gguf", kind, **changes)

    return make


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_the_checkpoints(name: str, made: Gguf, source: Callable[[str], Path]) -> None:
    """Every size and switch, and every weight to the last bit but those of Gemma 3's norms, which lost some to the 1
    that was added in f32."""
    opened, folder = open_checkpoint(made(name)), source(name)
    whole = load_spec(folder)
    # Without per-layer embeddings, their vocabulary is any number.
    text = replace(whole.text, media_ids=(), image_blocks=False, per_layer_vocabulary=whole.text.vocabulary)
    assert opened.spec.text == text
    assert opened.spec.norm_offset == whole.norm_offset
    found, wanted = CheckpointWeights(opened.tensors, opened.spec), CheckpointWeights(Checkpoint.open(folder), whole)
    for weight in text_graph(opened.spec.text).weights():
        most = 2e-7 if name == "gemma3" and "norm" in weight.name else 0.0
        torch.testing.assert_close(found.read(weight), wanted.read(weight), rtol=0, atol=most, msg=weight.name)


@pytest.mark.parametrize("kind", TYPES)
def test_values_are_those_of_the_gguf_package(kind: str, made: Gguf) -> None:
    path = made("everything", GGMLQuantizationType[kind])
    tensors = open_checkpoint(path).tensors
    stored = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == "blk.3.ffn_up.weight")
    assert stored.tensor_type.name == kind
    name, wanted = "model.layers.3.mlp.up_proj.weight", gguf.dequantize(stored.data, stored.tensor_type)
    assert tensors.shape(name) == wanted.shape
    assert np.array_equal(tensors.read(name).numpy(), wanted)
    assert np.array_equal(tensors.read_rows(name, 7, 30).numpy(), wanted[7:30])


@pytest.mark.parametrize(("kind", "scales"), [("Q4_K", (0, 4)), ("Q5_K", (0, 4)), ("Q6_K", (208, 210))])
def test_values_of_types_that_the_package_only_reads(kind: str, scales: tuple[int, int], made: Gguf) -> None:
    number = GGMLQuantizationType[kind]
    columns, size = gguf.GGML_QUANT_SIZES[number]
    name = "blk.3.attn_output.weight"

    def random_blocks(found: str, tensor: torch.Tensor) -> np.ndarray | None:
        if found != name:
            return None
        draw = np.random.default_rng(7)
        blocks = draw.integers(0, 256, (len(tensor), tensor.shape[1] // columns, size), np.uint8)
        start, stop = scales
        halves = draw.uniform(-0.01, 0.01, (*blocks.shape[:2], (stop - start) // 2)).astype("<f2")
        blocks[..., start:stop] = halves.view(np.uint8)
        return blocks.reshape(len(tensor), -1)

    path = made("everything", stored={number: random_blocks})
    opened = open_checkpoint(path)
    stored = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == name)
    assert stored.tensor_type == number
    wanted = gguf.dequantize(stored.data, number)
    assert wanted.std() > 0.01
    found = "model.layers.3.self_attn.o_proj.weight"
    assert np.array_equal(opened.tensors.read(found).numpy(), wanted)
    assert np.array_equal(opened.tensors.read_rows(found, 7, 30).numpy(), wanted[7:30])
    reader = CheckpointWeights(opened.tensors, opened.spec)
    weight = next(w for w in text_graph(opened.spec.text).weights() if w.name == "layers.3.self_attn.o_proj")
    assert np.array_equal(reader.read(weight).numpy(), wanted)


def blocks(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The codes [rows, columns] and scales [rows, blocks] of a tensor in Q4_0, by its definition in ggml."""
    stored = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == name)
    split = np.array(stored.data).reshape(len(stored.data), -1, 18)
    nibbles = split[..., 2:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], -1)
    return codes.reshape(len(split), -1), split[..., :2].copy().view("<f2")[..., 0]


def awkward(path: Path, name: str) -> None:
    """Overwrites a tensor with random codes and scales, such as no quantiser writes: blocks without -8, blocks of even
    codes alone, negative and zero scales, NaN in none."""
    reader = GGUFReader(path, "r+")
    data = next(tensor for tensor in reader.tensors if tensor.name == name).data.reshape(-1, 18)
    random = np.random.default_rng(3)
    data[:, 2:] = random.integers(0, 256, (len(data), 16))
    data[::3, 2:] |= 0x88  # codes from 8 on: nothing is negative
    data[1::3, 2:] &= 0xEE
    data[5, 2:] = 0x88
    scales = (random.standard_normal(len(data)) * 0.1).astype("<f2")
    scales[11] = 0
    data[:, :2] = scales[:, None].view(np.uint8)
    reader.data.flush()


def test_q4_0_keeps_codes_and_scales(made: Gguf) -> None:
    path, name = made("everything", Q4_0), "blk.0.ffn_down.weight"
    awkward(path, name)
    opened = open_checkpoint(path)
    weight = next(w for w in text_graph(opened.spec.text).weights() if w.name == "layers.0.mlp.down_proj")
    found = packed_rows(CheckpointWeights(opened.tensors, opened.spec), weight, "q4", 3, 50)
    codes, scales = blocks(path, name)
    packed = found["codes"].view(np.uint8)
    low, high = packed & 15, packed >> 4
    assert np.array_equal(np.stack([low, high], -1).reshape(47, -1), codes[3:50])
    assert found["scales"].tobytes() == scales[3:50].tobytes()


@pytest.mark.parametrize(("kind", "weights"), [("Q4_0", "q4"), ("Q8_0", "q8")])
def test_the_same_format_loses_nothing(kind: str, weights: PlainFormat, made: Gguf) -> None:
    opened = open_checkpoint(made("everything", GGMLQuantizationType[kind]))
    reader = CheckpointWeights(opened.tensors, opened.spec)
    for weight in text_graph(opened.spec.text).weights():
        if weight.role in ("matrix", "table"):
            stored = packed_rows(reader, weight, weights, 0, weight.shape[0])
            assert {p.name: p.shape for p in planes(weight, weights)} == {n: p.shape for n, p in stored.items()}
            assert torch.equal(unpack(stored, weights, weight.shape), reader.read(weight)), weight.name


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning", "ignore:.*tie_word_embed:UserWarning")
def test_an_adapters_change_is_not_lost_to_the_files_codes(
    made: Gguf, source: Callable[[str], Path], tmp_path: Path
) -> None:
    down, up = (f"model.layers.0.mlp.{part}_proj.weight" for part in ("down", "up"))
    adapter = trained(source("everything"), tmp_path / "adapter", 1, target_modules=r".*language.*layers\.0.*down_proj")
    opened = open_checkpoint(made("everything", Q4_0))
    tensors = adapted(opened.tensors, [adapter])
    assert opened.tensors.packed_rows(down, "q4", 0, 4) is not None
    assert tensors.packed_rows(down, "q4", 0, 4) is None
    assert tensors.packed_rows(up, "q4", 0, 4) is not None
    assert not torch.equal(tensors.read(down), opened.tensors.read(down))
    weight = Weight("down", (160, 160), "matrix", ("layers.0.mlp.down_proj.weight",))
    stored = unpack(packed_rows(CheckpointWeights(tensors, opened.spec), weight, "q4", 0, 160), "q4", (160, 160))
    error, change = stored - tensors.read(down), stored - opened.tensors.read(down)
    assert float(error.square().mean()) < float(change.square().mean()) / 2


TEXTS = [
    "Hello! What is your name?",
    "  two spaces,    four,\tand\n\n\nlines ",
    "naïve café 東京 🙂 \u200d",
    "<start_of_turn>user\nHi<end_of_turn>\n",
    '<|turn>user\nHi<turn|>\n<|channel>thought\n<channel|><|tool_call>call:f{a:<|"|>b<|"|>}<tool_call|>',
]


@pytest.mark.parametrize("name", ["gemma3", "bare"])
def test_the_tokenizer_is_the_one_that_transformers_builds(name: str, made: Gguf, tmp_path: Path) -> None:
    path = made(name)
    theirs = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    (tmp_path / "tokenizer.json").write_text(open_checkpoint(path).files.text("tokenizer.json"))
    ours = ChatTokenizer(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), text


@pytest.mark.parametrize("name", ["gemma3", "everything"])
def test_the_tokenizer_is_the_checkpoints(name: str, made: Gguf, source: Callable[[str], Path], tmp_path: Path) -> None:
    """Special tokens too: Gemma 4's marks of structure, which a GGUF has as ordinary ones, are told apart by that."""
    (tmp_path / "tokenizer.json").write_text(open_checkpoint(made(name)).files.text("tokenizer.json"))
    ours, theirs = ChatTokenizer(tmp_path), ChatTokenizer(source(name))
    for text in TEXTS:
        ids = theirs.encode(text)
        assert ours.encode(text) == ids, text
        assert [ours.piece(id_) for id_ in ids] == [theirs.piece(id_) for id_ in ids], text


def test_chat_files(made: Gguf, source: Callable[[str], Path]) -> None:
    files = open_checkpoint(made("gemma3", tokenizer__ggml__eot_token_id=9, general__sampling__top_k=40)).files
    assert files.licence() == "apache-2.0"
    assert files.text("chat_template.jinja") == (source("gemma3") / "chat_template.jinja").read_text()
    generation = json.loads(files.text("generation_config.json"))
    assert generation["eos_token_id"] == [1, 6, 9, 14]  # <eos>, <end_of_turn>, the one named, <|tool_response>
    assert (generation["top_k"], generation["top_p"], generation["do_sample"]) == (40, 0.95, True)
    assert json.loads(files.text("tokenizer_config.json"))["bos_token"] == "<bos>"
    with pytest.raises(CheckpointError, match=r"has nothing for processor_config\.json"):
        files.text("processor_config.json")


def test_facts_that_llama_cpp_has_in_its_code(made: Gguf) -> None:
    """Gemma 3: every sixth layer full, local theta 1e4, and the 27B's scale of scores."""
    changes = {"gemma3.attention.sliding_window_pattern": None, "gemma3.block_count": 62}
    text = open_checkpoint(made("gemma3", **changes)).spec.text
    assert [layer.index for layer in text.layers if layer.attention.kind == "full"] == list(range(5, 62, 6))
    assert text.layers[0].attention.rope.theta == 1e4
    assert text.layers[0].attention.scale == (96 // 4) ** -0.5


def spoil(path: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kept", [0, 3, 20, 1000, 30_000, -1])
def test_a_file_that_is_cut_short(kept: int, made: Gguf) -> None:
    path = made("gemma3")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"gemma3\.gguf (cannot be read as GGUF|is truncated)"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"general__architecture": "llama"}, "general.architecture is 'llama'; gemtab reads gemma3 and gemma4"),
        ({"split__count": 3}, "is one of 3 parts of a model"),
        ({"gemma3__attention__sinks": 4}, "gemma3.attention.sinks = 4 is not known"),
        ({"gemma3.attention.key_length": None}, "gemma3.attention.key_length is missing"),
        ({"gemma3.block_count": 2**31 - 1}, "gemma3.block_count = 2147483647: expected at most 1,000"),
        (
            {"gemma3.attention.key_length": 34, "gemma3.attention.value_length": 34},
            "head_dim = 34: expected a multiple of 4",
        ),
        ({"gemma3.rope.scaling.type": "yarn"}, "gemma3.rope.scaling.type = 'yarn'"),
        ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens is missing"),
    ],
)
def test_what_is_unknown_or_missing_is_named(changes: dict[str, Any], named: str, made: Gguf) -> None:
    path = made("gemma3", **changes)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path).files.text("tokenizer.json")
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_tokenizer_of_another_kind(made: Gguf) -> None:
    files = open_checkpoint(made("gemma3", **{"tokenizer.ggml.model": "gpt2"})).files
    with pytest.raises(CheckpointError, match=r"tokenizer\.ggml\.model is 'gpt2'"):
        files.text("tokenizer.json")


@pytest.mark.parametrize(("number", "named"), [(9999, r"9999\) is not a valid"), (39, "is MXFP4; expected one of")])
def test_a_tensor_of_a_type_that_is_not_read(number: int, named: str, made: Gguf) -> None:
    path = made("gemma3", Q4_0)
    name = b"blk.2.attn_q.weight"

    def change(content: bytearray) -> None:
        # After the name: the number of dimensions, two of them, the type.
        at = content.index(name) + len(name) + 4 + 16
        content[at : at + 4] = number.to_bytes(4, "little")

    with pytest.raises(CheckpointError, match=named):
        open_checkpoint(spoil(path, change))


def test_a_tensor_that_is_not_known(made: Gguf) -> None:
    path = spoil(made("gemma3"), lambda content: content.__setitem__(slice(*span(content)), b"blk.2.attn_x.weight"))
    with pytest.raises(CheckpointError, match=r"tensor blk\.2\.attn_x\.weight is not known"):
        open_checkpoint(path)


def span(content: bytearray) -> tuple[int, int]:
    at = content.index(b"blk.2.attn_q.weight")
    return at, at + len(b"blk.2.attn_q.weight")


def test_a_tensor_that_is_missing(made: Gguf) -> None:
    opened = open_checkpoint(made("gemma3", **{"gemma3.block_count": 6, "gemma3.attention.sliding_window_pattern": 6}))
    with pytest.raises(CheckpointError, match=r"has no tensor for model\.layers\.4\.input_layernorm\.weight"):
        CheckpointWeights(opened.tensors, opened.spec).check(text_graph(opened.spec.text).weights())


def test_a_scale_that_is_no_number(made: Gguf) -> None:
    path = made("everything", Q4_0)
    reader = GGUFReader(path, "r+")
    data = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.ffn_down.weight").data
    data[4, :2] = np.array([np.nan], "<f2").view(np.uint8)
    reader.data.flush()
    opened = open_checkpoint(path)
    weight = next(w for w in text_graph(opened.spec.text).weights() if w.name == "layers.0.mlp.down_proj")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        packed_rows(CheckpointWeights(opened.tensors, opened.spec), weight, "q4", 0, 10)
