"""The schema of `plan/<activation>.json`: the programs that an executor runs, as data.

An executor (Python in `gemtab.backends.webgpu.engine`, TypeScript in `webruntime/src/engine`) needs to know
nothing about the model. A text model has one plan; its towers, which make rows of embeddings of pictures and sound,
have plans of their own, loaded when they are first needed. An executor

1. checks that the device has `features` and `limits`, and chooses where look-up tables lie (`Tables`);
2. makes one GPU buffer for each entry of `slots` (a tower's only for the run, sized by its T) and of `buffers` (state
   buffers when a dispatch first binds them, zeroed as WebGPU does), and uploads the weights; what no dispatch for its
   choice of tables binds is left out;
3. makes one pipeline for each kernel, from the first of its `forms` whose features the device has, with the
   bind group layout that `bindings` gives, and prepends the `enable` lines of that form's features;
4. to run a program on T tokens at position P with context C: writes `step` (and `ids`, or the program's inputs, and the
   tokens' rows of tables that lie on the host), then encodes the dispatches in order into one compute pass, evaluating
   each grid on T, P and C and leaving out those with a zero in it; then its own P advances by T, as the program's last
   dispatch advances the GPU's.

Expressions are data and never evaluated as code: pages run under a strict content security policy.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

PLAN_FORMAT: Final = 1

PARAMS_ALIGNMENT: Final = 256
"""The alignment of a dispatch's params in a program's uniform buffer, which every device accepts."""

MOST_ROWS_BYTES: Final = 64 << 20
"""Of the rows of a table on the host that the GPU has places for: executors hold a copy of them."""

VECTOR_BYTES: Final = 16
"""The largest thing that a kernel reads at once, a vector of four words: buffers are a whole number of them."""

FILL: Final = "fill"
"""The program of a text plan that puts prompt tokens into the caches."""

DECODE: Final = "decode"
"""The program of a text plan that takes one token and samples the next."""

VERIFY: Final = "verify"
"""The program of a text plan that takes drafted tokens, with logits for each."""

ENCODE: Final = "encode"
"""The program of a tower's plan."""

ROWS: Final = "rows"
"""What it gives: rows of embeddings."""

Feature = Literal["shader-f16", "subgroups"]
"""WebGPU features that a plan or a kernel may need."""

Activation = Literal["f32", "f16"]
"""In what a plan keeps keys and values."""

Symbol = Literal["T", "P", "C"]
"""T: tokens in this step. P: tokens in the caches before it. C: the context chosen at load."""

Tables = Literal["gpu", "host"]
"""Where tables lie of which a step needs a row a token: whole in GPU memory, or on the host, which hands rows over."""

PlanChoice = Literal["auto", "f16", "f32"]
"""In what the caches keep keys and values; auto: in f16 where the device has it."""

HostTableChoice = Literal["auto", "never", "always"]
"""Whether they are to lie on the host; auto: where the rest fits into the memory that is given and they do not."""

Operator = Literal["+", "-", "*", "ceildiv", "min", "max"]

Expr = TypeAliasType("Expr", Annotated[int, Field(ge=0)] | Symbol | "tuple[Operator, Expr, Expr]")
"""A number, a symbol, or [operator, left, right]. Integer arithmetic; intermediate results may be negative."""


def evaluate(expr: "Expr", values: dict[str, int]) -> int:
    """The value of an expression for T, P and C given in `values`."""
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
    """A model that refuses fields it does not know and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Count = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Limit = Annotated[int, Field(gt=0, lt=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class WeightBuffer(Strict):
    """`bytes` bytes of a file of the bundle, from `offset` (a multiple of 4); the GPU buffer holds just them."""

    kind: Literal["weight"] = "weight"
    file: str
    offset: Annotated[int, Field(ge=0, multiple_of=4)]
    bytes: Annotated[int, Field(gt=0, multiple_of=4)]


class Ring(Strict):
    """The shape in time of a ring buffer, in positions."""

    rows: Positive
    window: Positive


class StateBuffer(Strict):
    """Kept between steps: a cache. Allocated, zeroed, when a dispatch first binds it.

    scale: what its numbers are multiplied by, a power of two, so that f16 holds them whatever the model; 1 in f32. Only
    kernels know of it, by their params; it is stated for whoever reads a cache.
    ring: the buffer is a ring of `rows` positions (position p lies in row p modulo rows), of which readers look
    back `window`. A rewind by up to rows - window positions finds all it needs; a longer one needs a snapshot.
    Absent where a position keeps its row for good.
    """

    kind: Literal["state"] = "state"
    bytes: Expr
    scale: Finite = 1.0
    ring: Ring | None = None


class RowsBuffer(Strict):
    """Rows of a table that lies on the host: `places` of them, which executors keep for ids that come again. Before a
    step they write into it the rows of the step's ids that are not there yet, in the place of those that were needed
    longest ago, and tell by the control buffer `places` where each token's is: at the same place in all such buffers.

    The row of an id has `row_bytes` bytes and begins at `offset` + id * `row_bytes` of `file`. rows: how many the table
    has. An id in `replaced` counts as `by`. places: at least as many as the largest step has tokens. bytes: of all
    places, a multiple of 4.
    """

    kind: Literal["rows"] = "rows"
    file: str
    offset: Annotated[int, Field(ge=0)]
    row_bytes: Annotated[int, Field(gt=0)]
    rows: Annotated[int, Field(gt=0)]
    replaced: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(fail_fast=True)] = ()
    by: Annotated[int, Field(ge=0)] = 0
    places: Annotated[int, Field(gt=0)]
    bytes: Annotated[int, Field(gt=0, lt=MOST_ROWS_BYTES, multiple_of=4)]


class ScratchBuffer(Strict):
    """A value that lives within one step, in slot number `slot` of `Plan.slots`; others may share the slot at
    other times. Slots are GPU buffers of their own, since WebGPU tracks use by whole buffers. `bytes`, a multiple of 4,
    may depend on T in a tower's plan."""

    kind: Literal["scratch"] = "scratch"
    slot: Count
    bytes: Expr


