"""The graph: a small op set in which the model is written once, for every backend."""

from gemtab.graph.builder import GraphBuilder
from gemtab.graph.ir import CACHE, Attr, Dim, Graph, Node, Role, Shape, Value, Weight, known

__all__ = ["CACHE", "Attr", "Dim", "Graph", "GraphBuilder", "Node", "Role", "Shape", "Value", "Weight", "known"]
