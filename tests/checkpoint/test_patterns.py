"""Expressions of configs find what Python's `re` finds, and take no longer than is waited for."""

import gc
import re
import time

import pytest

from gemtab.checkpoint.adapter.config import AdapterConfig
from gemtab.checkpoint.trained_codes import TrainedCodes
from gemtab.errors import CheckpointError
from gemtab.patterns import Patterns, check_expression

NAMES = ["model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj", "lm_head", "", "q_proj\n", "naïve.q_proj"]
PLAIN = ["q_proj", "layers.1", "q_proj|up_proj", r"layers\.0\.", "^model", "x"]
LOOPS = [r"layers\.\d+\.mlp", ".*", "(q|k)_proj", r"(?P<a>\d)\D*(?P=a)", "[a-z]{3,}", "(?=lm)", "(?i:LM_HEAD)"]
ENDLESS = ["(([a-z0-9_.]+)+)+!", "(.*)*(.*)*(.*)*(.*)*!"]


@pytest.mark.parametrize("how", ["match", "search"])
@pytest.mark.parametrize("expressions", [PLAIN, [*PLAIN, *LOOPS]])
def test_they_find_what_re_finds(how: str, expressions: list[str]) -> None:
    around = (r"(.*\.)?(", ")$") if how == "match" else ("", "")
    patterns = Patterns(expressions, how, around)  # type: ignore[arg-type]
    for name in NAMES:
        expected = [getattr(re, how)(f"{around[0]}{one}{around[1]}", name) for one in expressions]
        assert patterns.found(name) == [None if one is None else one.start() for one in expected]
    del patterns
    gc.collect()  # a process that is still there would be warned of, which is an error


@pytest.mark.parametrize("expression", ENDLESS)
def test_one_that_takes_too_long_is_refused(expression: str) -> None:
    started = time.process_time()
    with pytest.raises(CheckpointError, match="need more than 2 seconds or 1 GiB to match model"):
        Patterns([expression], "search").found(NAMES[0] * 2)
    assert time.process_time() - started < 1, "the time is another process's"


def test_so_is_one_that_only_fails_where_it_is_used() -> None:
    for expression in ("(?i)x", "(?i)x+"):
        with pytest.raises(CheckpointError, match="cannot be used"):
            Patterns([expression], "match", ("(", ")")).found("x")


@pytest.mark.parametrize("text", ["(", "*x", "(" * 5000 + ")" * 5000, "a{99999999999999999999}", "x" * 10_001])
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        check_expression(text)


def test_adapters_and_codes_are_bounded() -> None:
    config = AdapterConfig.model_validate({"r": 4, "lora_alpha": 8, "alpha_pattern": {ENDLESS[0]: 4}})
    with pytest.raises(CheckpointError, match="need more than"):
        config.scaling("model.layers.0.self_attn.q_proj", 4)
    codes = TrainedCodes(4, ((ENDLESS[0], 8),), tables=False, skipped=(), text_prefix="model.language_model.")
    with pytest.raises(CheckpointError, match="need more than"):
        codes.bits("layers.0.self_attn.q_proj.weight", table=False)
