"""The bundle that mutants are made of: small, and cut so that a software GPU compiles it within a second."""

import json
import tempfile
from pathlib import Path

from gemtab.bundle.digest import digest_file
from gemtab.bundle.folder import read_manifest, write_manifest
from gemtab.bundle.memory import plan_memory
from gemtab.bundle.plan import Plan, Program
from gemtab.export import export_bundle
from tests import variants
from tests.silent import Silent

RECIPE = variants.Recipe(
    {
        **variants.PER_LAYER,
        **variants.SOFTCAP,
        "layer_types": [variants.SLIDING, variants.FULL],
        "hidden_size": 64,
        "intermediate_size": 96,
    },
    vision=variants.VISION,
    audio=variants.AUDIO,
)
"""A ring, a cache that grows, tables of rows, towers, a softcap."""

KEPT = ("embed.", "insert_rows", "qkv_heads", "advance", "argmax", "sample", "matmul-decode.q4.softcap", "attention")
"""The kernels that are kept: one of each thing that a plan can say."""


def make_checkpoint(folder: Path) -> Path:
    """Random weights, and the chat of models/tiny."""
    variants.TOWERS.setdefault("hard", RECIPE)
    variants.variant("hard", folder, with_tokenizer=True)
    return folder


def make(folder: Path) -> Path:
    """A whole bundle."""
    with tempfile.TemporaryDirectory() as checkpoint:
        made = make_checkpoint(Path(checkpoint) / "hard")
        export_bundle(made, folder, "q4", context=512, force=False, progress=Silent())
    return folder


def make_cut(folder: Path) -> Path:
    """The same with most dispatches left out: what it says makes no sense, but it loads and answers."""
    make(folder)
    manifest = read_manifest(folder)
    entries = []
    files = dict(manifest.files)
    for one in manifest.plans:
        plan = _cut(Plan.model_validate_json((folder / one.file).read_bytes()))
        (folder / one.file).write_text(json.dumps(plan.model_dump(mode="json", exclude_none=True)))
        files[one.file] = digest_file(folder / one.file)
        entries.append(one.model_copy(update={"memory": plan_memory(plan)}))
    write_manifest(folder, manifest.model_copy(update={"plans": tuple(entries), "files": files}))
    return folder


def _cut(plan: Plan) -> Plan:
    programs = {name: _short(program) for name, program in plan.programs.items() if name != "verify"}
    dispatches = [one for program in programs.values() for one in program.dispatches]
    used = {one.kernel for one in dispatches}
    bound = {name for one in dispatches for name in one.bindings}
    bound |= {name for program in programs.values() for name in program.outputs.values()}
    buffers = {name: one for name, one in plan.buffers.items() if name in bound or one.kind == "control"}
    kernels = {name: one for name, one in plan.kernels.items() if name in used}
    return plan.model_copy(update={"programs": programs, "buffers": buffers, "kernels": kernels})


def _short(program: Program) -> Program:
    kept = [one for one in program.dispatches if one.kernel.startswith(KEPT)]
    # One attention is enough.
    short = [one for one in kept if not (one.kernel.startswith("attention") and ".1." in one.label)]
    return program.model_copy(update={"dispatches": tuple(short)})
