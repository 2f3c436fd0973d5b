"""Benchmarks run: the comparison with transformers.js, and the one of a GPU outside a browser."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.expected import expected
from gemtab.bundle.folder import read_manifest
from playwright_tests.conftest import REPOSITORY

OPTIONS = ["--prompt", "9", "--steps", "4", "--runs", "1", "--devices", "wasm"]

GPU_OPTIONS = [
    *("--plan", "f32", "--context", "512", "--prompts", "16", "--at", "16", "--steps", "4"),
    *("--sampled", "--profile", "decode", "--no-copies"),
]

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


def run_node(script: str, *arguments: str | Path) -> str:
    """What a script of benchmarks/gpu prints. It runs on the CPU, as browser tests do."""
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
    found = json.loads(report.read_text())
    (compared,) = found["compared"]
    assert (compared["free"], compared["forced"], compared["repeated"]) == (4, 4, True), said
    assert 0 < compared["difference"] < 1e-3
    assert [one["sampled"] for one in found["decode"]] == [False, True]
    assert all(one["tokensPerSecond"] > 0 for one in found["fill"] + found["decode"])
    (profile,) = found["profile"]
    assert sum(kernel["count"] for kernel in profile["kernels"]) == len(profile["dispatches"]) > 50
    assert profile["us"] > 0 and all(kernel["us"] >= 0 for kernel in profile["kernels"])
    # The head is the largest matrix: 2,048 rows of 160 columns in q4.
    (head,) = (one for one in profile["dispatches"] if one["label"] == "decode: head")
    assert head["bytes"] == 2048 * 160 // 32 * (16 + 2)
    assert "the step as it runs" in said


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
