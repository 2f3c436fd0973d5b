"""The names that transformers.js looks for in a bundle, and what its config files tell it of the graphs.

After transformers.js 4.3: `onnx/<stem><suffix>.onnx`, its data in `….onnx_data`, `….onnx_data_1`, …
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
"""Where transformers.js looks up which processor a model has, whose settings are in processor_config.json."""

MOST_DATA_FILES = 100
"""transformers.js refuses more for one graph."""

_DTYPES: dict[WeightFormat, str] = {"f32": "fp32", "f16": "fp16", "q8": "q8", "q4": "q4", "qat": "q4"}
_SUFFIXES: dict[WeightFormat, str] = {"f32": "", "f16": "_fp16", "q8": "_quantized", "q4": "_q4", "qat": "_q4"}
"""transformers.js knows no name for codes of mixed width; q4 comes nearest."""


def graph_file(stem: str, weight_format: WeightFormat) -> str:
    """The bundle's path of a graph, e.g. `onnx/embed_tokens_q4.onnx`."""
    return f"{FOLDER}/{stem}{_SUFFIXES[weight_format]}.onnx"


def data_file(stem: str, weight_format: WeightFormat, index: int) -> str:
    """The bundle's path of a graph's data file number `index`, from 0."""
    return f"{graph_file(stem, weight_format)}_data" + (f"_{index}" if index else "")


def graph_files(files: Iterable[str]) -> list[str]:
    """The graphs among paths of a bundle, sorted."""
    return sorted(file for file in files if file.startswith(f"{FOLDER}/") and file.endswith(".onnx"))


def transformers_js_config(weight_format: WeightFormat, files: Iterable[str]) -> dict[str, Any]:
    """What config.json holds under `transformers.js_config`: each graph's dtype and number of data files.

    files: paths in the bundle; those of graphs and data files count, others are passed over.
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
    """What PREPROCESSOR_FILE holds: the class that the content of processor_config.json is for."""
    return {"processor_class": processor_config.get("processor_class", "Gemma4Processor")}
