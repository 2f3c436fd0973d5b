"""A bundle that is of another version, incomplete or altered, and prompts and adapters that it does not suit."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
        (missing_data, [DATA, "lacks"]),
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
