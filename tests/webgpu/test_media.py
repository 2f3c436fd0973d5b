"""Rows of embeddings instead of placeholders, on the GPU and in ONNX, against the reference."""

from pathlib import Path

import pytest
import torch
import wgpu

from gemtab.backends.media import Media, Rows
from gemtab.backends.onnx.run import OnnxText
from gemtab.backends.webgpu.engine.media import chunks
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.plan import Limits
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.errors import ContextError, UsageError
from gemtab.export import export_bundle
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ACTIVATIONS
from tests.silent import Silent
from tests.variants import IMAGE_ID, variant

SMALL = Limits(maxStorageBufferBindingSize=65536)


class Case:
    """A bundle of a variant in f32, and a prompt with three images of 20 tokens across the borders of chunks."""

    def __init__(self, name: str, folder: Path, limits: Limits) -> None:
        source = variant(name, folder / name, with_tokenizer=True)
        export_bundle(source, folder / "bundle", "f32", 512, False, Silent(), limits=limits)
        self.spec = load_spec(source)
        self.weights = CheckpointWeights(Checkpoint.open(source), self.spec)
        self.executor = TextEngine(folder / "bundle", "f32")
        self.image_id = self.spec.text.media_ids[0]
        random = torch.Generator().manual_seed(5)
        self.ids = torch.randint(400, 900, (200,), generator=random).tolist()
        self.rows = []
        for position in (25, 60, 150):
            self.ids[position : position + 20] = [self.image_id] * 20
            self.rows.append(
                Rows(position, torch.randn(20, self.spec.text.hidden, generator=random), bidirectional=True)
            )

    def media(self) -> list[Media]:
        """The rows in GPU buffers."""
        gpu = self.executor.runner.device.gpu
        usage = wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
        return [
            Media(one.position, len(one.rows), gpu.create_buffer_with_data(data=one.rows.numpy(), usage=usage), True)
            for one in self.rows
        ]

    def found(self) -> torch.Tensor:
        """Logits [vocabulary] after the last token."""
        self.executor.fill(self.ids[:-1], self.media())
        self.executor.decode(self.ids[-1])
        return torch.from_numpy(self.executor.read_logits()[0])


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["whole", "small"])
@pytest.mark.parametrize("name", ["seeing", "blocks"])
def test_logits_after_a_prompt_with_images(name: str, limits: Limits, tmp_path: Path) -> None:
    case = Case(name, tmp_path, limits)
    if limits is SMALL:
        assert case.executor.runner.plan.programs["fill"].max_tokens < 150
    wanted = ReferenceText(case.spec.text, case.weights).see(case.ids, case.rows)[-1]
    assert float((case.found() - wanted).abs().max()) < ACTIVATIONS["f32"].max
    for keep in (0, 1):
        in_onnx = OnnxText(tmp_path / "bundle", "f32").see(case.ids, case.rows, keep)
        assert len(in_onnx) == (keep or len(case.ids))
        assert float((in_onnx[-1] - wanted).abs().max()) < ACTIVATIONS["f32"].max
    blank = [Rows(one.position, torch.zeros_like(one.rows), one.bidirectional) for one in case.rows]
    without = ReferenceText(case.spec.text, case.weights).see(case.ids, blank)[-1]
    assert float((wanted - without).abs().max()) > 0.05, "the images do not matter enough to test"


def test_chunks_do_not_divide_an_image() -> None:
    one, other = Media(10, 20, None, True), Media(30, 5, None, True)
    assert list(chunks(0, 64, 32, [])) == [(0, 32), (32, 64)]
    assert list(chunks(0, 64, 24, [one, other])) == [(0, 10), (10, 30), (30, 54), (54, 64)]
    with pytest.raises(ContextError, match=r"takes 20 tokens.*16 at most"):
        list(chunks(0, 64, 16, [one]))


def test_a_bundle_of_text_takes_no_media(tmp_path: Path) -> None:
    source = variant("base", tmp_path / "base", with_tokenizer=True)
    export_bundle(source, tmp_path / "bundle", "f32", 512, False, Silent())
    with pytest.raises(UsageError, match="text only"):
        TextEngine(tmp_path / "bundle", "f32").fill([IMAGE_ID], [Media(0, 1, None, True)])
