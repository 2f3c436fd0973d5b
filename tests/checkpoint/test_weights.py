"""Reading tensors: what is right in every layout, and each way a checkpoint can be damaged."""

import json
import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.errors import CheckpointError
from gemtab.graph import Weight
from gemtab.model.text import text_graph
from gemtab.quantize import PlainFormat, packed_rows
from tests.variants import variant

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREFIX = "model.language_model."
DOWN = "layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return variant("shared_kv", tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "checkpoint"))


Tensors = dict[str, torch.Tensor]


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / FILE)
    change(tensors)
    save_file(tensors, folder / FILE)


def shard(folder: Path) -> tuple[Path, Path]:
    """Split the single file in two with an index."""
    tensors = load_file(folder / FILE)
    (folder / FILE).unlink()
    names = sorted(tensors)
    files = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    parts = (names[: len(names) // 2], names[len(names) // 2 :])
    for file, part in zip(files, parts, strict=True):
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder / files[0], folder / files[1]


def read_all(folder: Path) -> Tensors:
    """Every weight that the text graph needs, as f32."""
    spec = load_spec(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), spec)
    needed = text_graph(spec.text).weights()
    weights.check(needed)
    return {weight.name: weights.read(weight) for weight in needed}


def assert_same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def test_stacks_sources_in_order(pristine: Path) -> None:
    tensors = load_file(pristine / FILE)
    layer = f"{PREFIX}layers.0.self_attn."
    parts = [tensors[f"{layer}{part}_proj.weight"].float() for part in "qkv"]
    assert torch.equal(read_all(pristine)["layers.0.qkv"], torch.cat(parts))


def test_rows_are_those_of_the_whole_across_the_seams_of_a_stack(pristine: Path) -> None:
    spec = load_spec(pristine)
    weights = CheckpointWeights(Checkpoint.open(pristine), spec)
    (qkv,) = [weight for weight in text_graph(spec.text).weights() if weight.name == "layers.0.qkv"]
    whole = weights.read(qkv)
    assert whole.dtype == torch.float32
    for start, stop in ((0, 1), (100, 140), (120, 250), (127, 129), (0, len(whole)), (len(whole) - 1, len(whole))):
        assert torch.equal(weights.read_rows(qkv, start, stop), whole[start:stop])


def test_shards_hold_what_the_single_file_held(folder: Path, pristine: Path) -> None:
    shard(folder)
    assert_same(read_all(folder), read_all(pristine))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_dtypes(dtype: torch.dtype, folder: Path, pristine: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({name: t.to(dtype) for name, t in tensors.items()}))
    assert Checkpoint.open(folder).read(f"{PREFIX}norm.weight").dtype == dtype
    found, expected = read_all(folder), read_all(pristine)
    for name, tensor in found.items():
        assert torch.allclose(tensor, expected[name], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("weights", ["f16", "q8", "q4"])
def test_a_mixture_of_dtypes_keeps_each_ones_values(weights: PlainFormat, folder: Path) -> None:
    """A merge or a fine-tune may leave matrices of one layer, which are stacked here, in three dtypes."""
    tensors = load_file(folder / FILE)
    by_part = {"q_proj": torch.bfloat16, "k_proj": torch.float16, "v_proj": torch.float32}
    others = cycle(by_part.values())
    mixed = {name: tensor.to(by_part.get(name.split(".")[-2]) or next(others)) for name, tensor in tensors.items()}
    save_file({name: tensor.float() for name, tensor in mixed.items()}, folder / FILE)
    spec = load_spec(folder)
    wanted = CheckpointWeights(Checkpoint.open(folder), spec)
    other = folder.with_name("mixed")
    other.mkdir()
    shutil.copy(folder / "config.json", other)
    save_file(mixed, other / FILE)
    found = CheckpointWeights(Checkpoint.open(other), spec)
    for weight in text_graph(spec.text).weights():
        assert torch.equal(found.read(weight), wanted.read(weight)), weight.name
        if weight.role == "matrix":
            rows = (3, weight.shape[0] - 2)
            planes, expected = (packed_rows(reader, weight, weights, *rows) for reader in (found, wanted))
            assert planes.keys() == expected.keys()
            assert all(planes[name].tobytes() == expected[name].tobytes() for name in planes), weight.name


@pytest.mark.parametrize("prefix", ["model.", "", "language_model."])
def test_the_text_prefix_is_found_in_the_names(prefix: str, folder: Path, pristine: Path) -> None:
    tensors = {prefix + name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / FILE).items()}
    save_file(tensors, folder / FILE)
    assert load_spec(folder).text_prefix == prefix
    assert_same(read_all(folder), read_all(pristine))


def test_unused_keys_and_values_of_sharing_layers_are_ignored(folder: Path, pristine: Path) -> None:
    unused = {
        f"{PREFIX}layers.5.self_attn.{name}.weight": torch.full((3,), float("nan")) for name in ("k_proj", "v_proj")
    }
    rewrite(folder, lambda tensors: tensors.update(unused))
    assert_same(read_all(folder), read_all(pristine))


def test_an_untied_head_stands_outside_the_prefix(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config))
    head = torch.randn(384, 96)
    rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": head}))
    assert torch.equal(read_all(folder)["lm_head"], head)


def set_value(value: float) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[PREFIX + DOWN][3, 5] = value

    return change


def transpose(tensors: Tensors) -> None:
    tensors[PREFIX + DOWN] = tensors[PREFIX + DOWN].T.contiguous()


def shorten(tensors: Tensors) -> None:
    name = f"{PREFIX}layers.0.self_attn.k_proj.weight"
    tensors[name] = tensors[name][:-1].contiguous()


