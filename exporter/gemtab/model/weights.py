"""The weights of a model, with those of its towers."""

from collections.abc import Iterable
from math import prod

from gemtab.graph import Weight
from gemtab.model.draft import draft_graph
from gemtab.model.spec import ModelSpec
from gemtab.model.text import text_graph
from gemtab.model.towers import tower_graphs


def text_weights(spec: ModelSpec) -> list[Weight]:
    """Return the weights of the text stack or of the draft model."""
    return (draft_graph(spec.text, spec.assistant) if spec.assistant else text_graph(spec.text)).weights()


def model_weights(spec: ModelSpec) -> list[Weight]:
    """Return the weights of the text stack and the towers."""
    return [*text_weights(spec), *(weight for graph in tower_graphs(spec).values() for weight in graph.weights())]


_BUFFERS = ("layer_scalar", "std_bias", "std_scale")
"""Endings of the names of vectors that transformers does not count as parameters, because they are not trained."""


def parameter_count(weights: Iterable[Weight]) -> int:
    """Return the number of parameters, as transformers' `num_parameters` counts them.

    Bounds of clipped linears, orderings of tokens and scalars of layers are buffers, which do not count.
    """
    trained = (one for one in weights if one.role not in ("bound", "ordering") and not one.name.endswith(_BUFFERS))
    return sum(prod(weight.shape) for weight in trained)
