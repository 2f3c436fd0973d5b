"""The benchmarks run: the comparison with transformers.js, and the benchmark of a GPU outside a browser."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.expected import expected
from benchmarks.gpu.report import Profile, Report
from benchmarks.traffic import reads
from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.plan import evaluate, running
from gemtab.checkpoint import load_spec
from playwright_tests.conftest import REPOSITORY

OPTIONS = ["--prompt", "9", "--steps", "4", "--runs", "1", "--devices", "wasm"]

GPU_OPTIONS = [
    *("--plan", "f32", "--context", "512", "--prompts", "16", "--at", "16", "--steps", "4"),
    *("--sampled", "--profile", "decode", "--no-copies"),
]

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


def run_node(script: str, *arguments: str | Path) -> str:
    """Return the output of a script of benchmarks/gpu. It runs on the CPU, as browser tests do."""
    environment = os.environ | ({"VK_DRIVER_FILES": str(SWIFTSHADER)} if SWIFTSHADER.exists() else {})
    command = [shutil.which("node") or "node", REPOSITORY / "benchmarks" / "gpu" / script, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_engines_are_compared(bundles: dict[str, Path]) -> None:
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.engines", bundles["tiny"], *OPTIONS]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for engine in ("gemtab", "transformers.js wasm"):
        assert re.search(rf"^{engine} .*[1-9].* 4/4 *$", ended.stdout, re.MULTILINE), ended.stdout


def test_a_gpu_is_measured_and_computes_what_the_reference_does(bundles: dict[str, Path], tmp_path: Path) -> None:
    expectation, report = tmp_path / "expected.json", tmp_path / "report.json"
    prompt = expected(bundles["tiny"], steps=4)["prompts"][0]
    expectation.write_text(json.dumps({"prompts": [prompt]}))
    said = run_node("bench.mjs", bundles["tiny"], *GPU_OPTIONS, "--expect", expectation, "--json", report)
    found = Report.model_validate_json(report.read_text())
    adapter = found.adapter
    # The processor: SwiftShader, or llvmpipe where a driver is named.
    assert re.search("swiftshader|llvmpipe", f"{adapter.architecture} {adapter.device} {adapter.driver}".lower())
    assert adapter.device in said
    assert {"timestamp-query", "subgroups"} <= set(adapter.features)
    least, largest = adapter.subgroups
    assert 4 <= least <= largest <= 128
    assert f"subgroups of {least} to {largest}; " in said
    (compared,) = found.compared
    assert (compared.free, compared.forced, compared.repeated) == (4, 4, True), said
    assert compared.difference is not None and 0 < compared.difference < 1e-3
    assert [one.tokens for one in found.fill] == [16]
    assert [one.sampled for one in found.decode] == [False, True]
    (profile,) = found.profile
    by_name = {kernel.kernel: kernel for kernel in profile.kernels}
    assert set(by_name) == {one.kernel for one in profile.dispatches}
    for name, kernel in by_name.items():
        dispatches = [one for one in profile.dispatches if one.kernel == name]
        assert kernel.count == len(dispatches)
        assert kernel.us == pytest.approx(sum(one.us for one in dispatches)) and kernel.us > 0
    assert profile.us > 0
    # The head is the largest matrix: 2,048 rows of 160 columns in q4.
    (head,) = (one for one in profile.dispatches if one.label == "decode: head")
    assert head.bytes == head.issued == 2048 * 160 // 32 * (16 + 2)
    assert_counts_are_pythons(bundles["tiny"], profile)
    assert "the step as it runs" in said


def assert_counts_are_pythons(bundle: Path, profile: Profile) -> None:
    """Check each dispatch, in order, with the bytes that benchmarks/traffic.py counts."""
    plan, spec = load_plan(bundle / "plan" / "f32.json"), load_spec(bundle).text
    sizes = {"T": 1, "P": profile.position, "C": 512}
    expected = []
    for dispatch in running(plan.programs["decode"], sizes):
        counted = reads(plan, dispatch, spec)
        weights, cache, issued = (evaluate(one, sizes) for one in (counted.weights, counted.cache, counted.issued))
        expected.append((f"decode: {dispatch.label}", weights + cache, weights + issued))
    assert [(one.label, one.bytes, one.issued) for one in profile.dispatches] == expected


def test_a_bundle_without_weights_grows_those_that_its_manifest_promises(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    run_node("skeleton.mjs", "strip", bundles["tiny"], bare)
    assert not list(bare.rglob("*.onnx_data"))
    run_node("skeleton.mjs", "grow", bare)
    for name, entry in read_manifest(bare).files.items():
        with (bare / name).open("rb") as file:
            slices = [hashlib.sha256(file.read(entry.slice_bytes)).hexdigest() for _ in entry.sha256]
        assert slices == list(entry.sha256), name
        assert (bare / name).stat().st_size == entry.bytes
