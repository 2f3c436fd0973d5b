"""The backends of a graph: the reference in torch, ONNX and WebGPU."""