class ControlBuffer(Strict):
    """A small buffer by which executor and programs talk; all are arrays of u32 unless said otherwise.

    - `ids` [max_tokens]: the step's token ids. The executor writes them for prompts; a decode step leaves the
      sampled id in ids[0], where the next one reads it.
    - `step` [4]: position of the first token, number of tokens, number of ids sampled so far, rows of a tower's input
      (patches or frames; 0 for text). The programs advance position and count.
    - `sampling` [4]: temperature (f32; 0 is greedy), top_k (0: as many as the sampler keeps), top_p (f32; 1: off),
      seed.
    - `sampled` [sampled_ring]: id number n (counted by step[2]) lies at n modulo sampled_ring.
    - `media` [max_tokens, hidden] f32, where the model sees or hears: row t takes the place of token t's embedding if
      its id is a placeholder's. The executor copies what a tower made.
    - `places` [max_tokens], where tables may lie on the host: the place of token t's row in every RowsBuffer.
    - `visible` [max_tokens], where the tokens of a picture see each other: the last position that token t sees on
      sliding layers, its own unless it is of a picture.

    A tower's plan has only `step`.
    """

    kind: Literal["control"] = "control"
    role: Literal["ids", "step", "sampling", "sampled", "media", "places", "visible"]
    bytes: Annotated[int, Field(gt=0, multiple_of=4)]


Buffer = Annotated[WeightBuffer | RowsBuffer | StateBuffer | ScratchBuffer | ControlBuffer, Field(discriminator="kind")]


class Form(Strict):
    """One way to run a kernel: a WGSL file of the bundle, without `enable` lines, and the values of its overrides.

    features: WebGPU feature names that the device must have (`shader-f16`, `subgroups`).
    """

    file: str
    entry_point: str = "main"
    features: Annotated[tuple[Feature, ...], Field(fail_fast=True)] = ()
    constants: dict[str, Finite] = {}


class Kernel(Strict):
    """bindings: what each binding of group 0 is, in order; forms: best first, the last one needs the least."""

    bindings: Annotated[tuple[Literal["read", "read_write", "uniform"], ...], Field(fail_fast=True)]
    forms: Annotated[tuple[Form, ...], Field(min_length=1, fail_fast=True)]


class Dispatch(Strict):
    """bindings: names of buffers, one for each storage binding of the kernel.

    params: the words of the kernel's `uniform` binding, its last one; absent where it has none. The executor lays
    them out, aligned to 256 bytes, in one uniform buffer a program.
    label: the place in the model, for errors and profiles.
    tables: the dispatch is for an executor whose look-up tables lie there; without it, for any.
    """

    kernel: str
    bindings: Annotated[tuple[str, ...], Field(fail_fast=True)]
    params: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(fail_fast=True)] | None = None
    grid: tuple[Expr, Expr, Expr]
    label: str
    tables: Tables | None = None


class Program(Strict):
    """A step. max_tokens: the largest T; inputs: what the caller writes before it runs, outputs: what it may read back,
    e.g. `logits` -> a buffer's name."""

    max_tokens: Positive
    dispatches: Annotated[tuple[Dispatch, ...], Field(fail_fast=True)]
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}


def running(program: "Program", sizes: dict[str, int], tables: Tables = "gpu") -> list["Dispatch"]:
    """The dispatches of a step of these sizes that are not left out, where look-up tables lie there."""
    chosen = [one for one in program.dispatches if one.tables in (None, tables)]
    return [one for one in chosen if 0 not in [evaluate(expr, sizes) for expr in one.grid]]


def bound_for(plan: "Plan", tables: Tables) -> frozenset[str]:
    """The buffers that some dispatch binds where look-up tables lie there."""
    dispatches = (dispatch for program in plan.programs.values() for dispatch in program.dispatches)
    return frozenset(name for one in dispatches if one.tables in (None, tables) for name in one.bindings)


class Limits(Strict):
    """The WebGPU limits that the plan was made for; a device must have at least these."""

    maxStorageBufferBindingSize: Limit = 128 << 20
    maxBufferSize: Limit = 256 << 20
    maxStorageBuffersPerShaderStage: Limit = 8
    maxComputeWorkgroupStorageSize: Limit = 16384
    maxComputeInvocationsPerWorkgroup: Limit = 256
    maxComputeWorkgroupsPerDimension: Limit = 65535


class Plan(Strict):
    """Everything an executor runs.

    activation: dtype of the caches; all else is f32. `f16` plans need `shader-f16`.
    context: the largest context; the executor may choose a smaller C.
    slots: bytes of each, numbers but in a tower's plan.
    programs: `fill` puts prompt tokens into the caches; `decode` takes one token, gives logits and samples the
    next id; `verify` takes up to 8 and gives logits for each. A tower's plan has `encode`, which turns the input rows
    of one picture or clip into T `rows` [T, hidden] f32; its context is the largest T, its vocabulary and ring are 0.
    """

    format: Literal[1] = PLAN_FORMAT
    activation: Activation
    features: Annotated[tuple[Feature, ...], Field(fail_fast=True)] = ()
    limits: Limits
    context: Positive
    vocabulary: Count
    sampled_ring: Count
    slots: Annotated[tuple[Expr, ...], Field(fail_fast=True)]
    buffers: dict[str, Buffer]
    kernels: dict[str, Kernel]
    programs: dict[str, Program]
