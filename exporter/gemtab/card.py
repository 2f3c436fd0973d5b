"""The model card of a bundle, README.md, for model hubs and for people."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from gemtab import __version__
from gemtab.bundle.digest import digest_file
from gemtab.bundle.folder import accept_file, read_manifest
from gemtab.bundle.manifest import Manifest, WeightFormat
from gemtab.bundle.memory import memory_need
from gemtab.bundle.parity import Parity
from gemtab.grid_report import grid_words, inexact_words
from gemtab.output import write_atomically

CARD_NAME = "README.md"

_WORDS = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
"""Words that YAML reads as something other than a string."""

_RECIPES: dict[WeightFormat, str] = {
    "f32": "as they are, in f32",
    "f16": "rounded to f16",
    "q8": "8 bits in blocks of 32 columns, an f16 scale a block",
    "q4": "4 bits in blocks of 32 columns, an f16 scale a block",
    "qat": "the checkpoint's integer weights of 2 to 8 bits, the rest in f16",
}


def with_card(folder: Path, manifest: Manifest, parity: Parity | None = None) -> Manifest:
    """Write the card of the bundle in `folder`. Return the manifest with the card among its files."""
    path = folder / CARD_NAME
    path.write_text(model_card(manifest, parity), encoding="utf-8")
    return manifest.model_copy(update={"files": {**manifest.files, CARD_NAME: digest_file(path)}})


def add_parity(folder: Path, parity: Parity) -> None:
    """Rewrite the card of a bundle with its parity report."""
    write_atomically(folder / CARD_NAME, model_card(read_manifest(folder), parity))
    accept_file(folder, CARD_NAME)


def model_card(manifest: Manifest, parity: Parity | None) -> str:
    """Return the card's text: Markdown with the YAML head that model hubs read."""
    drafter = [_head(manifest), _draft_introduction(manifest), _facts(manifest), _draft_use(manifest)]
    model = [_head(manifest), _introduction(manifest), _facts(manifest), _use(manifest), _truth(parity)]
    sections = model if manifest.plans else drafter
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(manifest: Manifest) -> Iterator[str]:
    source = manifest.source
    yield "---"
    if repository := _repository(manifest):
        yield f"base_model: {_scalar(repository)}"
        yield "base_model_relation: quantized"
    if source.licence:
        yield f"license: {_scalar(source.licence)}"
    yield "library_name: gemtab"
    tags = ["gemtab", *(["webgpu"] if manifest.plans else []), "onnx"]
    tags += [] if manifest.no_transformers_js else ["transformers.js"]
    yield f"tags: [{', '.join(tags)}]"
    yield "---"


def _introduction(manifest: Manifest) -> Iterator[str]:
    yield f"# {_plain(_short(manifest))} for the browser"
    yield ""
    yield f"{_linked(manifest)}, compiled by gemtab {__version__} to static files. A page runs the model with WebGPU on"
    yield "its visitor's own GPU: prompts and answers never leave the browser. The same weights serve ONNX Runtime, by"
    if manifest.no_transformers_js:
        yield f"the graphs in `onnx`. transformers.js does not load them: {manifest.no_transformers_js}."
    else:
        yield "the graphs in `onnx`, and transformers.js."


def _draft_introduction(manifest: Manifest) -> Iterator[str]:
    yield f"# {_plain(_short(manifest))} in ONNX"
    yield ""
    yield f"{_linked(manifest)}, converted to ONNX by gemtab {__version__}. It is a draft model: it drafts tokens for"
    yield "its target, the model it was trained with, which verifies them. It cannot answer without its target."


def _repository(manifest: Manifest) -> str | None:
    """Return the model's id on a hub, if known."""
    name = manifest.source.name
    return manifest.source.repository or (name if "/" in name else None)


def _short(manifest: Manifest) -> str:
    """Return the model's name without its maker."""
    return manifest.source.name.rsplit("/", 1)[-1]


