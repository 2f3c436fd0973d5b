"""The WebGPU backend: graph -> fused steps -> dispatches -> buffers in slots -> `plan/*.json` and WGSL."""
