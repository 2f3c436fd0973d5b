"""File names and configs that transformers.js expects in a bundle.

As of transformers.js 4.3: `onnx/<stem><suffix>.onnx`, its data in `….onnx_data`, `….onnx_data_1`, …
"""

from collections.abc import Iterable
from typing import Any

from gemtab.bundle.manifest import Tower, WeightFormat

FOLDER = "onnx"
EMBED_STEM = "embed_tokens"
DECODER_STEM = "decoder_model_merged"
VISION_STEM = "vision_encoder"
AUDIO_STEM = "audio_encoder"
DRAFT_STEM = "draft_model"
TOWER_STEMS: dict[Tower, str] = {"image": VISION_STEM, "audio": AUDIO_STEM}

PREPROCESSOR_FILE = "preprocessor_config.json"
"""The file in which transformers.js finds the processor's class. Its settings are in processor_config.json."""

MAX_DATA_FILES = 100
"""Most data files of a graph. transformers.js rejects more."""

_DTYPES: dict[WeightFormat, str] = {"f32": "fp32", "f16": "fp16", "q8": "q8", "q4": "q4", "qat": "q4"}
_SUFFIXES: dict[WeightFormat, str] = {"f32": "", "f16": "_fp16", "q8": "_quantized", "q4": "_q4", "qat": "_q4"}
"""transformers.js has no name for integer weights of several widths. q4 is the nearest."""


def graph_file(stem: str, weight_format: WeightFormat) -> str:
    """Return a graph's path in the bundle, such as `onnx/embed_tokens_q4.onnx`."""
    return f"{FOLDER}/{stem}{_SUFFIXES[weight_format]}.onnx"


def data_file(stem: str, weight_format: WeightFormat, index: int) -> str:
    """Return the path in the bundle of a graph's data file number `index`, from 0."""
    return f"{graph_file(stem, weight_format)}_data" + (f"_{index}" if index else "")


def graph_files(files: Iterable[str]) -> list[str]:
    """Return the graphs among paths of a bundle, sorted."""
    return sorted(file for file in files if file.startswith(f"{FOLDER}/") and file.endswith(".onnx"))


def transformers_js_config(weight_format: WeightFormat, files: Iterable[str]) -> dict[str, Any]:
    """Return `transformers.js_config` of config.json: each graph's dtype and number of data files.

    files: paths in the bundle. Those of graphs and data files count.
    """
    listed = set(files)
    graphs = graph_files(listed)
    names = [graph.removeprefix(f"{FOLDER}/") for graph in graphs]
    suffix = f"{_SUFFIXES[weight_format]}.onnx"
    return {
        "dtype": {name.removesuffix(suffix): _DTYPES[weight_format] for name in names},
        "use_external_data_format": {
            name: sum(file.startswith(f"{graph}_data") for file in listed)
            for name, graph in zip(names, graphs, strict=True)
        },
    }


def preprocessor_config(processor_config: dict[str, Any]) -> dict[str, Any]:
    """Return the content of PREPROCESSOR_FILE: the class in processor_config.json, or the default."""
    return {"processor_class": processor_config.get("processor_class", "Gemma4Processor")}
