"""All weights of a model, its towers' too."""

from gemtab.graph import Weight
from gemtab.model.draft import draft_graph
from gemtab.model.spec import ModelSpec
from gemtab.model.text import text_graph
from gemtab.model.towers import tower_graphs


def text_weights(spec: ModelSpec) -> list[Weight]:
    """What the text stack multiplies by and looks up, or what an assistant does."""
    return (draft_graph(spec.text, spec.assistant) if spec.assistant else text_graph(spec.text)).weights()


def model_weights(spec: ModelSpec) -> list[Weight]:
    """What the whole model multiplies by and looks up."""
    return [*text_weights(spec), *(weight for graph in tower_graphs(spec).values() for weight in graph.weights())]