def integers(tensors: Tensors) -> None:
    tensors[PREFIX + DOWN] = tensors[PREFIX + DOWN].to(torch.int8)


def remove(tensors: Tensors) -> None:
    del tensors[PREFIX + DOWN]


def remove_embedding(tensors: Tensors) -> None:
    del tensors[f"{PREFIX}embed_tokens.weight"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (set_value(float("nan")), f"{DOWN} has 1 values that are NaN or infinite"),
        (set_value(float("inf")), f"{DOWN} has 1 values that are NaN or infinite"),
        (set_value(float("-inf")), f"{DOWN} has 1 values that are NaN or infinite"),
        (transpose, f"{DOWN} has the wrong shape: expected [96, 160] from config.json, found [160, 96]"),
        (shorten, "expected 256 rows together"),
        (integers, f"{DOWN} is torch.int8; expected F32, F16 or BF16"),
        (remove, f"{DOWN} is not in the checkpoint"),
        (remove_embedding, "expected one tensor called …embed_tokens.weight, the token embedding; found none"),
    ],
)
def test_bad_tensors_are_named(change: Callable[[Tensors], None], named: str, folder: Path) -> None:
    rewrite(folder, change)
    with pytest.raises(CheckpointError) as caught:
        read_all(folder)
    assert named in str(caught.value)


@pytest.mark.parametrize("bytes_left", [0, 5, 2000, -1])
def test_a_truncated_file(bytes_left: int, folder: Path) -> None:
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[:bytes_left])
    with pytest.raises(CheckpointError, match=rf"{FILE} is damaged or truncated"):
        read_all(folder)


def test_no_weights_at_all(folder: Path) -> None:
    (folder / FILE).unlink()
    with pytest.raises(CheckpointError, match=rf"{FILE} is missing"):
        read_all(folder)


def test_a_missing_shard(folder: Path) -> None:
    _, second = shard(folder)
    second.unlink()
    with pytest.raises(CheckpointError, match=rf"{second.name} is missing"):
        read_all(folder)


def test_a_truncated_shard(folder: Path) -> None:
    first, _ = shard(folder)
    first.write_bytes(first.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=rf"{first.name} is damaged or truncated"):
        read_all(folder)


def test_an_index_that_promises_what_a_shard_lacks(folder: Path) -> None:
    first, second = shard(folder)
    shutil.copyfile(first, second)
    with pytest.raises(CheckpointError, match=rf"{second.name} has no tensor"):
        read_all(folder)


def hold_all_in_both(folder: Path) -> list[str]:
    tensors = load_file(folder / FILE)
    first, second = shard(folder)
    save_file(tensors, second)
    names = load_file(first).keys()
    return [f"tensor {min(names)} is in {first.name} and in {second.name}, and so are {len(names) - 1} more"]


def list_one_twice(folder: Path) -> list[str]:
    first, second = shard(folder)
    name = min(load_file(first))
    text = (folder / INDEX).read_text()
    (folder / INDEX).write_text(text.replace('"weight_map": {', f'"weight_map": {{"{name}": "{second.name}", '))
    return [f"{INDEX} lists {name} twice", "one file of this folder for each tensor"]


def keep_the_single_file(folder: Path) -> list[str]:
    whole = (folder / FILE).read_bytes()
    shard(folder)
    (folder / FILE).write_bytes(whole)
    return [f"has {FILE}, and {INDEX} lists other files", f"Remove {FILE} if the shards", f"else {INDEX}"]


def keep_another_prefix(folder: Path) -> list[str]:
    name = PREFIX + DOWN
    rewrite(folder, lambda tensors: tensors.update({f"model.{DOWN}": tensors[name] + 1}))
    return [f"tensors {name} ({FILE}) and model.{DOWN} ({FILE})", "the same weight under two prefixes"]


@pytest.mark.parametrize("spoil", [hold_all_in_both, list_one_twice, keep_the_single_file, keep_another_prefix])
def test_of_two_tensors_none_is_picked(spoil: Callable[[Path], list[str]], folder: Path) -> None:
    named = spoil(folder)
    with pytest.raises(CheckpointError) as caught:
        read_all(folder)
    for words in named:
        assert words in str(caught.value)


def test_an_index_may_list_the_single_file(folder: Path, pristine: Path) -> None:
    weight_map = dict.fromkeys(load_file(folder / FILE), FILE)
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert_same(read_all(folder), read_all(pristine))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {"a": "../secret"}}', '{"weight_map": {"a": 3}}'])
def test_a_damaged_index(text: str, folder: Path) -> None:
    (folder / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match=rf"{INDEX} cannot be read"):
        read_all(folder)


def test_reading_rows_of_a_large_table_touches_only_them(tmp_path: Path) -> None:
    """A sparse file of 8 GB stands for a table that does not fit: a whole read would be killed or take minutes."""
    rows, columns = 1 << 20, 2048
    size = rows * columns * 4
    header = {"table": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with (tmp_path / FILE).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)
    read = Checkpoint.open(tmp_path).read_rows("table", rows - 2, rows)
    assert torch.equal(read, torch.zeros(2, columns))


def test_a_name_that_is_not_there(pristine: Path) -> None:
    weight = Weight("nothing", (1,), "vector", ("nothing.weight",))
    weights = CheckpointWeights(Checkpoint.open(pristine), load_spec(pristine))
    with pytest.raises(CheckpointError, match=r"model\.language_model\.nothing\.weight is not in the checkpoint"):
        weights.check([weight])
