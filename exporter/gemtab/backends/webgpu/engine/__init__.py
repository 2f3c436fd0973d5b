"""Runs plans on this machine, through wgpu-native: the same plans that the tab runs.

Four nouns: the runner (`runner.py`, with `buffers.py`, `pipelines.py` and `program.py`), the caches (`caches.py`),
loading (`load.py`) and decoding (`text_runner.py`, `fill.py`, `decode.py`). `text_engine.py` and `tower.py` are the
faces.
"""
