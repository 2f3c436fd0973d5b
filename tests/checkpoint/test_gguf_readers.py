"""GGUF files are read as in llama.cpp: the same values are ignored, renamed or corrected."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGUFWriter

from gemtab.chat import ChatTokenizer
from gemtab.chat_files import chat_files
from gemtab.checkpoint import open_checkpoint
from gemtab.checkpoint.gguf import GgufFile, GgufTensors
from gemtab.errors import CheckpointError
from tests.checkpoint.gguf_files import NORMAL, USER_DEFINED, finish, vocabulary, write_gguf

Made = Callable[..., Path]
UNUSED = 5
TURN = "<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n"
GEMMA4_TURN = "<|turn>user\nHello<turn|>\n<|turn>model\n"


@pytest.fixture
def made(source: Callable[[str], Path], tmp_path: Path) -> Made:
    def make(name: str, **changes: Any) -> Path:
        return write_gguf(source(name), tmp_path / f"{name}.gguf", **changes)

    return make


def retyped(folder: Path, arch: str, kind: int, *tokens: str) -> dict[str, Any]:
    """The metadata that call these tokens otherwise."""
    given = vocabulary(folder, arch)
    types = list(given["tokenizer.ggml.token_type"])
    for token in tokens:
        types[given["tokenizer.ggml.tokens"].index(token)] = kind
    return {"tokenizer.ggml.token_type": types}


def tokenizer_of(path: Path, tmp_path: Path) -> ChatTokenizer:
    (tmp_path / "tokenizer.json").write_text(open_checkpoint(path).files.text("tokenizer.json"))
    return ChatTokenizer(tmp_path)


@pytest.mark.parametrize("kind", [NORMAL, USER_DEFINED, UNUSED])
@pytest.mark.parametrize(
    ("name", "turn", "marks"),
    [
        ("gemma3", TURN, ("<start_of_turn>", "<end_of_turn>", "<bos>")),
        ("everything", GEMMA4_TURN, ("<|turn>", "<turn|>", "<|think|>")),
    ],
)
def test_marks_are_special_whatever_their_type(
    made: Made, source: Callable[[str], Path], tmp_path: Path, name: str, turn: str, marks: tuple[str, ...], kind: int
) -> None:
    changes = retyped(source(name), "gemma3" if name == "gemma3" else "gemma4", kind, *marks)
    path = made(name, **changes)
    ours, theirs = tokenizer_of(path, tmp_path), ChatTokenizer(source(name))
    ids = theirs.encode(turn)
    assert ours.encode(turn) == ids
    assert [ours.piece(id_) for id_ in ids] == [theirs.piece(id_) for id_ in ids]
    notes = chat_files(open_checkpoint(path).files, open_checkpoint(path).spec, ("text",)).notes
    reported = [note for note in notes if "ordinary text" in note and all(mark in note for mark in marks)]
    assert len(reported) == (kind != USER_DEFINED), "llama.cpp matches user-defined tokens whole anyway"


def test_marks_of_a_template_of_its_own(made: Made, source: Callable[[str], Path], tmp_path: Path) -> None:
    """A fine-tune that renamed tokens: `<|im_start|>` is in the template, `<|unseen|>` and `<code>` are not marks."""
    given = vocabulary(source("gemma3"), "gemma3")
    tokens = list(given["tokenizer.ggml.tokens"])
    numbers = {token: 300 + index for index, token in enumerate(("<|im_start|>", "<|im_end|>", "<|unseen|>", "<code>"))}
    for token, number in numbers.items():
        tokens[number] = token
    template = "{{ '<|im_start|>' + messages[0]['content'] + '<|im_end|><code>' }}"
    path = made("gemma3", **{"tokenizer.ggml.tokens": tokens, "tokenizer.chat_template": template})
    tokenizer = tokenizer_of(path, tmp_path)
    assert tokenizer.encode("<|im_start|>") == [300] and tokenizer.piece(300).kind == "special"
    assert tokenizer.encode("<|im_end|>") == [301]
    assert len(tokenizer.encode("<|unseen|>")) > 1 and len(tokenizer.encode("<code>")) > 1


def test_the_token_that_ends_a_turn_is_special_whatever_it_is_called(
    made: Made, source: Callable[[str], Path], tmp_path: Path
) -> None:
    tokens = list(vocabulary(source("gemma3"), "gemma3")["tokenizer.ggml.tokens"])
    tokens[300] = "[done]"
    path = made("gemma3", **{"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eot_token_id": 300})
    assert tokenizer_of(path, tmp_path).piece(300).kind == "special"
    assert 300 in json.loads(open_checkpoint(path).files.text("generation_config.json"))["eos_token_id"]


HARMLESS: dict[str, dict[str, Any]] = {
    "gemma3": {
        "attention.causal": True,
        "attn_logit_softcapping": 0.0,
        "final_logit_softcapping": 0.0,
        "expert_count": 0,
        "expert_used_count": 0,
        "logit_scale": 1.0,
        "rope.scaling.finetuned": True,
        "rope.scaling.original_context_length": 0,
        "rope.scaling.attn_factor": 1.0,
        "use_parallel_residual": False,
        "pooling_type": 0,
        "tensor_data_layout": "reference",
        "vision.block_count": 27,
        "mm.tokens_per_image": 256,
        "layer_norm_rms_epsilon": 0.0,
    },
    "everything": {
        "attention.scale": 1.0,
        "attention.causal": True,
        "attn_logit_softcapping": 0.0,
        "leading_dense_block_count": 0,
        "rope.scaling.type": "none",
        "rope.scaling.factor": 1.0,
    },
}


def prefixed(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {f"{'gemma3' if name == 'gemma3' else 'gemma4'}.{key}": value for key, value in changes.items()}


@pytest.mark.parametrize("name", HARMLESS)
def test_metadata_that_say_what_is_computed_anyway(made: Made, name: str) -> None:
    plain = open_checkpoint(made(name)).spec
    head = plain.text.layers[0].attention.head_size
    changes = HARMLESS[name] | (
        {"rope.dimension_count": head, "attention.scale": head**-0.5} if name == "gemma3" else {}
    )
    changes |= {"embedding_scale": plain.text.hidden**0.5, "embedding_length_out": plain.text.hidden}
    if plain.text.logit_cap is not None:
        changes.pop("final_logit_softcapping", None)
    assert open_checkpoint(made(name, **prefixed(name, changes))).spec == plain


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("gemma3", "attention.causal", False),
        ("gemma3", "attn_logit_softcapping", 50.0),
        ("gemma3", "attention.scale", 1.0),
        ("gemma3", "embedding_scale", 2.0),
        ("gemma3", "logit_scale", 0.5),
        ("gemma3", "rope.dimension_count", 4),
        ("gemma3", "rope.scaling.attn_factor", 1.2),
        ("gemma3", "attention.value_length", 16),
        ("everything", "attention.value_length_swa", 16),
        ("gemma3", "attention.sinks", 4),
        ("everything", "attention.scale", 0.25),
        ("everything", "rope.dimension_count_swa", 4),
        ("everything", "rope.scaling.factor", 8.0),
    ],
)
def test_metadata_that_would_change_the_model(made: Made, name: str, key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        open_checkpoint(made(name, **prefixed(name, {key: value})))


LINEAR: list[dict[str, Any]] = [
    {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
    {"rope.scaling.factor": 8.0},
    {"rope.scale_linear": 8.0},
    {"rope.scaling.type": "linear", "rope.scale_linear": 8.0},
    {"rope.scaling.factor": 8.0, "rope.scale_linear": 2.0},
]
NONE: list[dict[str, Any]] = [
    {},
    {"rope.scaling.type": "none"},
    {"rope.scaling.type": "none", "rope.scaling.factor": 8.0},
    {"rope.scaling.type": "linear"},
    {"rope.scaling.type": "linear", "rope.scaling.factor": 1.0},
    {"rope.scaling.factor": 0.0},
    {"rope.scale_linear": 1.0},
]


@pytest.mark.parametrize(("changes", "factor"), [(one, 8.0) for one in LINEAR] + [(one, 1.0) for one in NONE], ids=str)
def test_both_spellings_of_the_scaling_of_positions(made: Made, changes: dict[str, Any], factor: float) -> None:
    """As llama.cpp: without a type it is linear; the older key counts where the newer is missing; sliding layers are
    not scaled."""
    removed = {"rope.scaling.type": None, "rope.scaling.factor": None}
    text = open_checkpoint(made("gemma3", **prefixed("gemma3", removed | changes))).spec.text
    found = {layer.attention.kind: layer.attention.rope for layer in text.layers}
    assert found["full"].factor == factor
    assert found["sliding"].factor == 1.0


def test_bases_in_the_spelling_of_other_converters(made: Made) -> None:
    changes = {"rope.freq_base": None, "rope.global.freq_base": 5e5, "rope.local.freq_base": 2e4}
    text = open_checkpoint(made("gemma3", **prefixed("gemma3", changes))).spec.text
    assert {layer.attention.kind: layer.attention.rope.theta for layer in text.layers} == {"full": 5e5, "sliding": 2e4}


def notes_of(path: Path) -> list[str]:
    opened = open_checkpoint(path)
    return [note for note in chat_files(opened.files, opened.spec, ("text",)).notes if "takes only text" in note]


@pytest.mark.parametrize("projector", ["mmproj-F16.gguf", "gemma-3-4b-it-mmproj.gguf", "mmproj-model-f16.gguf"])
def test_a_projector_beside_the_file_is_mentioned(made: Made, projector: str) -> None:
    path = made("gemma3")
    assert notes_of(path) == []
    (path.parent / projector).touch()
    (note,) = notes_of(path)
    assert projector in note and "vision and audio parts" in note


def other_file(path: Path, arch: str, **metadata: str) -> Path:
    writer = GGUFWriter(path, arch)
    for key, value in metadata.items():
        writer.add_string(f"general.{key}", value)
    writer.add_tensor("v.patch_embd.weight", np.zeros((2, 2), np.float32))
    finish(writer)
    return path


@pytest.mark.parametrize(
    ("arch", "metadata", "words"),
    [
        ("clip", {}, "is a projector"),
        ("gemma3", {"type": "mmproj"}, "is a projector"),
        ("gemma3", {"type": "adapter"}, r"is a LoRA adapter in GGUF.*--adapter"),
        ("gemma3", {"type": "imatrix"}, "is an importance matrix"),
        ("gemma2", {}, "general.architecture is 'gemma2'"),
    ],
)
def test_files_that_hold_no_text_model(tmp_path: Path, arch: str, metadata: dict[str, str], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(other_file(tmp_path / "mmproj-F16.gguf", arch, **metadata))


def test_named_templates(made: Made) -> None:
    names = {"tokenizer.chat_templates": ["tool_use"], "tokenizer.chat_template.tool_use": "{{ tools }}"}
    opened = open_checkpoint(made("gemma3", **names))
    made_files = chat_files(opened.files, opened.spec, ("text",))
    assert made_files.texts["chat_template.jinja"] == opened.files.text("chat_template.jinja")
    assert made_files.notes == ("The chat template default is used; others are left out: tool_use.",)
    assert gguf.Keys.Tokenizer.CHAT_TEMPLATES in names


def test_a_file_without_a_template_is_said_to_continue_what_is_written(made: Made) -> None:
    opened = open_checkpoint(made("gemma3", **{"tokenizer.chat_template": None}))
    (note,) = chat_files(opened.files, opened.spec, ("text",)).notes
    assert "has no chat template" in note and "continues the text" in note


def test_rotary_factors_are_not_known_in_gemma_3(tmp_path: Path) -> None:
    """llama.cpp's Gemma 3 has none, and they would change every full layer."""
    writer = GGUFWriter(tmp_path / "model.gguf", "gemma3")
    writer.add_tensor("rope_freqs.weight", np.ones(4, np.float32))
    finish(writer)
    with pytest.raises(CheckpointError, match=r"tensor rope_freqs\.weight is not known"):
        GgufTensors(GgufFile(tmp_path / "model.gguf"))
