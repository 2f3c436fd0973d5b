"""Every shader of every bundle, in every form, passes both compilers of browsers: naga (Firefox's) in wgpu-native, and
Tint (Chrome's) on Dawn's null backend."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import wgpu

from gemtab.backends.webgpu.engine.device import open_device
from gemtab.bundle.folder import load_plan
from gemtab.bundle.plan import Limits
from playwright_tests.identity import models

CASES = [*models.CASES, *models.MEDIA_CASES]
VALIDATOR = Path(__file__).parents[2] / "webruntime" / "scripts" / "validate-wgsl.mjs"


@pytest.fixture(scope="module")
def shaders(identity_bundles: dict[str, Path]) -> list[dict[str, Any]]:
    """Return each distinct text with its constants, features and bindings, in the validator's form."""
    distinct: dict[str, dict[str, Any]] = {}
    for folder in identity_bundles.values():
        for path in sorted((folder / "plan").glob("*.json")):
            for kernel in load_plan(path).kernels.values():
                for form in kernel.forms:
                    shader = {
                        "name": form.file,
                        "code": (folder / form.file).read_text(),
                        "features": form.features,
                        "entry": form.entry_point,
                        "constants": form.constants,
                        "bindings": kernel.bindings,
                    }
                    distinct.setdefault(json.dumps(shader, sort_keys=True), shader)
    return list(distinct.values())


def test_no_shader_has_enable_lines(shaders: list[dict[str, Any]]) -> None:
    assert len(shaders) > 100
    assert not [shader["name"] for shader in shaders if "enable " in shader["code"]]


def test_tint_accepts_every_shader(shaders: list[dict[str, Any]]) -> None:
    done = subprocess.run(["node", VALIDATOR], input=json.dumps(shaders), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_naga_accepts_every_shader(shaders: list[dict[str, Any]]) -> None:
    device = open_device(Limits())
    texts = {(shader["code"], tuple(shader["features"])): shader["name"] for shader in shaders}
    for (code, features), name in texts.items():
        try:
            device.module(code, features, name)
        except wgpu.GPUError as error:
            pytest.fail(f"{name}: {error}")
