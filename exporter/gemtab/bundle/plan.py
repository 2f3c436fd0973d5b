"""The schema of `plan/<activation>.json` and `plan/<tower>.json`: the programs that an executor runs, as data.

An executor (Python in `gemtab.backends.webgpu.engine`, TypeScript in `webruntime/src/engine`) knows nothing about the
model. A text model has one plan per activation. Each tower, which makes rows of embeddings from images or audio, has a
plan of its own, which is loaded when the tower is first needed.

An executor follows these steps:

1. Check that the device has `features` and `limits`. Choose whether per-layer embeddings are on the GPU or on the host
   (`Residence`).
2. Create one GPU buffer for each entry of `slots` and of `buffers`, and upload the weights. Three rules apply. Skip a
   buffer that no dispatch for the chosen residence binds. Create a state buffer, zeroed, before the first dispatch that
   binds it. Create a tower's slots for each run, sized by its T, and release them after the run.
3. Create one pipeline for each kernel, from the first of its `forms` whose features the device has. `bindings` gives
   the bind group layout. Prepend the `enable` lines of the form's features to the WGSL text.
4. To run a program on T tokens at position P with context C: write the control buffer `step`, and the ids or the
   inputs of the program. With embeddings on the host, also write the rows of the ids (`RowsBuffer`). Then encode the
   dispatches in order into one compute pass. Evaluate each grid on T, P and C, and skip a dispatch with a 0 in its
   grid. Afterwards P grows by T, as the program's last dispatch advances the position on the GPU.

Expressions are data and are never evaluated as code: pages run under a strict content security policy.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

PLAN_FORMAT: Final = 1

PARAMS_ALIGNMENT: Final = 256
"""The alignment of a dispatch's params in a program's uniform buffer, which every device accepts."""

MAX_ROWS_BYTES: Final = 64 << 20
"""RowsBuffer.bytes is below this number: executors keep a copy of each RowsBuffer in memory."""

VECTOR_BYTES: Final = 16
"""Bytes of a vector of four words, the most that a kernel reads at once. Buffers are padded to whole vectors."""

FILL: Final = "fill"
"""The program of a text plan that puts prompt tokens into the caches."""

DECODE: Final = "decode"
"""The program of a text plan that takes one token, gives its logits and samples the next token."""

VERIFY: Final = "verify"
"""The program of a text plan that takes drafted tokens and gives logits for each."""

ENCODE: Final = "encode"
"""The program of a tower's plan."""

ROWS: Final = "rows"
"""The output of `encode`: rows of embeddings, [T, hidden] f32."""

Feature = Literal["shader-f16", "subgroups"]
"""WebGPU features that a plan or a kernel may need."""

Activation = Literal["f32", "f16"]
"""The dtype of keys and values in the caches."""

Symbol = Literal["T", "P", "C"]
"""T: tokens of the step. P: tokens in the caches before the step. C: the context chosen at load, in tokens."""

Residence = Literal["gpu", "host"]
"""Where per-layer embeddings are. gpu: whole, in GPU memory. host: in a file; before each step the executor writes the
rows of the step's ids to the GPU."""

PlanChoice = Literal["auto", "f16", "f32"]
"""The dtype that a caller asks for keys and values. auto: f16 if the device has `shader-f16`, else f32."""

HostEmbeddingsChoice = Literal["auto", "never", "always"]
"""Whether per-layer embeddings stay on the host. auto: only if the model does not fit the given memory with them."""

Operator = Literal["+", "-", "*", "ceildiv", "min", "max"]

Expr = TypeAliasType("Expr", Annotated[int, Field(ge=0)] | Symbol | "tuple[Operator, Expr, Expr]")
"""A number, a symbol, or [operator, left, right], in integer arithmetic. Intermediate results may be negative."""


