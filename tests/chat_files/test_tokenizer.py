"""The tokenizer of a bundle neither cuts nor fills prompts, and gives only ids that the model has."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from gemtab.chat import ChatTemplate, ChatTokenizer
from gemtab.errors import CheckpointError
from tests.chat_files.conftest import chosen, read, write

CUT = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
FILLED = {
    "strategy": {"Fixed": 128},
    "direction": "Left",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "<pad>",
}
LONG = "many words " * 40


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    content = read(folder / name)
    change(content)
    write(folder / name, content)


def added(token: str, number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, "special": True, **flags}


@pytest.mark.parametrize("left_on", [{"truncation": CUT}, {"padding": FILLED}, {"truncation": CUT, "padding": FILLED}])
def test_prompts_are_whole(tiny_copy: Path, tmp_path: Path, left_on: dict[str, Any]) -> None:
    expected = ChatTokenizer(tiny_copy).encode(LONG)
    assert len(expected) > 8
    edit(tiny_copy, "tokenizer.json", lambda content: content.update(left_on))
    assert ChatTokenizer(tiny_copy).encode(LONG) == expected, "a bundle of an older version"
    text = chosen(tiny_copy).texts["tokenizer.json"]
    assert json.loads(text)["truncation"] is None and json.loads(text)["padding"] is None
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    assert ChatTokenizer(tmp_path).encode(LONG) == expected
    assert chosen(tiny_copy).notes == ()


def test_tokens_beyond_the_vocabulary_are_left_out(tiny_copy: Path, tmp_path: Path) -> None:
    size = read(tiny_copy / "config.json")["text_config"]["vocab_size"]
    edit(tiny_copy, "tokenizer.json", lambda content: content["added_tokens"].append(added("<image_soft_token>", size)))
    made = chosen(tiny_copy)
    assert made.notes == (
        "Tokens left out of the tokenizer, since the model has no rows for their ids: <image_soft_token>.",
    )
    (tmp_path / "tokenizer.json").write_text(made.texts["tokenizer.json"], encoding="utf-8")
    ids = ChatTokenizer(tmp_path).encode("a<image_soft_token>b")
    assert max(ids) < size and ChatTokenizer(tmp_path).decode(ids) == "a<image_soft_token>b"


def test_a_template_that_writes_such_a_token_is_refused(tiny_copy: Path) -> None:
    size = read(tiny_copy / "config.json")["text_config"]["vocab_size"]
    edit(tiny_copy, "tokenizer.json", lambda content: content["added_tokens"].append(added("<|im_start|>", size)))
    (tiny_copy / "chat_template.jinja").write_text("<|im_start|>{{ messages[0]['content'] }}")
    with pytest.raises(CheckpointError, match=rf"<\|im_start\|> with id {size}.*resize_token_embeddings"):
        chosen(tiny_copy)


def test_the_tokenizer_of_a_larger_model_is_refused(tiny_copy: Path) -> None:
    size = read(tiny_copy / "config.json")["text_config"]["vocab_size"]
    edit(tiny_copy, "tokenizer.json", lambda content: content["model"]["vocab"].update(zzz=size))
    with pytest.raises(CheckpointError, match="belongs to another model"):
        chosen(tiny_copy)


@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"model": 1, "added_tokens": []}', '{"model": {}}', "{"])
def test_what_is_no_tokenizer(tiny_copy: Path, content: str) -> None:
    (tiny_copy / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        chosen(tiny_copy)


def test_a_tokenizer_that_is_not_there(tiny_copy: Path) -> None:
    (tiny_copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"is missing.*base model's"):
        chosen(tiny_copy)
    (tiny_copy / "tokenizer.model").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"tokenizer\.model \(SentencePiece\) is not read.*save_pretrained"):
        chosen(tiny_copy)


def lost(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys:
            content.pop(key, None)

    return change


def as_objects(content: dict[str, Any]) -> None:
    for key, token in list(content.items()):
        if key.endswith("_token"):
            content[key] = added(token, 0) | {"__type": "AddedToken"}


MEDIA = tuple(f"{name}_token" for name in ("image", "boi", "eoi", "audio", "boa", "eoa"))
SPECIAL = ("model_specific_special_tokens", "extra_special_tokens")
CONFIGS: dict[str, Callable[[dict[str, Any]], None]] = {
    "no roles": lost("bos_token", "eos_token", "unk_token", "pad_token"),
    "media in a group": lost(*MEDIA),
    "no media": lost(*MEDIA, *SPECIAL),
    "objects": as_objects,
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_all_tokens_of_a_chat_are_named(
    tiny_copy: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    whole = read(tiny_copy / "tokenizer_config.json")
    edit(tiny_copy, "tokenizer_config.json", change)
    written = json.loads(chosen(tiny_copy).texts["tokenizer_config.json"])
    assert {name: written[name] for name in MEDIA} == {name: whole[name] for name in MEDIA}
    messages = [{"role": "user", "content": "Hello"}]
    out = Path(shutil.copytree(tiny_copy, tmp_path / "out", symlinks=True))
    write(out / "tokenizer_config.json", written)
    expected = AutoTokenizer.from_pretrained(tiny_copy).apply_chat_template(messages, tokenize=False)
    assert ChatTemplate(out).render(messages, add_generation_prompt=False) == expected
    assert expected.startswith("<bos>")


def test_roles_of_the_older_file(tiny_copy: Path) -> None:
    edit(tiny_copy, "tokenizer_config.json", lost("bos_token"))
    write(tiny_copy / "special_tokens_map.json", {"bos_token": {"content": "<|turn>", "lstrip": False}})
    found = json.loads(chosen(tiny_copy).texts["tokenizer_config.json"])["bos_token"]
    assert found["content"] == AutoTokenizer.from_pretrained(tiny_copy).bos_token == "<|turn>"


def test_without_a_tokenizer_config(tiny_copy: Path, tmp_path: Path) -> None:
    expected = ChatTemplate(tiny_copy).render([{"role": "user", "content": "Hello"}])
    (tiny_copy / "tokenizer_config.json").unlink()
    made = chosen(tiny_copy)
    assert made.notes == ("tokenizer_config.json is missing: the special tokens are those of Gemma's tokenizer.",)
    for name, text in made.texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert ChatTemplate(tmp_path).render([{"role": "user", "content": "Hello"}]) == expected


def test_media_without_their_tokens_are_refused(tiny_copy: Path) -> None:
    edit(tiny_copy, "tokenizer_config.json", lost(*MEDIA, *SPECIAL))
    edit(tiny_copy, "tokenizer.json", lambda content: content.update(added_tokens=content["added_tokens"][:5]))
    with pytest.raises(CheckpointError, match=r"has no boi_token.*--inputs text"):
        chosen(tiny_copy)
    assert chosen(tiny_copy, ("text",)).texts


def as_decoder(tokens: list[dict[str, Any]], **flags: bool) -> dict[str, Any]:
    keys = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {str(token["id"]): {**{key: token[key] for key in keys}, **flags} for token in tokens}


SPOKEN = '<|turn>user\nHi <|video|> and <|"|>x<|"|><turn|>\n'


def listed_elsewhere(folder: Path, kept: int, special: bool) -> None:
    """tokenizer.json has only so many of the tokens; tokenizer_config.json has all."""
    tokens = read(folder / "tokenizer.json")["added_tokens"]
    for token in tokens:
        token["special"] = token["special"] and special
    edit(folder, "tokenizer.json", lambda content: content.update(added_tokens=tokens[:kept]))
    decoder = as_decoder(tokens, special=True)
    edit(folder, "tokenizer_config.json", lambda content: content.update(added_tokens_decoder=decoder))


@pytest.mark.parametrize("kept", [0, 5, 99])
@pytest.mark.parametrize("special", [True, False])
def test_tokens_that_tokenizer_config_lists(tiny_copy: Path, tmp_path: Path, kept: int, special: bool) -> None:
    listed_elsewhere(tiny_copy, kept, special)
    theirs = AutoTokenizer.from_pretrained(tiny_copy)
    (tmp_path / "tokenizer.json").write_text(chosen(tiny_copy).texts["tokenizer.json"], encoding="utf-8")
    ours = ChatTokenizer(tmp_path)
    ids = theirs.encode(SPOKEN, add_special_tokens=False)
    assert ours.encode(SPOKEN) == ids
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_tokens_of_the_older_file(tiny_copy: Path) -> None:
    edit(tiny_copy, "tokenizer_config.json", lost("added_tokens_decoder"))
    size = read(tiny_copy / "config.json")["text_config"]["vocab_size"]
    write(tiny_copy / "added_tokens.json", {"<|turn>": 5, "<|pad_more|>": size})
    assert "<|pad_more|>" in chosen(tiny_copy).notes[0]


def test_an_id_that_is_two_tokens(tiny_copy: Path) -> None:
    number = read(tiny_copy / "tokenizer.json")["added_tokens"][3]["id"]
    decoder = as_decoder([added("<|other|>", number)])
    edit(tiny_copy, "tokenizer_config.json", lambda content: content.update(added_tokens_decoder=decoder))
    with pytest.raises(CheckpointError, match=rf"id {number} is .*<\|other\|>.*belong to different tokenizers"):
        chosen(tiny_copy)


@pytest.mark.parametrize("name", ["generation_config.json", "tokenizer_config.json", "tokenizer.json"])
def test_the_mark_with_which_some_editors_begin_a_file(tiny_copy: Path, name: str) -> None:
    expected = chosen(tiny_copy).texts
    (tiny_copy / name).write_bytes(b"\xef\xbb\xbf" + (tiny_copy / name).read_bytes())
    assert chosen(tiny_copy).texts == expected


def test_ids_after_a_gap_are_those_of_transformers(tiny_copy: Path) -> None:
    """The tokenizers library gives added tokens the next free ids; the tab takes ids as they are written."""
    edit(
        tiny_copy,
        "config.json",
        lambda content: content["text_config"].update(vocab_size=2112, vocab_size_per_layer_input=2112),
    )
    tokens = [added("<far>", 2100), added("<farther>", 2105)]
    edit(tiny_copy, "tokenizer.json", lambda content: content["added_tokens"].extend(tokens))
    written = json.loads(chosen(tiny_copy, ("text",)).texts["tokenizer.json"])["added_tokens"]
    loaded = AutoTokenizer.from_pretrained(tiny_copy)
    for token in ("<far>", "<farther>", "<|turn>"):
        (number,) = (one["id"] for one in written if one["content"] == token)
        assert number == loaded.convert_tokens_to_ids(token)


def test_an_id_that_would_fall_on_an_ordinary_token_is_refused(tiny_copy: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        token = next(token for token, number in vocabulary.items() if number == 1500)
        del vocabulary[token]
        content["model"]["merges"] = [pair for pair in content["model"]["merges"] if "".join(pair) != token]
        content["added_tokens"].append(added("<mine>", 1500))

    edit(tiny_copy, "tokenizer.json", change)
    with pytest.raises(CheckpointError, match=r"'<mine>' has the id 1500, .* would give it the id 2047"):
        chosen(tiny_copy)


def test_what_the_tokenizers_library_cannot_open_is_refused(tiny_copy: Path) -> None:
    edit(tiny_copy, "tokenizer.json", lambda content: content["model"].update(merges=[["no", "such"]]))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be opened by the tokenizers library"):
        chosen(tiny_copy)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_surrogates_that_are_no_characters_become_one_that_is(tiny_copy: Path, name: str) -> None:
    content = {**read(tiny_copy / name), "note": "\ud800!", "pad_token": None}
    (tiny_copy / name).write_text(json.dumps(content))
    text = chosen(tiny_copy).texts[name].encode("utf-8").decode("utf-8")
    assert "\ufffd!" in text or "\\ud800!" in text


def test_a_panic_of_the_tokenizers_library_is_refused_too(tiny_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    edit(tiny_copy, "tokenizer.json", lambda content: content.update(normalizer=broken))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be opened by the tokenizers library: .*char"):
        chosen(tiny_copy)
    assert capfd.readouterr().err == ""


NO_IDS: list[object] = [None, [], {}, -1, 1.5, True, "7"]
NO_TEXTS: list[object] = [None, [], {}, -1, True]
WRONG = [*(("id", value) for value in NO_IDS), *(("content", value) for value in NO_TEXTS)]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_tokens_of_a_wrong_kind_are_refused(tiny_copy: Path, key: str, value: object) -> None:
    edit(tiny_copy, "tokenizer.json", lambda content: content["added_tokens"][3].update({key: value}))
    with pytest.raises(CheckpointError, match="tokens have a text and an id"):
        chosen(tiny_copy)


@pytest.mark.parametrize("value", [None, [], -1, 1.5, "7"])
def test_ids_of_a_wrong_kind_are_refused(tiny_copy: Path, value: object) -> None:
    edit(tiny_copy, "tokenizer.json", lambda content: content["model"]["vocab"].update({"new": value}))
    with pytest.raises(CheckpointError, match="tokens have a text and an id"):
        chosen(tiny_copy)
