"""Expected tokens of a small bundle, for GPUs to be compared with: `python -m benchmarks.gpu.expected BUNDLE FILE`.

The reference (torch, in f32, on the CPU) answers a few prompts greedily with the bundle's own weights. The last prompt
is longer than the window of sliding layers and than a chunk of the fill program.
"""

import argparse
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.bundle.folder import read_manifest
from gemtab.checkpoint import load_spec
from gemtab.parity.prompts import prompts
from gemtab.parity.text import ReferenceText
from gemtab.quantize import WeightReader

STEPS = 32
LONG = 700
LOGITS_EVERY = 8
"""Of every so many steps the logits are kept, from the first on."""


def expected(folder: Path, long: int = LONG, steps: int = STEPS) -> dict[str, Any]:
    """{"prompts": [{"ids", "tokens", "logits"}]}; logits: by step, base64 of f32, little-endian.

    long: tokens of the longest prompt, about.
    """
    manifest = read_manifest(folder)
    weights = BundleWeights(folder, manifest.weights)
    texts = [prompt.ids for prompt in prompts(folder, manifest, long, manifest.context - steps) if not prompt.items]
    return {"prompts": [_answer(folder, weights, ids, steps) for ids in texts]}


def _answer(folder: Path, weights: WeightReader, ids: Sequence[int], steps: int) -> dict[str, Any]:
    model = ReferenceText(load_spec(folder).text, weights)
    logits = model.step(ids)
    tokens: list[int] = []
    kept: dict[int, str] = {}
    for step in range(steps):
        if step % LOGITS_EVERY == 0:
            kept[step] = _encoded(logits)
        tokens.append(int(logits.argmax()))
        logits = model.step(tokens[-1:])
    return {"ids": list(ids), "tokens": tokens, "logits": kept}


def _encoded(logits: torch.Tensor) -> str:
    return base64.b64encode(logits.numpy().astype("<f4").tobytes()).decode()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of a bundle", metavar="BUNDLE")
    parser.add_argument("file", type=Path, help="JSON to be written", metavar="FILE")
    options = parser.parse_args()
    options.file.write_text(json.dumps(expected(options.bundle)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
