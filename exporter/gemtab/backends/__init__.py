"""What runs or emits a graph: the reference (torch), ONNX and WebGPU."""
