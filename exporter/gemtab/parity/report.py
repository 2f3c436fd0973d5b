"""The schema of `parity.json`."""

from typing import Final, Literal

from gemtab.bundle.plan import Strict

PARITY_FORMAT: Final = 1

Backend = Literal["reference", "onnx", "webgpu f32", "webgpu f16"]
Truth = Literal["checkpoint", "stored weights"]


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


class Parity(Strict):
    """`parity.json`. steps: tokens compared, over all prompts; media_tokens: of the prompts' pictures and sound, of
    which every backend made its own rows; adapter: what ran the WebGPU plans."""

    format: Literal[1] = PARITY_FORMAT
    gemtab: str
    prompts: int
    steps: int
    longest_prompt: int
    media_tokens: int = 0
    adapter: str
    comparisons: tuple[Comparison, ...]
