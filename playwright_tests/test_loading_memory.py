"""Python's memory during the export of a large bundle, and JavaScript's during its load."""

import itertools
import json
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

from benchmarks.export import export
from gemtab.bundle.digest import SLICE_BYTES
from gemtab.bundle.folder import read_manifest
from gemtab.bundle.memory import memory_need
from gemtab.chat_files import TEXT_FILES
from playwright_tests.conftest import TINY, SharedFolders
from playwright_tests.loading import MAX_BYTES, watch_loading
from playwright_tests.serving import serving
from tests.tables import LOADING_LINE
from tests.variants import BASE, FULL, SLIDING

LETTERS = string.ascii_letters + string.digits + "_-"
"""Words of models/tiny's vocabulary."""

LEAST_WEIGHTS = 300_000_000
"""A size at which accumulated weights would show."""

VOCABULARY = 262_144
MERGES = 514_906
"""The number of words of the published tokenizer."""

MAX_DOWNLOADING = 8 * SLICE_BYTES
"""Bound while weights are loaded: garbage that accumulated with every slice would exceed it here, and would break the
bound at sizes too large for this test. real_tests/test_true_e2b.py tests those."""

PEAK = "peak.txt"
MAX_EXPORTING = 500_000_000
"""Bound of anonymous memory: 340 MB are normal at any size, and these weights would take 300 MB more."""

SIZES = {
    **BASE,
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size": 128,
    "hidden_size_per_layer_input": 64,
    "layer_types": [SLIDING, SLIDING, FULL],
    "num_hidden_layers": 3,
}


def write_tokenizer(folder: Path) -> None:
    """Write models/tiny's tokenizer with as many words and merges as the published one: each new word of three letters
    is merged from one letter and two, and from two and one."""
    content = json.loads((TINY / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    words = (word for length in (2, 3) for word in map("".join, itertools.product(LETTERS, repeat=length)))
    new = list(itertools.islice((word for word in words if word not in vocabulary), VOCABULARY - len(vocabulary)))
    vocabulary.update({word: number for number, word in enumerate(new, len(vocabulary))})
    halves = ([word[:cut], word[cut:]] for word in new for cut in range(1, len(word)))
    more = (pair for pair in halves if pair[0] in vocabulary and pair[1] in vocabulary)
    merges += itertools.islice(more, MERGES - len(merges))
    assert (len(vocabulary), len(merges)) == (VOCABULARY, MERGES)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def write_checkpoint(folder: Path) -> Path:
    """Write a random model in the shape of E2B, mostly of embeddings."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        Gemma4ForCausalLM(Gemma4TextConfig(**SIZES)).save_pretrained(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    for name in TEXT_FILES:
        shutil.copyfile(TINY / name, folder / name)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def large_bundle(shared_folders: SharedFolders) -> Path:
    """The bundle of such a model, in f32: the fewest numbers for the most bytes."""

    def make(out: Path) -> None:
        source = write_checkpoint(out.with_name(f"{out.name}-checkpoint"))
        peak = export(source, out, "--weights", "f32", "--context", "2048")
        shutil.rmtree(source)
        (out / PEAK).write_text(str(peak))

    return shared_folders.folder("large-f32", make)


@pytest.fixture(scope="module")
def large_site(large_bundle: Path) -> Iterator[str]:
    """The address of a server with it."""
    with serving({"large": large_bundle}) as site:
        yield site


def test_exporting_takes_no_memory_for_weights(large_bundle: Path) -> None:
    """Python, torch and the tokenizer take most of the memory."""
    peak = int((large_bundle / PEAK).read_text())
    assert 100_000_000 < peak < MAX_EXPORTING


@pytest.mark.parametrize("host_embeddings", ["never", "always"])
def test_weights_never_gather(
    host_embeddings: str,
    large_bundle: Path,
    large_site: str,
    page: Page,
    record_property: Callable[[str, object], None],
) -> None:
    weights = memory_need(read_manifest(large_bundle).plans[0], 2048).weights
    assert weights > LEAST_WEIGHTS
    watched = watch_loading(page, large_site, "large", {"hostEmbeddings": host_embeddings})
    record_property(LOADING_LINE, f"{weights / 1e6:.0f} MB of weights, hostEmbeddings {host_embeddings}: {watched}")
    assert len(watched.samples) > 20, "loading was hardly watched"
    assert SLICE_BYTES < watched.by_stage()["download"] < MAX_DOWNLOADING
    assert watched.most < MAX_BYTES
