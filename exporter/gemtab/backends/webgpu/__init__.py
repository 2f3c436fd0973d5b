"""The WebGPU backend: graph -> fused steps -> dispatches -> placed buffers -> `plan/*.json` and WGSL."""
