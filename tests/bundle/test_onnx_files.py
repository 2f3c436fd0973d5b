"""The part of config.json with which transformers.js finds a bundle's graphs."""

import pytest

from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import transformers_js_config


def test_config_counts_each_graphs_data_files() -> None:
    files = [
        "config.json",
        "onnx/embed_tokens_q4.onnx",
        "onnx/embed_tokens_q4.onnx_data",
        "onnx/decoder_model_merged_q4.onnx",
        "onnx/decoder_model_merged_q4.onnx_data",
        "onnx/decoder_model_merged_q4.onnx_data_1",
        "onnx/decoder_model_merged_q4.onnx_data_2",
    ]
    assert transformers_js_config("q4", files) == {
        "dtype": {"embed_tokens": "q4", "decoder_model_merged": "q4"},
        "use_external_data_format": {"embed_tokens_q4.onnx": 1, "decoder_model_merged_q4.onnx": 3},
    }


@pytest.mark.parametrize(
    ("weight_format", "suffix", "dtype"),
    [("f32", "", "fp32"), ("f16", "_fp16", "fp16"), ("q8", "_quantized", "q8"), ("q4", "_q4", "q4")],
)
def test_dtypes_and_suffixes_are_those_of_transformers_js(weight_format: WeightFormat, suffix: str, dtype: str) -> None:
    config = transformers_js_config(weight_format, [f"onnx/embed_tokens{suffix}.onnx"])
    assert config == {
        "dtype": {"embed_tokens": dtype},
        "use_external_data_format": {f"embed_tokens{suffix}.onnx": 0},
    }
