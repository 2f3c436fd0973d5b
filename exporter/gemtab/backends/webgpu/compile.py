"""Compiles a model's graphs to `plan/<activation>.json`, `plan/tables.bin` and `shaders/*.wgsl`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.fusion import FusedGraph
from gemtab.backends.webgpu.lower import (
    SAMPLED_RING,
    Lowering,
    Shared,
    control_buffers,
    media_buffers,
)
from gemtab.backends.webgpu.place import place
from gemtab.backends.webgpu.render import KernelSource
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.backends.webgpu.tiles import EXPERT_TOKENS
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import PlanEntry, PlanMemory, WeightFormat
from gemtab.bundle.memory import plan_memory
from gemtab.bundle.plan import (
    DECODE,
    FILL,
    MAX_ROWS_BYTES,
    VERIFY,
    Dispatch,
    Form,
    Kernel,
    Limits,
    Plan,
    Program,
    ScratchBuffer,
    WeightBuffer,
)
from gemtab.errors import DeviceError
from gemtab.graph import Graph, Weight, known
from gemtab.quantize import WeightReader

FILL_TOKENS = 256
"""Prompt tokens per `fill` step, if the limits allow so many."""

BLOCK_TOKENS = 1152
"""The same if the tokens of an image see each other: an image of 1,120 tokens must be filled in one step."""

HOST_SLOTS = 2048
"""Slots on the GPU for rows of embeddings on the host: enough for the words of a conversation, 10 MB for E2B."""

VERIFY_TOKENS = 8
"""Drafted tokens per `verify` step."""

TABLES = "plan/tables.bin"


@dataclass
class PlanBuilder:
    """Collects programs into one plan: scratch values into slots, kernels' WGSL into `shaders` (text by file)."""

    shared: Shared
    vocabulary: int
    kernels: dict[str, Kernel] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    shaders: dict[str, str] = field(default_factory=dict)
    _scratch: dict[str, tuple[int, int]] = field(default_factory=dict)
    _slots: list[int] = field(default_factory=list)
    _keys: dict[KernelSource, str] = field(default_factory=dict)

    def add_program(
        self, name: str, lowering: Lowering, tokens: int, outputs: Mapping[str, str], inputs: Sequence[str] = ()
    ) -> None:
        """Assign slots to the values of a lowered program, and add the program.

        tokens: most tokens of a step. outputs: values that callers read, by the output's name. inputs: values that
        callers write before the program runs.
        """
        chosen, sizes = place(_lifetimes(lowering, [*outputs.values()], inputs), lowering.sizes)
        for slot, size in enumerate(sizes):
            if slot == len(self._slots):
                self._slots.append(0)
            self._slots[slot] = max(self._slots[slot], size)
        for value, slot in chosen.items():
            self._scratch[f"{name}/{value}"] = (slot, lowering.sizes[value])

        def buffer(value: str) -> str:
            return f"{name}/{value}" if value in chosen else value

        dispatches = tuple(
            Dispatch(
                kernel=self._kernel(launch.kernel),
                bindings=tuple(buffer(value) for value in launch.bindings),
                params=launch.params or None,
                grid=launch.grid,
                label=launch.label,
                embeddings=launch.embeddings,
            )
            for launch in lowering.launches
        )
        self.programs[name] = Program(
            max_tokens=tokens,
            dispatches=dispatches,
            inputs={value: buffer(value) for value in inputs},
            outputs={key: buffer(value) for key, value in outputs.items()},
        )

    def finish(self, tables: Mapping[str, WeightBuffer]) -> Plan:
        """Return the plan. tables: the buffers of the angle tables, by name."""
        buffers = {
            **self.shared.buffers,
            **tables,
            **control_buffers(max(program.max_tokens for program in self.programs.values())),
            **{name: ScratchBuffer(slot=slot, bytes=size) for name, (slot, size) in self._scratch.items()},
        }
        f16 = self.shared.activation == "f16"
        return Plan(
            activation=self.shared.activation,
            features=("shader-f16",) if f16 else (),
            limits=self.shared.limits,
            context=self.shared.context,
            vocabulary=self.vocabulary,
            sampled_ring=SAMPLED_RING,
            slots=tuple(self._slots),
            buffers=buffers,
            kernels=self.kernels,
            programs=self.programs,
        )

    def _kernel(self, source: KernelSource) -> str:
        if source not in self._keys:
            same = sum(key.name == source.name for key in self._keys)
            self._keys[source] = source.name if not same else f"{source.name}#{same}"
            accesses = [binding.access for binding in source.bindings] + (["uniform"] if source.params else [])
            forms = [self._form(source, subgroups=True)] if source.reduces else []
            self.kernels[self._keys[source]] = Kernel.model_validate(
                {"bindings": accesses, "forms": (*forms, self._form(source, subgroups=False))}
            )
        return self._keys[source]

    def _form(self, source: KernelSource, subgroups: bool) -> Form:
        text = source.render(subgroups)
        file = f"shaders/{source.name}{'.subgroups' if subgroups else ''}.wgsl"
        assert self.shaders.setdefault(file, text) == text, f"two kernels are called {file}"
        half = dict(source.structure).get("cache") == "f16"
        features = [*(["shader-f16"] if half else []), *(["subgroups"] if subgroups else [])]
        constants = {name: float(value) for name, value in source.constants}
        return Form.model_validate({"file": file, "features": features, "constants": constants})


