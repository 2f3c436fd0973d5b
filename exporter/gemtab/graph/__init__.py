"""The graph: a small op set. The model is written in these ops once, for all backends."""

from gemtab.graph.builder import GraphBuilder
from gemtab.graph.ir import CACHE, Attr, Dim, Graph, Node, Role, Shape, Value, Weight, known

__all__ = ["CACHE", "Attr", "Dim", "Graph", "GraphBuilder", "Node", "Role", "Shape", "Value", "Weight", "known"]
