"""TypeScript's types of plan and manifest, and the constants that both languages need, are those of Python now."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "webruntime/scripts/generate-types.mjs"
GENERATED = sorted((ROOT / "webruntime/src").rglob("*.gen.ts"))


def _check(root: Path) -> subprocess.CompletedProcess[str]:
    script = root / SCRIPT.relative_to(ROOT)
    env = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(["node", script, "--check"], env=env, capture_output=True, text=True, check=False)


def test_generated_types_are_current() -> None:
    result = _check(ROOT)
    assert result.returncode == 0, result.stderr


def test_types_that_are_not_current_are_named(tmp_path: Path) -> None:
    """A copy of the repository's layout in which one generated file was edited by hand."""
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    bundle = Path("webruntime/src/bundle")
    for path in (each.relative_to(ROOT) for each in (SCRIPT, ROOT / "tools/constants.py", *GENERATED)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    edited = tmp_path / bundle / "plan.gen.ts"
    edited.write_text(edited.read_text().replace("vocabulary: number", "vocabulary: string"))
    constants = tmp_path / bundle / "facts.gen.ts"
    constants.write_text(constants.read_text().replace("= 256;", "= 255;"))

    result = _check(tmp_path)

    assert result.returncode == 1
    assert f"{edited} is not what gemtab.bundle.plan defines now" in result.stderr
    assert f"{constants} is not what gemtab.bundle.plan, gemtab.bundle.manifest" in result.stderr
    assert "manifest.gen.ts" not in result.stderr
