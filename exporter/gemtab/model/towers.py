"""The graphs of a model's towers."""

from typing import Literal

from gemtab.graph import Graph
from gemtab.model.audio import audio_graph
from gemtab.model.spec import ModelSpec
from gemtab.model.vision import vision_graph


def tower_graphs(spec: ModelSpec) -> dict[Literal["image", "audio"], Graph]:
    """Return the graphs that turn images and audio into rows of embeddings, for the inputs that the model takes."""
    graphs: dict[Literal["image", "audio"], Graph] = {}
    if spec.vision is not None:
        graphs["image"] = vision_graph(spec.vision, spec.text)
    if spec.audio is not None:
        graphs["audio"] = audio_graph(spec.audio, spec.text)
    return graphs