def evaluate(expr: "Expr", values: dict[str, int]) -> int:
    """Return the value of an expression. values: T, P and C, as far as the expression uses them.

    Raises ZeroDivisionError for `ceildiv` by 0, and KeyError for a symbol that is not in `values`.
    """
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        return values[expr]
    operator, left, right = expr[0], evaluate(expr[1], values), evaluate(expr[2], values)
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "ceildiv":
            return -(-left // right)
        case "min":
            return min(left, right)
        case "max":
            return max(left, right)


class Strict(BaseModel):
    """A frozen model that rejects unknown fields. The docstring below a field is the field's description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Count = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Limit = Annotated[int, Field(gt=0, lt=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class WeightBuffer(Strict):
    """A read-only buffer with a part of a file of the bundle."""

    kind: Literal["weight"] = "weight"
    file: str
    """Path in the bundle."""
    offset: Annotated[int, Field(ge=0, multiple_of=4)]
    """The first byte of the part in the file."""
    bytes: Annotated[int, Field(gt=0, multiple_of=4)]
    """Bytes of the part."""


class Ring(Strict):
    """The shape of a ring buffer along the positions. Position p is stored in row p modulo `rows`.

    A rewind by at most `rows` - `window` positions finds all rows that it needs. A longer rewind needs a snapshot.
    """

    rows: Positive
    """Positions that the buffer holds, at least `window`."""
    window: Positive
    """The sliding window: positions that a token attends to."""


class StateBuffer(Strict):
    """A cache of keys or values, kept from step to step. Created, zeroed, before the first dispatch that binds it."""

    kind: Literal["state"] = "state"
    bytes: Expr
    """Size in bytes. May depend on C."""
    scale: Finite = 1.0
    """The factor of the stored numbers: stored = value * scale. A power of two that keeps values within f16; 1 in f32.
    Executors ignore it, since kernels have it in their params. Readers of a cache divide by it."""
    ring: Ring | None = None
    """The shape of a ring. null for a cache that keeps every position."""


class RowsBuffer(Strict):
    """A cache, on the GPU, of rows of per-layer embeddings that stay on the host.

    Before a step, the executor writes the rows of the step's ids that are missing, into free slots or else over the
    least recently used rows. Then it writes the slot of each token's row into the control buffer `slots`. All
    RowsBuffers of a plan use the same slot for the same id.

    The row of an id has `row_bytes` bytes and begins at byte `offset` + id * `row_bytes` of `file`.
    """

    kind: Literal["rows"] = "rows"
    file: str
    """Path in the bundle."""
    offset: Annotated[int, Field(ge=0)]
    """The first byte of row 0 in the file."""
    row_bytes: Annotated[int, Field(gt=0)]
    """Bytes of a row. Rows need not be whole words."""
    rows: Annotated[int, Field(gt=0)]
    """Rows in the file, more than the largest id."""
    replaced: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(fail_fast=True)] = ()
    """Ids that get the row of `replacement`: those of placeholders."""
    replacement: Annotated[int, Field(ge=0)] = 0
    """The id whose row the ids in `replaced` get."""
    slots: Annotated[int, Field(gt=0)]
    """Rows that the buffer holds, at least the most tokens of a step."""
    bytes: Annotated[int, Field(gt=0, lt=MAX_ROWS_BYTES, multiple_of=4)]
    """Size in bytes: `slots` * `row_bytes`, rounded up to whole words."""


class ScratchBuffer(Strict):
    """A value that exists within one step. Values that are never needed at the same time share a slot."""

    kind: Literal["scratch"] = "scratch"
    slot: Count
    """Index in `Plan.slots`. Each slot is a GPU buffer of its own, since WebGPU tracks use by whole buffers."""
    bytes: Expr
    """Size in bytes, a multiple of 4. In a tower's plan it may depend on T."""


class ControlBuffer(Strict):
    """A small buffer through which the executor and the programs exchange values. Its name is its role.

    All are arrays of u32 unless stated otherwise:

    - `ids` [max_tokens]: token ids of the step. The executor writes the ids of prompts. A step of `decode` leaves the
      sampled id in ids[0], where the next step reads it.
    - `step` [4]: position of the first token; number of tokens; number of ids sampled so far; rows of a tower's input
      (patches or frames, 0 in text plans). The programs advance the position and the number of samples.
    - `sampling` [4]: temperature (f32, 0 is greedy); top_k (0 for the most that the sampler supports); top_p (f32,
      1 for no limit); seed.
    - `sampled` [sampled_ring]: sampled ids. Id number n, counted by step[2], is at n modulo sampled_ring.
    - `media` [max_tokens, hidden] f32, in plans of models that take images or audio: row t is used instead of the
      embedding of token t if token t is a placeholder. The executor copies these rows from a tower's output.
    - `slots` [max_tokens], in plans with a RowsBuffer: the slot of token t's row in every RowsBuffer.
    - `visible` [max_tokens], in plans of models in which the tokens of an image see each other: the last position that
      token t attends to in sliding layers. This is the last position of the image, or the token's own position.

    A tower's plan has `step` alone.
    """

    kind: Literal["control"] = "control"
    role: Literal["ids", "step", "sampling", "sampled", "media", "slots", "visible"]
    """The buffer's purpose, and its name in `Plan.buffers`."""
    bytes: Annotated[int, Field(gt=0, multiple_of=4)]
    """Size in bytes, a multiple of 4."""


Buffer = Annotated[WeightBuffer | RowsBuffer | StateBuffer | ScratchBuffer | ControlBuffer, Field(discriminator="kind")]


class Form(Strict):
    """One way to run a kernel: a WGSL file and the values of its overrides."""

    file: str
    """Path in the bundle. The text has no `enable` lines; the executor prepends those of `features`."""
    entry_point: str = "main"
    """The name of the compute function."""
    features: Annotated[tuple[Feature, ...], Field(fail_fast=True)] = ()
    """WebGPU features that the device must have."""
    constants: dict[str, Finite] = {}
    """Values of the WGSL `override` declarations, by name."""


class Kernel(Strict):
    """A compute pipeline: the bindings of its group 0 and the ways to run it."""

    bindings: Annotated[tuple[Literal["read", "read_write", "uniform"], ...], Field(fail_fast=True)]
    """The type of each binding, in order. At most one is `uniform`, and that is the last."""
    forms: Annotated[tuple[Form, ...], Field(min_length=1, fail_fast=True)]
    """The best form first. The last needs the fewest features, all of which the plan requires."""


class Dispatch(Strict):
    """One run of a kernel."""

    kernel: str
    """A name in `Plan.kernels`."""
    bindings: Annotated[tuple[str, ...], Field(fail_fast=True)]
    """Names in `Plan.buffers`, one for each storage binding of the kernel, in order."""
    params: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(fail_fast=True)] | None = None
    """Words of the kernel's `uniform` binding. null for a kernel without one. The executor lays out the params of all
    dispatches in one uniform buffer per program, each aligned to PARAMS_ALIGNMENT bytes."""
    grid: tuple[Expr, Expr, Expr]
    """Workgroups in x, y and z. A 0 skips the dispatch."""
    label: str
    """The location in the model, for errors and profiles."""
    embeddings: Residence | None = None
    """Run the dispatch only if per-layer embeddings are there. null: always."""