def _lifetimes(lowering: Lowering, outputs: Sequence[str], inputs: Sequence[str]) -> dict[str, tuple[int, int]]:
    last = len(lowering.launches)
    lives: dict[str, tuple[int, int]] = dict.fromkeys(inputs, (-1, -1))
    for index, launch in enumerate(lowering.launches):
        for name in launch.bindings:
            if name in lowering.sizes:
                lives[name] = (lives.get(name, (index, index))[0], index)
    return {name: (born, last if name in outputs else died) for name, (born, died) in lives.items()}


def lower_program(
    shared: Shared, fused: FusedGraph, tokens: int, fill: bool, keep: Sequence[str] = ()
) -> tuple[Lowering, dict[str, str]]:
    """Lower the steps of a graph. keep: names of the graph's outputs that callers read.

    Returns the lowering, and the value's name of each kept output.
    """
    lowering = Lowering(shared, tokens, fill)
    inputs = [value for value in fused.graph.inputs if value.dtype == "f32"]
    lowering.lower(fused.steps, inputs)
    return lowering, {name: fused.graph.outputs[name].name for name in keep}


def looked_up(graph: Graph) -> list[Weight]:
    """Return the weights that are only looked up by row: no embedding that a tied head multiplies by."""
    uses = [(item, node.op == "embed") for node in graph.nodes for item in node.inputs if isinstance(item, Weight)]
    others = {weight.name for weight, look_up in uses if not look_up}
    return [weight for weight, look_up in uses if look_up and weight.name not in others]


