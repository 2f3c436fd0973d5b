"""Speed and correctness on a GPU, outside a browser: see bench.mjs."""
