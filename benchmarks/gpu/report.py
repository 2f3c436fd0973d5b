"""The schema of the JSON that gpu/bench.mjs writes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Time = Annotated[float, Field(ge=0)]
Speed = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """A model that rejects fields that it does not know, and numbers in strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Adapter(Strict):
    """The GPU. driver: the adapter's description; subgroups: their least and largest size, 0 where unknown."""

    vendor: str
    architecture: str
    device: str
    driver: str
    subgroups: list[Count]
    features: list[str]
    limits: dict[str, Positive]


class Loaded(Strict):
    """The time of loading, with some of the engine's own counts."""

    model_config = ConfigDict(extra="ignore")

    seconds: Speed
    context: Positive
    activation: Literal["f32", "f16"]
    gpu_bytes: Positive


class Fill(Strict):
    """A prompt, three times."""

    tokens: Positive
    seconds: list[Speed]
    tokens_per_second: Speed


class Decode(Strict):
    """An answer. ms: a token."""

    position: Positive
    steps: Positive
    sampled: bool
    ms: Speed
    tokens_per_second: Speed


class Kernel(Strict):
    """All dispatches of a kernel in a step. us: on the GPU, each in a pass of its own; bytes: of weights and live
    cache, each counted once; issued: with keys and values as often as workgroups load them."""

    kernel: str
    count: Positive
    us: Time
    bytes: Count
    issued: Count


class Dispatch(Strict):
    """One dispatch, as a Kernel of one."""

    kernel: str
    label: str
    grid: list[Positive]
    us: Time
    bytes: Count
    issued: Count


class Profile(Strict):
    """One step of `tokens` after `position`. us: on the GPU, as the engine runs it."""

    name: Literal["fill", "decode", "sampled"]
    tokens: Positive
    position: Positive
    us: Time
    kernels: list[Kernel]
    dispatches: list[Dispatch]


class Compared(Strict):
    """A prompt beside what the reference expects; difference: of logits, None for NaN."""

    prompt: Positive
    steps: Positive
    free: Count
    forced: Count
    difference: Time | None
    repeated: bool


class Report(Strict):
    """A run. copy_gbs: GB/s of copies, absent with `--no-copies`."""

    bundle: str
    node: str
    adapter: Adapter
    copy_gbs: Annotated[Speed | None, Field(alias="copyGBs")] = None
    loaded: Loaded
    compared: list[Compared] = []
    fill: list[Fill]
    decode: list[Decode]
    profile: list[Profile] = []
