"""transformers' results for images and videos: `processors.py` in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.media import processors


def processed(folder: Path, budget: int, frames: int) -> dict[str, dict[str, Any]]:
    """Return transformers' results for the images (*.npy) and videos in `folder`, by "NAME.PROCESSOR"."""
    subprocess.run([sys.executable, processors.__file__, folder, str(budget), str(frames)], check=True)
    results = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            results[path.stem] = dict(arrays)
    return results
