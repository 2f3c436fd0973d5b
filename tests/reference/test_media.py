"""Whole prompts with images and audio on the reference backend against transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gemtab.backends.media import Rows, block_numbers, media_inputs
from gemtab.backends.reference import Reference
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.model.audio import audio_graph
from gemtab.model.spec import PatchSpec
from gemtab.model.text import decoder_graph, embed_graph
from gemtab.model.vision import vision_graph
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import TRANSFORMERS_MAX
from tests.reference.test_towers import grid
from tests.variants import AUDIO_ID, IMAGE_ID, TOWERS, VIDEO_ID, load_transformers

Folder = Callable[[str], Path]


class Prompt:
    """A prompt of text, an image, text, audio, text, another image of the same size, text, a video of two frames with
    text for their stamps, text; without media that the model does not take."""

    def __init__(self, folder: Path) -> None:
        self.spec = load_spec(folder)
        weights = CheckpointWeights(Checkpoint.open(folder), self.spec)
        self._random = torch.Generator().manual_seed(4)
        self.ids: list[int] = []
        self.kinds: list[int] = []
        self.media: list[Rows] = []
        self.inputs: dict[str, Any] = {}
        images, audios, frames = [], [], []
        self._text(9)
        if self.spec.vision is not None:
            images.append(self._image(weights))
        self._text(5)
        if self.spec.audio is not None:
            audios.append(self._audio(weights))
        self._text(3)
        if self.spec.vision is not None:
            images.append(self._image(weights))
            for _ in range(2):
                self._text(4)
                frames.append(self._image(weights, VIDEO_ID, 2))
        self._text(20)
        if images:
            self.inputs["pixel_values"] = torch.stack([pixels for pixels, _ in images])
            self.inputs["image_position_ids"] = torch.stack([positions for _, positions in images])
            self.inputs["pixel_values_videos"] = torch.stack([pixels for pixels, _ in frames])
            self.inputs["video_position_ids"] = torch.stack([positions for _, positions in frames])
            self.inputs["num_frames_per_video"] = torch.tensor([len(frames)])
        if audios:
            self.inputs["input_features"] = torch.stack(audios)
            self.inputs["input_features_mask"] = torch.ones(1, len(audios[0]), dtype=torch.bool)

    def _text(self, count: int) -> None:
        self.ids += torch.randint(3, IMAGE_ID, (count,), generator=self._random).tolist()
        self.kinds += [0] * count

    def _add_rows(self, rows: torch.Tensor, token: int, kind: int) -> None:
        self.media.append(Rows(len(self.ids), rows, bidirectional=token != AUDIO_ID))
        self.ids += [token] * len(rows)
        self.kinds += [kind] * len(rows)

    def _image(
        self, weights: CheckpointWeights, token: int = IMAGE_ID, kind: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Twelve soft tokens, more than a short sliding window."""
        assert self.spec.vision is not None
        graph = vision_graph(self.spec.vision, self.spec.text)
        side = 1 if isinstance(self.spec.vision, PatchSpec) else 3
        positions = grid(4 * side, 3 * side)
        width = graph.inputs[0].shape[1]
        assert isinstance(width, int)
        pixels = torch.rand(len(positions), width, generator=self._random)
        made = Reference(graph, weights).run({"pixel_values": pixels, "pixel_position_ids": positions}, {})
        self._add_rows(made["image_features"], token, kind)
        return pixels, positions

    def _audio(self, weights: CheckpointWeights) -> torch.Tensor:
        assert self.spec.audio is not None
        graph = audio_graph(self.spec.audio, self.spec.text)
        width = graph.inputs[0].shape[1]
        assert isinstance(width, int)
        features = torch.randn(38, width, generator=self._random)
        self._add_rows(Reference(graph, weights).run({"input_features": features}, {})["audio_features"], AUDIO_ID, 3)
        return features

    def expected(self, folder: Path) -> torch.Tensor:
        """Return transformers' logits [T, vocabulary], with the masks of its `generate`. Without these masks, the model
        without a tower lets images see ahead on full layers too."""
        model: Any = load_transformers(folder)
        kinds, ids = torch.tensor([self.kinds]), torch.tensor([self.ids])
        with torch.inference_mode():
            masks = model.create_masks_for_generate(
                config=model.config,
                inputs_embeds=torch.zeros(1, len(self.ids), self.spec.text.hidden),
                attention_mask=None,
                past_key_values=None,
                position_ids=torch.arange(len(self.ids))[None],
                mm_token_type_ids=kinds,
            )
            out = model(
                input_ids=ids, attention_mask=masks, mm_token_type_ids=kinds, output_hidden_states=True, **self.inputs
            )
        logits: torch.Tensor = out.logits[0]
        return logits


@pytest.mark.parametrize("name", TOWERS)
def test_prompts_with_media_are_as_in_transformers(name: str, checkpoint_folder: Folder) -> None:
    folder = checkpoint_folder(name)
    prompt = Prompt(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), prompt.spec)
    expected = prompt.expected(folder)
    found = ReferenceText(prompt.spec.text, weights).see(prompt.ids, prompt.media)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < TRANSFORMERS_MAX


@pytest.mark.parametrize("name", ["blocks", "towerless", "seeing"])
def test_the_decoder_graph_says_the_same_of_rows_put_in_by_others(name: str, checkpoint_folder: Folder) -> None:
    """The graph for ONNX takes embeddings with media inserted, and the numbers of images if they matter."""
    folder = checkpoint_folder(name)
    prompt = Prompt(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), prompt.spec)
    ids, text = torch.tensor(prompt.ids, dtype=torch.int32), prompt.spec.text
    inputs = Reference(embed_graph(text), weights).run({"input_ids": ids}, {})
    rows = media_inputs(text.hidden, range(len(ids)), prompt.media)["media"]
    held = torch.isin(ids, torch.tensor(text.media_ids, dtype=torch.int32))
    inputs["inputs_embeds"] = torch.where(held[:, None], rows, inputs["inputs_embeds"])
    inputs["position_ids"] = torch.arange(len(ids), dtype=torch.int32)
    inputs["num_logits_to_keep"] = torch.tensor(0, dtype=torch.int32)
    inputs["block_ids"] = block_numbers(range(len(ids)), prompt.media)
    found = Reference(decoder_graph(text), weights).run(inputs, {})["logits"]
    assert float((found - prompt.expected(folder)).abs().max()) < TRANSFORMERS_MAX


def test_tokens_of_an_image_see_each_other(checkpoint_folder: Folder) -> None:
    """Otherwise the logits differ, so the test above does not pass by chance."""
    folder = checkpoint_folder("blocks")
    prompt = Prompt(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), prompt.spec)
    blind = [Rows(one.position, one.rows, bidirectional=False) for one in prompt.media]
    found = ReferenceText(prompt.spec.text, weights).see(prompt.ids, blind)
    assert float((found - prompt.expected(folder)).abs().max()) > 0.1
