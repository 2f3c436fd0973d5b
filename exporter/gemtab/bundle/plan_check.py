"""Checks of a plan beyond the schema: its parts must fit each other, the bundle's files and the plan's limits.

A plan that passes cannot make an executor read or bind out of bounds, even if its author is hostile. `checkPlan` in
TypeScript does the same checks. tests/fixtures/bundle_checks.json has cases for both languages.
"""

from collections.abc import Iterable, Mapping
from math import inf, prod

from gemtab.bundle import limits
from gemtab.bundle.manifest import Manifest, PlanEntry, PlanMemory
from gemtab.bundle.manifest_check import Check, checker, plan_entries
from gemtab.bundle.memory import plan_memory
from gemtab.bundle.plan import (
    DECODE,
    ENCODE,
    FILL,
    ROWS,
    Buffer,
    ControlBuffer,
    Dispatch,
    Expr,
    Kernel,
    Plan,
    Program,
    RowsBuffer,
    ScratchBuffer,
    StateBuffer,
    WeightBuffer,
    evaluate,
)

_WORD = 4

Sizes = Mapping[str, int]


def check_plan(plan: Plan, manifest: Manifest, file: str, where: str | None = None) -> None:
    """Raise BundleError, with the file and the part, if the plan does not fit itself or the manifest.

    file: the plan's path in the bundle. where: the file's name in errors, `file` by default.
    """
    check = checker(where or file)
    _check_counts(plan, check)
    _check_programs_there(plan, check)
    slots = [value(size, largest_sizes(plan)) for size in plan.slots]
    for size in slots:
        fits = 0 < size <= plan.limits.maxBufferSize and size % _WORD == 0
        check(fits, f"a slot has {size} bytes; expected a multiple of 4 up to {plan.limits.maxBufferSize}")
    for name, buffer in plan.buffers.items():
        _check_buffer(plan, manifest, name, buffer, check)
    _check_controls(plan, check)
    _check_media_controls(plan, check)
    for name, kernel in plan.kernels.items():
        _check_kernel(plan, manifest, name, kernel, check)
    for name, program in plan.programs.items():
        _check_program(plan, name, program, check)
    _check_outputs(plan, check)
    _check_entry(plan, manifest, file, check)


def is_tower(plan: Plan) -> bool:
    """Whether a plan is that of a tower: it has no vocabulary."""
    return plan.vocabulary == 0


def largest_sizes(plan: Plan) -> Sizes:
    """Return the sizes of the largest step at the end of the context."""
    tokens = max((program.max_tokens for program in plan.programs.values()), default=0)
    return {"T": tokens, "P": plan.context, "C": plan.context}


def value(expr: Expr, sizes: Sizes) -> float:
    """Return the value of an expression; infinity if it divides by 0."""
    try:
        return evaluate(expr, dict(sizes))
    except ZeroDivisionError:
        return inf


def _check_counts(plan: Plan, check: Check) -> None:
    dispatches = sum(len(program.dispatches) for program in plan.programs.values())
    found = (
        ("dispatches", dispatches, limits.DISPATCHES),
        ("buffers", len(plan.buffers) + len(plan.slots), limits.BUFFERS),
        ("kernels", len(plan.kernels), limits.KERNELS),
    )
    for what, count, most in found:
        check(count <= most, f"{count} {what} are more than {most}")


def _check_programs_there(plan: Plan, check: Check) -> None:
    for name in (ENCODE,) if is_tower(plan) else (FILL, DECODE):
        check(name in plan.programs, f'there is no program "{name}"')


def _bytes(buffer: Buffer, sizes: Sizes) -> float:
    """Return the bytes of a buffer that its bindings cover."""
    return value(buffer.bytes, sizes)