class Program(Strict):
    """The dispatches of a step, in order."""

    max_tokens: Positive
    """The largest T of a step."""
    dispatches: Annotated[tuple[Dispatch, ...], Field(fail_fast=True)]
    """Dispatches, in the order in which they run."""
    inputs: dict[str, str] = {}
    """Values that the caller writes before a step: the value's name to a name in `Plan.buffers`."""
    outputs: dict[str, str] = {}
    """Values that the caller may read after a step, such as `logits`: the value's name to a name in `Plan.buffers`."""


def running(program: "Program", sizes: dict[str, int], embeddings: Residence = "gpu") -> list["Dispatch"]:
    """Return the dispatches that a step of these sizes (T, P, C) runs with per-layer embeddings there."""
    chosen = [one for one in program.dispatches if one.embeddings in (None, embeddings)]
    return [one for one in chosen if 0 not in [evaluate(expr, sizes) for expr in one.grid]]


def bound_for(plan: "Plan", embeddings: Residence) -> frozenset[str]:
    """Return the names of the buffers that the dispatches bind with per-layer embeddings there."""
    dispatches = (dispatch for program in plan.programs.values() for dispatch in program.dispatches)
    return frozenset(name for one in dispatches if one.embeddings in (None, embeddings) for name in one.bindings)


class Limits(Strict):
    """WebGPU limits that the plan needs, by WebGPU's names. A device must have at least these."""

    maxStorageBufferBindingSize: Limit = 128 << 20
    """Bytes of a storage binding."""
    maxBufferSize: Limit = 256 << 20
    """Bytes of a buffer."""
    maxStorageBuffersPerShaderStage: Limit = 8
    """Storage bindings of a kernel."""
    maxComputeWorkgroupStorageSize: Limit = 16384
    """Bytes of workgroup memory of a kernel."""
    maxComputeInvocationsPerWorkgroup: Limit = 256
    """Invocations of a workgroup."""
    maxComputeWorkgroupsPerDimension: Limit = 65535
    """Workgroups of a dispatch along x, y or z."""


class Plan(Strict):
    """Everything that an executor runs.

    A text plan has the programs `fill` (puts prompt tokens into the caches), `decode` (takes one token, gives logits
    and samples the next id) and `verify` (takes up to 8 drafted tokens and gives logits for each). A tower's plan has
    the program `encode`, which turns the input rows of one image, or of one segment of audio, into the output `rows`,
    [T, hidden] f32.
    """

    format: Literal[1] = PLAN_FORMAT
    """The version of this schema."""
    activation: Activation
    """The dtype of the caches. Everything else is f32."""
    features: Annotated[tuple[Feature, ...], Field(fail_fast=True)] = ()
    """WebGPU features that the device must have. f16 plans need `shader-f16`."""
    limits: Limits
    """WebGPU limits that the device must have."""
    context: Positive
    """The largest context, in tokens. The executor may choose a smaller C. In a tower's plan the largest T."""
    vocabulary: Count
    """Number of token ids. 0 in a tower's plan."""
    sampled_ring: Count
    """Ids that the control buffer `sampled` holds. 0 in a tower's plan."""
    slots: Annotated[tuple[Expr, ...], Field(fail_fast=True)]
    """Bytes of each scratch slot: numbers in a text plan, expressions in T in a tower's plan."""
    buffers: dict[str, Buffer]
    """All buffers but the slots, by name."""
    kernels: dict[str, Kernel]
    """Kernels by name."""
    programs: dict[str, Program]
    """Programs by name."""