def _host_slots(tables: Sequence[Weight], stored: StoredWeights, fill_tokens: int) -> int:
    """Return the number of slots for rows of embeddings on the host; 0 if the limits do not allow those of one step.

    HOST_SLOTS, at most an eighth of the table's rows (small models have few), at least `fill_tokens`.
    """
    most = min((stored.max_slots(table, MAX_ROWS_BYTES) for table in tables), default=0)
    eighth = min((table.shape[0] // 8 for table in tables), default=0)
    return min(most, max(fill_tokens, min(HOST_SLOTS, eighth))) if most >= fill_tokens else 0


def _fill_tokens(shared: Shared, filling: FusedGraph) -> int:
    """Return the tokens of a `fill` step, such that every value fits a binding.

    A power of two up to FILL_TOKENS. If the tokens of an image see each other: a multiple of EXPERT_TOKENS up to
    BLOCK_TOKENS.
    """
    lowering, _ = lower_program(replace(shared, buffers={}, tables={}), filling, 1, fill=True)
    most = tokens_that_fit(max(lowering.sizes.values()), shared.limits)
    if any(value.name == "visible" for value in filling.graph.inputs):
        return min(BLOCK_TOKENS, max(most // EXPERT_TOKENS * EXPERT_TOKENS, 1), shared.context)
    return int(min(FILL_TOKENS, 1 << (most.bit_length() - 1), shared.context))


def tokens_that_fit(bytes_per_token: int, limits: Limits) -> int:
    """Return the number of tokens that fit a binding. Raises DeviceError if one token does not fit."""
    most = limits.maxStorageBufferBindingSize // bytes_per_token
    if most < 1:
        raise DeviceError(
            f"One token's activations need a storage binding of {bytes_per_token:,} bytes, more than the "
            f"limit of {limits.maxStorageBufferBindingSize:,} that the plan is made for."
        )
    return most


def build_text_plan(
    filling: FusedGraph,
    whole: FusedGraph,
    stored: StoredWeights,
    activation: Activation,
    context: int,
    limits: Limits,
) -> tuple[PlanBuilder, Shared]:
    """Build the programs `fill`, `decode` and `verify` of a text model.

    filling: the graph that only fills caches. whole: the graph that ends in `logits`. Both take `input_ids` at
    `position_ids`. Raises DeviceError if the model does not fit the limits.
    """
    vocabulary = known(whole.graph.outputs["logits"].shape[-1])
    tables = looked_up(whole.graph)
    names = frozenset(table.name for table in tables)
    shared = Shared(stored, activation, limits, context, fill_tokens=1, looked_up=names)
    fill_tokens = _fill_tokens(shared, filling)
    slots = _host_slots(tables, stored, fill_tokens)
    shared = replace(shared, fill_tokens=fill_tokens, host_slots=slots, buffers={}, tables={})
    builder = PlanBuilder(shared, vocabulary)

    lowering, _ = lower_program(shared, filling, shared.fill_tokens, fill=True)
    shared.buffers.update(media_buffers(filling.graph, shared.fill_tokens))
    lowering.advance()
    builder.add_program(FILL, lowering, shared.fill_tokens, {})

    lowering, outputs = lower_program(shared, whole, 1, fill=False, keep=["logits"])
    lowering.sample(whole.graph.outputs["logits"])
    builder.add_program(DECODE, lowering, 1, outputs)

    verify = max(1, min(VERIFY_TOKENS, shared.fill_tokens, limits.maxStorageBufferBindingSize // (4 * vocabulary)))
    lowering, outputs = lower_program(shared, whole, verify, fill=False, keep=["logits"])
    lowering.advance()
    builder.add_program(VERIFY, lowering, verify, outputs)
    return builder, shared


def compile_plans(
    filling: FusedGraph,
    whole: FusedGraph,
    weight_format: WeightFormat,
    locations: Mapping[tuple[str, str], Location],
    weights: WeightReader,
    out: Path,
    context: int,
    limits: Limits | None = None,
) -> tuple[PlanEntry, ...]:
    """Write `plan/` and `shaders/` into the bundle folder `out`, and return the plans in order of preference.

    filling, whole: see build_text_plan. locations: of each plane, by (weight name, plane name). context: the largest
    context in tokens. Raises DeviceError if the model does not fit the limits.
    """
    limits = limits or Limits()
    stored = StoredWeights(
        weight_format,
        locations,
        lambda weight: weights.read(weight).tolist(),
        limits.maxStorageBufferBindingSize,
        lambda weight, first, stop: weights.read_rows(weight, first, stop).numpy(),
    )
    (out / "plan").mkdir(parents=True, exist_ok=True)
    (out / "shaders").mkdir(exist_ok=True)
    plans: dict[Activation, Plan] = {}
    for activation in ("f16", "f32"):
        builder, shared = build_text_plan(filling, whole, stored, activation, context, limits)
        plans[activation] = builder.finish(write_tables(out, shared.tables))
        (out / "plan" / f"{activation}.json").write_text(plans[activation].model_dump_json(exclude_none=True))
        write_shaders(out, builder.shaders)
    return tuple(plan_entry(f"plan/{activation}.json", plan, plan_memory(plan)) for activation, plan in plans.items())


def plan_entry(file: str, plan: Plan, memory: PlanMemory) -> PlanEntry:
    """Return the manifest's entry of a plan."""
    tokens = max(program.max_tokens for program in plan.programs.values())
    return PlanEntry(file=file, activation=plan.activation, features=plan.features, tokens=tokens, memory=memory)


def write_shaders(out: Path, shaders: Mapping[str, str]) -> None:
    """Write shaders, text by file. Plans share files: two shaders of one name have one text."""
    for file, text in shaders.items():
        path = out / file
        assert not path.exists() or path.read_text() == text, f"two kernels are called {file}"
        path.write_text(text)


def write_tables(out: Path, tables: Mapping[str, np.ndarray], file: str = TABLES) -> dict[str, WeightBuffer]:
    """Write tables into `file`, each at a multiple of 256 bytes. Return their buffers by name. No tables, no file."""
    buffers, content = {}, bytearray()
    for name, table in tables.items():
        content.extend(b"\0" * (-len(content) % 256))
        buffers[name] = WeightBuffer(file=file, offset=len(content), bytes=table.nbytes)
        content.extend(table.tobytes())
    if tables:
        (out / file).write_bytes(content)
    return buffers
