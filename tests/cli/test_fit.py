"""`gemtab inspect --fit`: whether a bundle fits, and what to do where it does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.manifest import PlanEntry
from gemtab.bundle.memory import memory_need, total
from gemtab.bundle.plan import Expr, StateBuffer, evaluate
from gemtab.cli.console import byte_count
from gemtab.errors import UsageError
from gemtab.export import export_bundle
from gemtab.fit import max_context
from tests.cli.conftest import Gemtab
from tests.silent import Silent
from tests.variants import variant

F16, F32 = 0, 1


def fits(gemtab: Gemtab, bundle: Path, memory: int | str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the verdicts, of f16 and of f32."""
    ended = gemtab("inspect", bundle, "--fit", memory, "--json", *options)
    return ended.code, json.loads(ended.out)


def test_a_verdict_changes_at_the_byte(gemtab: Gemtab, exported: Path) -> None:
    code, found = fits(gemtab, exported, "8GB")
    assert (code, found[F16]["embeddings"]) == (0, "gpu")
    needed = found[F16]["needed"]
    code, found = fits(gemtab, exported, needed)
    assert (code, found[F16]["embeddings"]) == (0, "gpu")
    code, found = fits(gemtab, exported, needed - 1)
    assert (code, found[F16]["embeddings"]) == (0, "host"), "per-layer embeddings can be kept elsewhere"
    needed = found[F16]["needed"]
    assert fits(gemtab, exported, needed)[0] == 0
    code, found = fits(gemtab, exported, needed - 1)
    assert code == 5
    assert found[F16]["verdict"] == "smaller context"
    most = found[F16]["max_context"]
    assert fits(gemtab, exported, needed - 1, "--context", str(most))[0] == 0
    assert fits(gemtab, exported, needed - 1, "--context", str(most + 1))[0] == 5


def test_the_caches_of_f32_take_more(gemtab: Gemtab, exported: Path) -> None:
    _, found = fits(gemtab, exported, "8GB")
    assert found[F32]["state"] == 2 * found[F16]["state"]
    assert found[F32]["weights"] == found[F16]["weights"]


@pytest.mark.parametrize("activation", ["f16", "f32"])
def test_the_statement_is_the_sum_of_the_plan(exported: Path, activation: Activation) -> None:
    (entry,) = (one for one in read_manifest(exported).plans if one.activation == activation)
    plan = load_plan(exported / entry.file)
    states = [buffer.bytes for buffer in plan.buffers.values() if isinstance(buffer, StateBuffer)]
    for context in (entry.tokens, 300, plan.context):
        sizes = {"T": entry.tokens, "P": context, "C": context}
        assert memory_need(entry, context).state == sum(evaluate(size, sizes) for size in states)
        assert entry.memory.state != memory_need(entry, context).state, "the statement depends on the context"


def test_what_does_not_fit_is_reported_with_the_way_on(gemtab: Gemtab, exported: Path, tmp_path: Path) -> None:
    ended = gemtab("inspect", exported, "--fit", "1MB")
    assert ended.code == 5
    assert "does not fit into 1 MB" in ended.out
    least = fits(gemtab, exported, "1MB")[1][F16]["needed"]
    assert "in the browser's storage" in " ".join(gemtab("inspect", exported, "--fit", least).out.split())
    bundle = tmp_path / "hearing"
    source = variant("hearing", tmp_path / "checkpoint", with_tokenizer=True)
    export_bundle(source, bundle, "q8", context=512, force=False, progress=Silent())
    _, found = fits(gemtab, bundle, "8GB")
    assert found[F16]["towers"] > 0
    code, found = fits(gemtab, bundle, found[F16]["needed"] - found[F16]["towers"])
    assert code == 5
    assert found[F16]["advice"] == [
        "export again with fewer inputs (`--inputs text`)",
        "export again with smaller weights (`--weights q4`)",
    ]


def test_wrong_use_is_refused(gemtab: Gemtab, exported: Path) -> None:
    gemtab("inspect", exported, "--fit", "much").refused(2, "'much'", "8GB")
    gemtab("inspect", exported, "--fit", "8GB", "--context", "100000").refused(2, "100000", "512")
    gemtab("inspect", exported, "--context", "100").refused(2, "--fit")


def test_sizes_are_read_as_they_are_written() -> None:
    assert [byte_count(text) for text in ("8GB", "1.5 GiB", "512mb", "77")] == [8 * 10**9, 3 << 29, 512 * 10**6, 77]
    with pytest.raises(UsageError):
        byte_count("8 parsecs")


def test_sums_gather_what_is_equal() -> None:
    state: Expr = ("*", 8, "C")
    assert total([16, state, 32, state]) == ("+", 48, ("*", 2, state))
    assert total([]) == 0


def test_the_max_context_is_0_if_none_fits(exported: Path) -> None:
    entry: PlanEntry = read_manifest(exported).plans[F16]
    least = memory_need(entry, entry.tokens, "host").total
    assert max_context(entry, least, 512) == entry.tokens
    assert max_context(entry, least - 1, 512) == 0
