"""The committed models/tiny: it loads, its template and tokenizer are right, and it means what it says."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, Gemma4ForConditionalGeneration
from transformers.utils.chat_template_utils import render_jinja_template

from models.training import examples
from models.training.evaluate import FLOORS, Judge, held_out
from models.training.tokenizer import SPECIAL_TOKENS

TINY = Path(__file__).parents[2] / "models" / "tiny"
CONVERSATIONS = json.loads((Path(__file__).parent / "conversations.json").read_text(encoding="utf-8"))
LARGEST = 16_000_000
"""Bytes that the whole checkpoint may take, so that it can live in the repository."""

AWKWARD = (
    "",
    " ",
    "  two  spaces ",
    "tab\tand\r\nnewlines\n\n\n",
    "digits 1234567890 and 3.14, -7",
    "Ünïcödé, 日本語, العربية, עברית",
    "emoji 🎈 👩‍👩‍👧 flags 🇳🇴",
    "combining e\u0301 and \u00e9",
    "zero\u200bwidth \u00a0 no-break",
    "a<|not a token|>b <unknown>",
    "{{ braces }} {% raw %} \\ backslash \x00 nul",
    "▁ the space sign itself",
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(TINY)


def test_the_checkpoint_fits_into_the_repository() -> None:
    size = sum(path.stat().st_size for path in TINY.iterdir())
    assert size <= LARGEST, f"{size} bytes"


def test_every_weight_loads_and_none_is_missing() -> None:
    _, report = Gemma4ForConditionalGeneration.from_pretrained(TINY, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]


def test_weights_are_bf16_and_finite() -> None:
    with safe_open(TINY / "model.safetensors", "pt") as weights:
        for name in weights.keys():  # noqa: SIM118 (not a dict)
            tensor = weights.get_tensor(name)
            assert tensor.dtype == torch.bfloat16, name
            assert torch.isfinite(tensor).all(), name


def test_it_has_every_feature_of_e2b() -> None:
    config = json.loads((TINY / "config.json").read_text(encoding="utf-8"))
    text = config["text_config"]
    assert config["architectures"] == ["Gemma4ForConditionalGeneration"]
    assert config["vision_config"]["use_clipped_linears"] and config["audio_config"]["use_clipped_linears"]
    assert text["num_kv_shared_layers"] and text["use_double_wide_mlp"] and text["hidden_size_per_layer_input"]
    assert set(text["layer_types"]) == {"sliding_attention", "full_attention"}
    assert len({text["head_dim"], text["per_layer_config"]["3"]["head_dim"]}) == 2


def test_layer_scalars_are_not_one() -> None:
    with safe_open(TINY / "model.safetensors", "pt") as weights:
        scalars = [weights.get_tensor(f"model.language_model.layers.{index}.layer_scalar").item() for index in range(8)]
    assert len(set(scalars)) == 8


def test_generation_stops_at_the_three_end_tokens(tokenizer: Any) -> None:
    generation = json.loads((TINY / "generation_config.json").read_text(encoding="utf-8"))
    assert tokenizer.convert_ids_to_tokens(generation["eos_token_id"]) == ["<eos>", "<turn|>", "<|tool_response>"]


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=[one["name"] for one in CONVERSATIONS])
def test_the_template_renders(conversation: dict[str, Any]) -> None:
    values = {key: conversation[key] for key in ("tools", "enable_thinking", "add_generation_prompt")}
    template = (TINY / "chat_template.jinja").read_text(encoding="utf-8")
    rendered, _ = render_jinja_template([conversation["messages"]], chat_template=template, bos_token="<bos>", **values)
    assert rendered[0] == conversation["rendered"]


def test_transformers_finds_the_template(tokenizer: Any) -> None:
    assert "<|turn>" in tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)


@pytest.mark.parametrize("text", AWKWARD)
def test_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.unk_token_id not in ids
    # Gemma's tokenizer writes spaces as ▁, so that the sign itself comes back as a space.
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text.replace("▁", " ")


def test_special_tokens_have_their_ids(tokenizer: Any) -> None:
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS.values())) == list(range(len(SPECIAL_TOKENS)))


def test_digits_stay_single(tokenizer: Any) -> None:
    assert tokenizer.tokenize("2048")[-4:] == ["2", "0", "4", "8"]


def test_it_answers_held_out_cases(judge: Judge) -> None:
    """A sample of what the README measures; four cases a hundred below the floor is chance, more is not."""
    right: dict[str, int] = {}
    written = [task for task in FLOORS if task in examples.TASKS]
    cases = [one for task in written for one in held_out(task, 12, seed=2)]
    for case in judge.answers(cases, rows=48):
        right[case.example.task] = right.get(case.example.task, 0) + case.right
    assert sum(right.values()) >= 0.93 * len(cases), right
    assert min(right.values()) >= 9, right