def _linked(manifest: Manifest) -> str:
    name, repository = _plain(manifest.source.name), _repository(manifest)
    return f"[{name}](https://huggingface.co/{quote(repository)})" if repository else name


def _plain(text: str) -> str:
    """Escape the text for Markdown and HTML, as one line that fits a table's cell."""
    return html.escape(re.sub(r"([\\`*\[\]~|])", r"\\\1", " ".join(text.split())), quote=False)


def _scalar(text: str) -> str:
    """Return the text as a YAML string, quoted where YAML could read something else."""
    bare = re.fullmatch(r"[A-Za-z][\w.-]*(/[\w.-]+)*", text) and text.lower() not in _WORDS
    return text if bare else json.dumps(text)


def _facts(manifest: Manifest) -> Iterator[str]:
    source = manifest.source
    needs = [memory_need(entry, manifest.context) for entry in manifest.plans]
    yield "| | |"
    yield "| --- | --- |"
    yield f"| base model | {_linked(manifest)} ({source.model_type}) |"
    if source.adapters:
        yield f"| merged adapters | {_plain(', '.join(source.adapters))} |"
    licence = _plain(source.licence or "not stated in the checkpoint; see the base model")
    yield f"| licence | {licence} |"
    yield f"| takes | {', '.join(manifest.inputs)} |"
    yield f"| weights | {_RECIPES[manifest.weights]} ({manifest.weights}); norms and routers in f32 |"
    if manifest.grid:
        words = [grid_words(manifest.grid), *(inexact_words(one) for one in manifest.grid.others)]
        yield f"| trained for Q4_0 | {'; '.join(words)} |"
    yield f"| context | {manifest.context:,} tokens |"
    yield f"| size | {_gigabytes(sum(file.bytes for file in manifest.files.values()))} in all |"
    if needs:
        gpu = max(need.total for need in needs)
        yield f"| a tab loads | {_gigabytes(needs[0].weights)} for text, and at most {_gigabytes(gpu)} of GPU memory |"
    for note in manifest.notes:
        yield f"| note | {_plain(note)} |"


def _use(manifest: Manifest) -> Iterator[str]:
    folder = html.escape(quote(_short(manifest)))
    yield "## On a page"
    yield ""
    yield "Put these files and gemtab's site (`gemtab-chat.js` and the files beside it) on one host, over HTTPS:"
    yield ""
    yield "```html"
    yield '<script type="module" src="./gemtab-chat.js"></script>'
    yield f'<gemtab-chat src="bundles/{folder}/"></gemtab-chat>'
    yield "```"


def _draft_use(manifest: Manifest) -> Iterator[str]:
    assert manifest.draft is not None
    yield "## With its target"
    yield ""
    yield f"`{manifest.draft.file}` takes the target's embedding of the last token joined with the target's hidden"
    yield f"state before that token (2 × {manifest.draft.target_hidden:,} numbers), the token's position, and the keys"
    yield "and values of the target's last sliding and last full layer. It returns the next token's logits and a hidden"
    yield "state. With that state and the new token's embedding, it drafts the token after, at the same position."


def _truth(parity: Parity | None) -> Iterator[str]:
    yield "## Accuracy"
    yield ""
    if parity is None:
        yield "Not verified yet: `gemtab verify` compares the bundle with the checkpoint."
        return
    extent = "" if parity.extent == "full" else f", extent {parity.extent}"
    where = f"{parity.adapter}{extent}"
    yield f"Compared over {parity.steps} tokens of {parity.prompts} prompts ({where}); see `parity.json`."
    yield ""
    yield "| backend | against | RMS error of logits | KL, nats | same top token | same greedy text |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in parity.comparisons:
        numbers = f"{one.rms_error:.2g} | {one.kl:.2g} | {one.top1:.1%} | {one.greedy_match:.0%}"
        yield f"| {one.backend} | {one.against} | {numbers} |"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
