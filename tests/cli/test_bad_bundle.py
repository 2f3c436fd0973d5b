"""A bundle that is of another version, incomplete or altered, and prompts and adapters that it does not suit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gemtab.chat import prompt_process
from tests.cli.conftest import Gemtab, accept_changes, edit_json

DATA = "onnx/decoder_model_merged_q4.onnx_data"
PLANS = ("plan/f32.json", "plan/f16.json")


def another_format(bundle: Path) -> None:
    edit_json(bundle / "gemtab.json", format=99)


def no_manifest(bundle: Path) -> None:
    (bundle / "gemtab.json").unlink()


def broken_manifest(bundle: Path) -> None:
    (bundle / "gemtab.json").write_text('{"format": 1, ')


def strange_manifest(bundle: Path) -> None:
    edit_json(bundle / "gemtab.json", weights="q5")


def missing_data(bundle: Path) -> None:
    (bundle / DATA).unlink()


def short_data(bundle: Path) -> None:
    whole = (bundle / DATA).read_bytes()
    (bundle / DATA).write_bytes(whole[:-1])


def altered_data(bundle: Path) -> None:
    content = bytearray((bundle / DATA).read_bytes())
    content[1000] ^= 1
    (bundle / DATA).write_bytes(content)


@pytest.mark.parametrize("command", ["run", "verify"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (another_format, ["format 99", "format 1"]),
        (no_manifest, ["not a bundle", "gemtab.json"]),
        (broken_manifest, ["gemtab.json", "damaged"]),
        (strange_manifest, ["gemtab.json", "weights"]),
        (missing_data, [DATA, "has no"]),
        (short_data, [DATA, "bytes"]),
        (altered_data, [DATA, "slice 0", "SHA-256"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_bundle_is_refused(
    gemtab: Gemtab, bundle: Path, command: str, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(bundle)
    arguments = ["-p", "Hello"] if command == "run" else []
    gemtab(command, bundle, *arguments).refused(4, *words)


@pytest.mark.parametrize("spoil", [another_format, broken_manifest])
def test_inspect_refuses_a_bad_manifest(gemtab: Gemtab, bundle: Path, spoil: Callable[[Path], None]) -> None:
    spoil(bundle)
    gemtab("inspect", bundle).refused(4, "gemtab.json")


def edit_plans(bundle: Path, change: Callable[[Any], None]) -> None:
    """Changes both plans, and lets the manifest agree with the files."""
    for file in PLANS:
        plan = json.loads((bundle / file).read_text())
        change(plan)
        (bundle / file).write_text(json.dumps(plan))
    accept_changes(bundle, *PLANS)


def weight_outside(bundle: Path) -> None:
    (bundle.parent / "secret.bin").write_bytes(bytes(1 << 20))

    def change(plan: Any) -> None:
        buffer = next(buffer for buffer in plan["buffers"].values() if buffer["kind"] == "weight")
        buffer |= {"file": "../secret.bin", "offset": 0}

    edit_plans(bundle, change)


def shader_outside(bundle: Path) -> None:
    def change(plan: Any) -> None:
        kernel = next(iter(plan["kernels"].values()))
        (bundle.parent / "evil.wgsl").write_text((bundle / kernel["forms"][0]["file"]).read_text())
        kernel["forms"][0]["file"] = "../evil.wgsl"

    edit_plans(bundle, change)


def memory_that_lies(bundle: Path) -> None:
    content = json.loads((bundle / "gemtab.json").read_text())
    for entry in content["plans"]:
        entry["memory"]["weights"] = 0
    (bundle / "gemtab.json").write_text(json.dumps(content))


def nested_manifest(bundle: Path) -> None:
    (bundle / "gemtab.json").write_text("[" * 200_000)


def linked_tokenizer(bundle: Path) -> None:
    (bundle / "tokenizer.json").rename(bundle.parent / "tokenizer.json")
    (bundle / "tokenizer.json").symlink_to(bundle.parent / "tokenizer.json")


@pytest.mark.parametrize("command", ["run", "inspect", "verify", "publish"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (weight_outside, ["../secret.bin", "manifest"]),
        (shader_outside, ["../evil.wgsl", "manifest"]),
        (memory_that_lies, ["0 bytes of weights", "plan takes"]),
        (nested_manifest, ["nested too deeply"]),
        (linked_tokenizer, ["tokenizer.json", "link out of"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bundle_is_not_trusted(
    gemtab: Gemtab, bundle: Path, command: str, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(bundle)
    arguments = ["-p", "Hello"] if command == "run" else []
    gemtab(command, bundle, *arguments).refused(4, *words)


def test_a_shader_that_the_gpu_refuses(gemtab: Gemtab, bundle: Path) -> None:
    shaders = sorted(path.name for path in (bundle / "shaders").glob("advance*.wgsl"))
    for name in shaders:
        (bundle / "shaders" / name).write_text("@compute @workgroup_size(1) fn main() { nothing(); }")
    accept_changes(bundle, *(f"shaders/{name}" for name in shaders))
    gemtab("run", bundle, "-p", "Hello").refused(4, "advance", "the GPU rejects it")


def test_a_template_that_does_not_end(gemtab: Gemtab, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_process, "CALL_SECONDS", 1.0)
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (bundle / "chat_template.jinja").write_text(loops)
    accept_changes(bundle, "chat_template.jinja")
    gemtab("run", bundle, "-p", "Hello").refused(4, "Template and tokenizer", "within 1 s")


def test_a_prompt_longer_than_the_context(gemtab: Gemtab, exported: Path) -> None:
    gemtab("run", exported, "-p", "word " * 600).refused(7, "512", "--context")


def test_an_adapter_with_limits_too_small(gemtab: Gemtab, bundle: Path) -> None:
    for plan in PLANS:
        edit_json(bundle / plan, limits={"maxComputeInvocationsPerWorkgroup": 1 << 20})
    accept_changes(bundle, *PLANS)
    gemtab("run", bundle, "-p", "Hello").refused(5, "invocations", "1,048,576")


def test_a_plan_of_another_version(gemtab: Gemtab, bundle: Path) -> None:
    for plan in PLANS:
        edit_json(bundle / plan, format=2)
    accept_changes(bundle, *PLANS)
    gemtab("run", bundle, "-p", "Hello").refused(4, "plan/")


GRAPH = "onnx/decoder_model_merged_q4.onnx"


def wrong_bits(graph: onnx.GraphProto) -> str:
    """A product whose codes are not as long as its number of bits says."""
    node = next(node for node in graph.node if node.op_type == "MatMulNBits")
    next(attribute for attribute in node.attribute if attribute.name == "bits").i = 8
    return str(node.name)


def wrong_width(graph: onnx.GraphProto) -> str:
    """A sum behind many products, of vectors that are not of one width."""
    node = [node for node in graph.node if node.op_type == "Mul"][-3]
    graph.initializer.append(onnx.numpy_helper.from_array(np.ones(7, np.float32), "seven"))
    node.input[1] = "seven"
    return str(node.name)


def wrong_axis(graph: onnx.GraphProto) -> str:
    """A concatenation along an axis that there is not."""
    node = [node for node in graph.node if node.op_type == "Concat"][-1]
    node.attribute[0].i = 9
    return str(node.name)


def no_such_operator(graph: onnx.GraphProto) -> str:
    """An operator that onnxruntime does not have."""
    node = next(node for node in graph.node if node.op_type == "MatMulNBits")
    node.op_type = "MatMulNBit"
    return str(node.name)


def short_tensor(graph: onnx.GraphProto) -> str:
    """A tensor whose data end before its last row."""
    tensor = next(tensor for tensor in graph.initializer if tensor.external_data)
    length = next(entry for entry in tensor.external_data if entry.key == "length")
    length.value = str(int(length.value) - 1)
    return str(tensor.name)


@pytest.mark.parametrize("spoil", [wrong_bits, wrong_width, wrong_axis, no_such_operator, short_tensor])
def test_verify_names_the_graph_and_the_node_that_are_not_valid(
    gemtab: Gemtab, bundle: Path, spoil: Callable[[onnx.GraphProto], str]
) -> None:
    model = onnx.load(bundle / GRAPH, load_external_data=False)
    place = spoil(model.graph)
    onnx.save(model, bundle / GRAPH)
    accept_changes(bundle, GRAPH)
    gemtab("verify", bundle).refused(4, GRAPH, place, "not a valid ONNX graph")
