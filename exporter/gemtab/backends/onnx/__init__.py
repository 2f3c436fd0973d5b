"""The ONNX backend: writes a graph as an ONNX file for onnxruntime, onnxruntime-web and transformers.js."""

from gemtab.backends.onnx.model import OPSET, write_onnx

__all__ = ["OPSET", "write_onnx"]
