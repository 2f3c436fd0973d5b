"""An export fuses each of its graphs once, for all activations and programs."""

from pathlib import Path

import pytest

from gemtab.backends.webgpu.fusion import FusedGraph, Fusion
from gemtab.export import export_bundle
from tests.silent import Silent
from tests.variants import variant


def test_an_export_fuses_each_graph_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fused: list[list[str]] = []
    run = Fusion.run

    def counted(fusion: Fusion) -> FusedGraph:
        found = run(fusion)
        fused.append(sorted(found.graph.outputs))
        return found

    monkeypatch.setattr(Fusion, "run", counted)
    source = variant("seeing", tmp_path / "source", with_tokenizer=True)
    export_bundle(source, tmp_path / "out", "q4", 512, False, Silent())
    # The whole text stack, the vision tower, and the graph that only fills caches.
    assert len(fused) == 3
    assert ["logits"] in [[name for name in outputs if name == "logits"] for outputs in fused]
