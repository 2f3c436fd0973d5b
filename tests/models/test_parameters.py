"""Parameters are counted as transformers counts them."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from gemtab.checkpoint import load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.model.weights import model_weights, parameter_count
from gemtab.synth import SIZES, published_config
from tests.variants import TINY


@pytest.mark.parametrize("size", [*SIZES, "tiny"])
def test_parameters_of_a_whole_model(size: str) -> None:
    """Published sizes and models/tiny, towers included, with no memory for any weight."""
    config = AutoConfig.from_pretrained(TINY) if size == "tiny" else None
    if config is None:
        content = published_config(size)
        config = AutoConfig.for_model(**content)
        spec = parse_config(content, size)
    else:
        spec = load_spec(TINY)
    with torch.device("meta"):
        found = AutoModelForImageTextToText.from_config(config)
    assert parameter_count(model_weights(spec)) == found.num_parameters()