def _check_buffer(plan: Plan, manifest: Manifest, name: str, buffer: Buffer, check: Check) -> None:
    sizes = largest_sizes(plan)
    size = _bytes(buffer, sizes)
    check(0 < size < limits.MAX_INTEGER and size % _WORD == 0, f"buffer {name} has {size} bytes")
    if isinstance(buffer, WeightBuffer | RowsBuffer):
        _check_in_file(manifest, name, buffer, check)
    if isinstance(buffer, RowsBuffer):
        _check_rows(plan, name, buffer, check)
    if isinstance(buffer, ScratchBuffer):
        _check_scratch(plan, name, buffer, check)
    if isinstance(buffer, StateBuffer) and buffer.ring:
        rows, window = buffer.ring.rows, buffer.ring.window
        check(rows >= window, f"ring {name} has {rows} rows for a window of {window}")
    if not isinstance(buffer, StateBuffer):
        most = plan.limits.maxStorageBufferBindingSize
        check(size <= most, f"buffer {name} has {size} bytes, more than the binding limit of {most}")


def _check_in_file(manifest: Manifest, name: str, buffer: WeightBuffer | RowsBuffer, check: Check) -> None:
    entry = manifest.files.get(buffer.file)
    check(entry is not None, f"buffer {name} is in {buffer.file}, which the manifest does not list")
    length = buffer.bytes if isinstance(buffer, WeightBuffer) else buffer.rows * buffer.row_bytes
    end, has = buffer.offset + length, entry.bytes if entry else 0
    check(end <= has, f"buffer {name} ends at byte {end} of {buffer.file}, which has {has}")


def _check_rows(plan: Plan, name: str, buffer: RowsBuffer, check: Check) -> None:
    tokens = largest_sizes(plan)["T"]
    check(buffer.slots >= tokens, f"buffer {name} has {buffer.slots} slots for the rows of {tokens} tokens")
    needed = buffer.slots * buffer.row_bytes
    check(
        buffer.bytes >= needed,
        f"buffer {name} has {buffer.bytes} bytes for {buffer.slots} rows of {buffer.row_bytes}",
    )
    most = max(plan.vocabulary - 1, buffer.replacement)
    check(most < buffer.rows, f"buffer {name} has {buffer.rows} rows in its file, none for id {most}")


def _check_scratch(plan: Plan, name: str, buffer: ScratchBuffer, check: Check) -> None:
    sizes = largest_sizes(plan)
    for at in ({**sizes, "T": 1}, sizes):
        needed = _bytes(buffer, at)
        slot = value(plan.slots[buffer.slot], at) if buffer.slot < len(plan.slots) else 0
        check(needed <= slot, f"buffer {name} needs {needed} bytes of slot {buffer.slot}, which has {slot}")


def _controls(plan: Plan, role: str) -> list[ControlBuffer]:
    return [one for one in plan.buffers.values() if isinstance(one, ControlBuffer) and one.role == role]


def _check_controls(plan: Plan, check: Check) -> None:
    tokens = largest_sizes(plan)["T"]
    wanted = {"step": 4}
    if not is_tower(plan):
        wanted = {"ids": tokens, "step": 4, "sampling": 4, "sampled": plan.sampled_ring}
        if any(isinstance(buffer, RowsBuffer) for buffer in plan.buffers.values()):
            wanted["slots"] = tokens
    for role, words in wanted.items():
        found = _controls(plan, role)
        check(len(found) == 1, f'there are {len(found)} control buffers "{role}" instead of 1')
        size = found[0].bytes
        check(size >= words * _WORD > 0, f'control buffer "{role}" has {size} bytes for {words} words')
        check(plan.buffers.get(role) is found[0], f'control buffer "{role}" has another name')


def _check_media_controls(plan: Plan, check: Check) -> None:
    """Check `media` and `visible`, which the plans of models that take images or audio have."""
    tokens = plan.programs[FILL].max_tokens if FILL in plan.programs else 0
    for name, buffer in plan.buffers.items():
        if not (isinstance(buffer, ControlBuffer) and buffer.role in ("media", "visible")):
            continue
        count = len(_controls(plan, buffer.role))
        check(count == 1, f'there are {count} control buffers "{buffer.role}" instead of 1')
        check(name == buffer.role, f'control buffer "{buffer.role}" has another name')
        row = tokens * _WORD
        fits = tokens > 0 and buffer.bytes >= row and buffer.bytes % row == 0
        check(fits, f"control buffer {name} has {buffer.bytes} bytes for the {tokens} tokens of a chunk")


