"""Tokenizers and templates that trainers save beside an adapter: taken where they are not the base's."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemtab.chat_files import AdapterFiles, ChatFiles, chat_files
from gemtab.checkpoint.config import read_config
from gemtab.checkpoint.source import FolderFiles
from gemtab.errors import CheckpointError
from tests.variants import TINY

TEMPLATE, TOKENIZER, SPECIAL = "chat_template.jinja", "tokenizer.json", "tokenizer_config.json"
GENERATION = "generation_config.json"
OWN = "{% for m in messages %}### {{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
ROWS = 2048
Make = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Makes the folder of an adapter as trainers save it, weights apart."""

    def make(name: str, template: str | None = None, tokens: tuple[str, ...] = (), **special: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        content = json.loads((TINY / TOKENIZER).read_text())
        for token in tokens:
            number = ROWS + tokens.index(token)
            content["added_tokens"].append({**content["added_tokens"][0], "id": number, "content": token})
        content["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
        (folder / TOKENIZER).write_text(json.dumps(content))
        (folder / SPECIAL).write_text(json.dumps(json.loads((TINY / SPECIAL).read_text()) | special))
        (folder / TEMPLATE).write_text(template or (TINY / TEMPLATE).read_text())
        return folder

    return make


def found(*adapters: Path, base: Path = TINY, rows: int = ROWS) -> ChatFiles:
    """Return the files of a text chat for a base with these adapters."""
    spec = read_config(TINY)
    spec = replace(spec, text=replace(spec.text, vocabulary=rows))
    return chat_files(AdapterFiles(FolderFiles(base), adapters, rows), spec, ("text",))


def test_equal_files_in_other_words_are_the_bases(made: Make) -> None:
    """Training code rewrites the base's files, with its own settings."""
    adapter = made("same", padding_side="right", pad_token="<eos>")
    content = json.loads((adapter / TOKENIZER).read_text())
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    content["normalizer"] = {"type": "Sequence", "normalizers": [content["normalizer"]]}
    (adapter / TOKENIZER).write_text(json.dumps(content))
    assert found(adapter) == found() and found(adapter).notes == ()


@pytest.mark.parametrize("place", [TEMPLATE, SPECIAL, "chat_template.json"])
def test_an_own_template_is_taken_wherever_it_stands(made: Make, place: str) -> None:
    adapter = made("fluent")
    (adapter / TEMPLATE).unlink()
    old = json.loads((adapter / place).read_text()) if place == SPECIAL else {}
    (adapter / place).write_text(OWN if place == TEMPLATE else json.dumps({**old, "chat_template": OWN}))
    chosen = found(adapter)
    assert chosen.texts[TEMPLATE] == OWN
    assert chosen.notes == ("The chat template is from the adapter fluent.",)
    assert {name: text for name, text in chosen.texts.items() if name != TEMPLATE} == {
        name: text for name, text in found().texts.items() if name != TEMPLATE
    }


def test_a_base_without_template_has_the_adapters(made: Make, tmp_path: Path) -> None:
    base = Path(shutil.copytree(TINY, tmp_path / "pretrained"))
    (base / TEMPLATE).unlink()
    with pytest.raises(CheckpointError, match="has no chat template"):
        found(base=base)
    assert found(made("fluent"), base=base).texts == found().texts


def test_own_tokens_with_rows_are_taken_and_end_answers(made: Make) -> None:
    adapter = made("persona", OWN, ("<persona>", "<|im_end|>"), eos_token="<|im_end|>")
    chosen = found(adapter, rows=ROWS + 2)
    added = {token["content"]: token["id"] for token in json.loads(chosen.texts[TOKENIZER])["added_tokens"]}
    assert added["<persona>"] == ROWS
    assert json.loads(chosen.texts[SPECIAL])["eos_token"] == "<|im_end|>"
    assert json.loads(chosen.texts[GENERATION])["eos_token_id"] == [1, 6, 14, ROWS + 1]
    assert "The tokenizer is from the adapter persona, with <persona>, <|im_end|>." in chosen.notes


def test_ends_of_the_adapters_generation_config_are_added(made: Make) -> None:
    adapter = made("fluent")
    (adapter / GENERATION).write_text(json.dumps({"eos_token_id": [1, 16]}))
    assert json.loads(found(adapter).texts[GENERATION])["eos_token_id"] == [1, 6, 14, 16]


def test_own_tokens_without_rows_are_refused(made: Make) -> None:
    with pytest.raises(CheckpointError, match="adds <persona>, but the embedding has 2048 rows"):
        found(made("persona", None, ("<persona>",)))


def test_the_bases_own_tokens_without_rows_are_no_matter(made: Make, tmp_path: Path) -> None:
    base = Path(shutil.copytree(TINY, tmp_path / "base"))
    adapter = made("fluent", OWN, ("<image_soft_token>",))
    shutil.copyfile(adapter / TOKENIZER, base / TOKENIZER)
    assert found(adapter, base=base).texts[TEMPLATE] == OWN


def test_of_several_adapters_the_last_own_template_is_taken(made: Make) -> None:
    one, two, plain = made("one", OWN), made("two", OWN + "!"), made("plain")
    chosen = found(one, two, plain)
    assert chosen.texts[TEMPLATE] == OWN + "!"
    assert chosen.notes == (
        "The chat template is from the adapter two. one, plain learned with another template, which is left out.",
    )


def test_of_several_adapters_the_tokenizer_with_all_tokens_is_taken(made: Make) -> None:
    one, both = made("one", None, ("<a>",)), made("both", None, ("<a>", "<b>"))
    for order in ((one, both), (both, one)):
        chosen = found(*order, rows=ROWS + 2)
        assert "The tokenizer is from the adapter both, with <a>, <b>." in chosen.notes


def test_adapters_that_name_an_id_differently_are_refused(made: Make) -> None:
    one, other = made("one", None, ("<a>",)), made("other", None, ("<b>",))
    with pytest.raises(CheckpointError, match="adapters one, other differ: id 2048 is <a> and <b>"):
        found(one, other, rows=ROWS + 1)


def test_an_adapter_in_a_hubs_cache_is_called_by_its_repository(made: Make, tmp_path: Path) -> None:
    place = tmp_path / "models--me--poet" / "snapshots" / ("0123456789" * 4)
    place.parent.mkdir(parents=True)
    made("own", template=OWN).rename(place)
    assert found(place).notes == ("The chat template is from the adapter me/poet.",)
