"""The model card that a bundle carries."""

import html
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from gemtab.bundle.folder import check_files, read_manifest
from gemtab.bundle.manifest import Source
from gemtab.bundle.parity import Comparison, Parity
from gemtab.card import CARD_NAME, add_parity, model_card
from tests.cli.conftest import Gemtab
from tests.variants import variant

PARITY = Parity(
    gemtab="1",
    prompts=3,
    steps=72,
    longest_prompt=40,
    adapter="a GPU",
    comparisons=(
        Comparison(
            backend="webgpu f16",
            against="checkpoint",
            max_error=1.0,
            rms_error=0.125,
            kl=0.002,
            top1=0.958,
            tie_margin=0.1,
            near_ties=1,
            greedy_match=1.0,
        ),
    ),
)


def test_an_export_says_what_it_is(exported: Path) -> None:
    manifest = read_manifest(exported)
    card = (exported / CARD_NAME).read_text()
    assert card == model_card(manifest, None)
    head, body = card.split("---\n")[1:]
    assert "license: apache-2.0" in head
    assert "base_model" not in head, "a folder on this machine is no model of a hub"
    assert "tags: [gemtab, webgpu, onnx, transformers.js]" in head
    assert "`onnx`, and transformers.js" in body
    for words in ("4 bits in blocks of 32", "512 tokens", "text, image, video, audio", "Not verified yet"):
        assert words in body
    assert '<gemtab-chat src="bundles/tiny/">' in body
    assert str(exported.parent) not in card


def test_a_model_of_a_hub_is_named_as_the_base_model(exported: Path) -> None:
    manifest = read_manifest(exported)
    source = manifest.source.model_copy(update={"name": "google/gemma-4-E2B-it", "adapters": ("mine",)})
    card = model_card(manifest.model_copy(update={"source": source}), None)
    assert "base_model: google/gemma-4-E2B-it\n" in card
    assert "[google/gemma-4-E2B-it](https://huggingface.co/google/gemma-4-E2B-it)" in card
    assert "| merged adapters | mine |" in card
    assert 'src="bundles/gemma-4-E2B-it/"' in card


def test_what_transformers_js_does_not_load_says_so(tmp_path: Path, gemtab: Gemtab) -> None:
    """It gives no `block_ids`."""
    source = variant("blocks", tmp_path / "blocks", with_tokenizer=True)
    bundle = tmp_path / "bundle"
    assert gemtab("export", source, bundle, "--weights", "f16").code == 0
    card = (bundle / CARD_NAME).read_text()
    assert "tags: [gemtab, webgpu, onnx]\n" in card
    assert "transformers.js does not load them: it cannot pass `block_ids`" in card
    shown = " ".join(gemtab("inspect", bundle).out.split())
    assert "transformers.js does not load the onnx folder: it cannot pass `block_ids`" in shown


def test_parity_is_stated_once_it_is_known(exported: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(exported, tmp_path / "bundle"))
    add_parity(bundle, PARITY)
    card = (bundle / CARD_NAME).read_text()
    assert "| webgpu f16 | checkpoint | 0.12 | 0.002 | 95.8% | 100% |" in card
    assert "Not verified" not in card
    check_files(bundle, read_manifest(bundle))


@pytest.mark.parametrize(
    "name", ['my "best" model', "<b>&amp;<i>", "a|b`c`[d](e)", "*it* ~no~ #1", "new\nline", "it's"]
)
def test_names_are_shown_as_they_are(exported: Path, name: str) -> None:
    """By a Markdown and an HTML reader, in the title, a table and the address of the element."""
    source = Source(name=name, model_type="gemma4", licence="no: such", adapters=(name,), repository="me/" + name)
    card = model_card(read_manifest(exported).model_copy(update={"source": source}), None)
    read = ModelCard(card)
    body = read.text
    assert (read.data.get("base_model"), read.data.get("license")) == (f"me/{name}", "no: such")
    tokens = MarkdownIt().enable("table").parse(body)
    shown = " ".join(name.split())
    texts = ["".join(child.content for child in token.children or []) for token in tokens if token.type == "inline"]
    assert texts[0] == f"{shown} for the browser"
    assert texts[texts.index("merged adapters") + 1] == shown
    element = re.search(r'<gemtab-chat src="([^"<>]*)"></gemtab-chat>', body)
    assert element is not None and unquote(html.unescape(element[1])) == f"bundles/{name}/"