def _check_kernel(plan: Plan, manifest: Manifest, name: str, kernel: Kernel, check: Check) -> None:
    bindings = kernel.bindings
    last = "uniform" not in bindings or bindings.index("uniform") == len(bindings) - 1
    check(last, f"kernel {name} has a uniform that is not its last binding")
    storage, most = sum(kind != "uniform" for kind in bindings), plan.limits.maxStorageBuffersPerShaderStage
    check(storage <= most, f"kernel {name} has {storage} storage bindings, more than {most}")
    for form in kernel.forms:
        check(form.file in manifest.files, f"kernel {name} is in {form.file}, which the manifest does not list")
    excess = [feature for feature in kernel.forms[-1].features if feature not in plan.features]
    check(not excess, f"every form of kernel {name} needs {','.join(excess)}, which the plan does not ask for")


def _check_program(plan: Plan, name: str, program: Program, check: Check) -> None:
    tokens = program.max_tokens
    check(0 < tokens <= plan.context, f"program {name} takes {tokens} tokens in a context of {plan.context}")
    for what, buffer in (*program.inputs.items(), *program.outputs.items()):
        check(buffer in plan.buffers, f'{what} of program {name} is an unknown buffer "{buffer}"')
    for dispatch in program.dispatches:

        def at(holds: bool, message: str, label: str = dispatch.label) -> None:
            check(holds, f"program {name}, {label}: {message}")

        _check_bindings(plan, dispatch, at)
        _check_grid(plan, tokens, dispatch, at)


def _check_bindings(plan: Plan, dispatch: Dispatch, check: Check) -> None:
    name, kernel = dispatch.kernel, plan.kernels.get(dispatch.kernel)
    check(kernel is not None, f'unknown kernel "{name}"')
    kinds = kernel.bindings if kernel else ()
    access = [kind for kind in kinds if kind != "uniform"]
    found = len(dispatch.bindings)
    check(found == len(access), f"{found} bindings for the {len(access)} of kernel {name}")
    wants = "uniform" in kinds
    check((dispatch.params is not None) == wants, f"kernel {name} {'has' if wants else 'has no'} params")
    words = len(dispatch.params) if dispatch.params is not None else 1
    check(0 < words * _WORD <= limits.UNIFORM_BYTES, f"{words} params")
    bound: dict[str, str] = {}
    for binding, kind in zip(dispatch.bindings, access, strict=True):
        buffer = plan.buffers.get(binding)
        check(buffer is not None, f'unknown buffer "{binding}"')
        writes = kind == "read_write"
        given = isinstance(buffer, WeightBuffer | RowsBuffer)
        check(not (writes and given), f"the weight {binding} is bound to be written")
        # WebGPU permits a buffer in two bindings of a dispatch only if both are read-only.
        memory = f"slot {buffer.slot}" if isinstance(buffer, ScratchBuffer) else binding
        alone = memory not in bound or (not writes and bound[memory] == "read")
        check(alone, f"{memory} is bound twice, and written")
        bound[memory] = kind


def _check_grid(plan: Plan, tokens: int, dispatch: Dispatch, check: Check) -> None:
    """Check grids at the smallest and largest T and P. Executors check each grid again before they dispatch it.

    A dispatch with more workgroups than bound words is rejected: in exports each workgroup has dozens of words.
    """
    for sizes in _corners(plan, tokens):
        at = f"T = {sizes['T']}, P = {sizes['P']}"
        grid = [value(expr, sizes) for expr in dispatch.grid]
        for size in grid:
            check(is_grid_size(size, plan), f"a grid of {size} workgroups at {at}")
        words = sum(_bytes(plan.buffers[name], sizes) for name in dispatch.bindings) // _WORD
        check(prod(grid) <= words, f"{prod(grid)} workgroups for the {words} words that it binds, at {at}")


