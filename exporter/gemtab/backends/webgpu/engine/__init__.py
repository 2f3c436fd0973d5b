"""Runs plans on this machine through wgpu-native: the same plans that the tab runs.

The parts are the runner (`runner.py`, with `buffers.py`, `pipelines.py` and `program.py`), the caches (`caches.py`),
loading (`load.py`) and decoding (`text_runner.py`, `fill.py`, `decode.py`). Callers use `text_engine.py` and
`tower.py`.
"""
