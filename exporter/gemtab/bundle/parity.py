"""The schema of `parity.json`."""

from typing import Final, Literal

from gemtab.bundle.plan import Strict

PARITY_NAME: Final = "parity.json"
"""The parity report's name in a bundle."""

PARITY_FORMAT: Final = 1

Backend = Literal["reference", "onnx", "webgpu f32", "webgpu f16"]
Truth = Literal["checkpoint", "stored weights"]
ExtentName = Literal["full", "short", "quick"]
ExtentChoice = Literal["auto", "full", "short", "quick"]


class Comparison(Strict):
    """One backend's logits against the reference's, over the same tokens.

    against: the reference on the checkpoint's weights, or on the bundle's own, which leaves quantisation out.
    max_error, rms_error: of logits. kl: mean Kullback-Leibler divergence from the reference's distribution, nats.
    top1: share of steps with the same most likely token. near_ties: steps where it differs, but is within tie_margin
    logits of the reference's. greedy_match: share of prompts whose whole greedy continuation
    is the same, near ties apart.
    """

    backend: Backend
    against: Truth
    max_error: float
    rms_error: float
    kl: float
    top1: float
    tie_margin: float
    near_ties: int
    greedy_match: float


class Edge(Strict):
    """How near to the end of f16 the plan for f16 came with what it keeps in f16, its keys and values.

    share: the largest of them, as the f32 plan has it and times the scale of its cache, as a share of 65,504. By the
    scales none is more than half. cache: where it was.
    """

    share: float
    cache: str


class OnnxGraph(Strict):
    """A graph of the bundle that passed onnx's checker and strict shape inference, data files included."""

    file: str
    nodes: int


class Parity(Strict):
    """`parity.json`. extent: how much was compared, see `gemtab.parity.extent`; of `quick` no prompt is longer than the
    sliding window. steps: tokens compared, over all prompts; media_tokens: of the prompts' pictures and sound, of
    which every backend made its own rows; adapter: what ran the WebGPU plans; f16_edge: absent without a plan for
    f16; onnx_graphs: all of the bundle."""

    format: Literal[1] = PARITY_FORMAT
    gemtab: str
    extent: ExtentName = "full"
    prompts: int
    steps: int
    longest_prompt: int
    media_tokens: int = 0
    adapter: str
    f16_edge: Edge | None = None
    onnx_graphs: tuple[OnnxGraph, ...] = ()
    comparisons: tuple[Comparison, ...]