def _corners(plan: Plan, tokens: int) -> Iterable[Sizes]:
    for count in {1, tokens}:
        for before in {0, plan.context - count}:
            yield {"T": count, "P": before, "C": plan.context}


def is_grid_size(size: float, plan: Plan) -> bool:
    """Whether `size` is a valid number of workgroups along one axis of a dispatch."""
    return 0 <= size <= plan.limits.maxComputeWorkgroupsPerDimension


def _check_outputs(plan: Plan, check: Check) -> None:
    """Check that `logits` holds the logits of all tokens, and that inputs and output of a tower are scratch."""
    if is_tower(plan):
        _check_tower(plan, check)
        return
    check("logits" in plan.programs[DECODE].outputs, "decode gives no logits")
    for name, program in plan.programs.items():
        if buffer := plan.buffers.get(program.outputs.get("logits", "")):
            tokens, size = program.max_tokens, _bytes(buffer, largest_sizes(plan))
            fits = isinstance(buffer, ScratchBuffer) and size >= _WORD * plan.vocabulary * tokens
            check(fits, f"program {name} gives logits of {size} bytes for {plan.vocabulary} ids of {tokens} tokens")


def _check_tower(plan: Plan, check: Check) -> None:
    program = plan.programs[ENCODE]
    whole = ROWS in program.outputs and bool(program.inputs)
    check(whole, "the tower has no inputs, or no rows that it makes")
    check(program.max_tokens == plan.context, f"encode takes {program.max_tokens} of the {plan.context} tokens")
    for what, name in (*program.inputs.items(), *program.outputs.items()):
        buffer = plan.buffers[name]
        check(isinstance(buffer, ScratchBuffer), f"{what} of a tower is {name}, which is no scratch buffer")
        one, most = (value(buffer.bytes, {"T": count, "P": 0, "C": plan.context}) for count in (1, plan.context))
        even = one > 0 and one % _WORD == 0 and most == plan.context * one
        check(even, f"{what} of a tower is {name}, whose bytes are not proportional to the tokens")


def _check_entry(plan: Plan, manifest: Manifest, file: str, check: Check) -> None:
    """Check that the manifest's entry states the plan's own values: callers decide by the entry."""
    entries = [entry for entry in plan_entries(manifest) if entry.file == file]
    check(bool(entries), "the manifest names no such plan")
    for entry in entries:
        # By identity and not by value: a manifest may have equal entries in both lists.
        tower = not any(entry is one for one in manifest.plans)
        check(tower == is_tower(plan), f"the manifest says that it is a {'tower' if tower else 'text model'}")
        context = entry.tokens if tower else manifest.context
        check(plan.context == context, f"the manifest says {context} tokens of context, the plan {plan.context}")
        same = entry.activation == plan.activation and set(entry.features) == set(plan.features)
        check(same, "the manifest says another activation or other features than the plan")
        tokens = largest_sizes(plan)["T"]
        check(entry.tokens == tokens, f"the manifest says {entry.tokens} tokens a step, the plan {tokens}")
        _check_memory(plan, entry, check)


def _check_memory(plan: Plan, entry: PlanEntry, check: Check) -> None:
    stated, own = entry.memory, own_memory(plan)
    for count, context in ((1, 1), (entry.tokens, plan.context)):
        sizes = {"T": count, "P": context, "C": context}
        for name in PlanMemory.model_fields:
            said, found = value(getattr(stated, name), sizes), value(getattr(own, name), sizes)
            check(said == found, f"the manifest says {said} bytes of {name}, but the plan takes {found}")


def own_memory(plan: Plan) -> PlanMemory:
    """Return the memory that a plan takes, a tower's output rows included."""
    outputs = plan.programs[ENCODE].outputs if is_tower(plan) else {}
    return plan_memory(plan, [plan.buffers[name].bytes for what, name in outputs.items() if what == ROWS])
