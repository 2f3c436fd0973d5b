"""The schema of `parity.json`, the report of `gemtab verify`."""

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
    """One backend's logits against those of the reference, for the same tokens."""

    backend: Backend
    """The compared backend."""
    against: Truth
    """The weights of the reference: the checkpoint's, or the bundle's own, which leaves quantization out."""
    max_error: float
    """Largest absolute difference of logits."""
    rms_error: float
    """RMS of the differences of logits."""
    kl: float
    """Mean Kullback-Leibler divergence from the reference's distribution, in nats."""
    top1: float
    """Share of steps with the same most likely token."""
    tie_margin: float
    """Largest difference of logits that counts as a near tie."""
    near_ties: int
    """Steps with another most likely token, whose logit in the reference is within `tie_margin` of the largest."""
    greedy_match: float
    """Share of prompts whose whole greedy continuation is the same, near ties excepted."""


class Edge(Strict):
    """How near the keys and values of the f16 plan come to the end of f16."""

    share: float
    """Largest absolute value in the caches of the f32 plan, times the cache's scale, divided by 65,504. Scales keep the
    share at or below one half."""
    cache: str
    """The cache with that value."""


class OnnxGraph(Strict):
    """A graph of the bundle that passed onnx's checker and strict shape inference, data files included."""

    file: str
    """The graph's path in the bundle."""
    nodes: int
    """Number of nodes."""


class Parity(Strict):
    """The content of `parity.json`."""

    format: Literal[1] = PARITY_FORMAT
    """The version of this schema."""
    gemtab: str
    """The version of gemtab that made the report."""
    extent: ExtentName = "full"
    """How much was compared: see `gemtab.parity.extent`. With `quick` no prompt is longer than the sliding window."""
    prompts: int
    """Number of prompts."""
    steps: int
    """Tokens compared, over all prompts."""
    longest_prompt: int
    """Tokens of the longest prompt."""
    media_tokens: int = 0
    """Soft tokens of images and audio in the prompts. Every backend encoded them itself."""
    adapter: str
    """The GPU that ran the WebGPU plans."""
    f16_edge: Edge | None = None
    """null without an f16 plan."""
    onnx_graphs: tuple[OnnxGraph, ...] = ()
    """All graphs of the bundle."""
    comparisons: tuple[Comparison, ...]
    """One entry for each backend and truth."""
