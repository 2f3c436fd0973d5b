"""The TypeScript types of plan and manifest, and the limits of a bundle, are those that Python defines now."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("plan", "manifest", "limits")
SCRIPT = ROOT / "webruntime/scripts/generate-types.mjs"


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
    for path in (SCRIPT.relative_to(ROOT), *(bundle / f"{name}.gen.ts" for name in NAMES)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    edited = tmp_path / bundle / "plan.gen.ts"
    edited.write_text(edited.read_text().replace("vocabulary: number", "vocabulary: string"))

    result = _check(tmp_path)

    assert result.returncode == 1
    assert f"{edited} is not what gemtab.bundle.plan defines now" in result.stderr
    assert "manifest.gen.ts" not in result.stderr
