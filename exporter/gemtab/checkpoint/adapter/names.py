"""What the tensors of an adapter's file are called, and which tensor of the base each one changes.

peft writes the path of a module in the model that was trained, which differs by class and release of transformers
(`model.language_model.layers…`, `language_model.model.layers…`, `model.layers…`), and wraps names into its own.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from gemtab.checkpoint.head import HEAD
from gemtab.checkpoint.spec import CheckpointSpec

Kind = Literal["part", "tokens", "saved", "base", "plain"]
"""part: of a low-rank change; tokens: rows of an embedding; saved: trained as it is; base: the base's own tensor under
such a change; plain: either of the last two, which the config tells."""

_WRAPPERS: Final = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_PART: Final = re.compile(
    r"(?P<module>.+?)\."
    r"(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?!weight$|bias$)[^.]+)?(?P<bias>\.bias)?(?:\.weight)?"
)
_TOKENS: Final = re.compile(r"(?P<module>.+?)(?:\.token_adapter)?\.trainable_tokens_delta(?:\.[^.]+)?")
_SAVED: Final = re.compile(r"\.modules_to_save(?:\.(?!weight$|bias$)[^.]+(?=\.))?(?=\.)")
_FROZEN: Final = re.compile(r"\.(?:token_adapter\.)?(?:base_layer|original_module)(?=\.)")

_TEXT: Final = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")
_TOWERS: Final = ("vision_tower.", "vision_embedder.", "audio_tower.", "embed_vision.", "embed_audio.")
_TEXT_MODULES: Final = ("layers.", "embed_tokens.", "embed_tokens_per_layer.", "norm.", "per_layer_")


@dataclass(frozen=True)
class Entry:
    """A tensor of an adapter's file. module: as the adapter calls it; parameter: of the module, which the part of a
    low-rank change does not tell where the module has several; wrapper: the innermost name around the part, which is
    another one for each parameter."""

    key: str
    kind: Kind
    module: str
    parameter: str
    part: str = ""
    wrapper: str = ""

    @property
    def name(self) -> str:
        """What the adapter calls the tensor that is changed."""
        return f"{self.module}.{self.parameter}"


def parse(key: str) -> Entry | None:
    """What the tensor called `key` is; None for what no release of peft writes."""
    name = _WRAPPERS.sub("", key).removeprefix("base_model.model.")
    if match := _PART.fullmatch(name):
        module = _FROZEN.sub("", f"{match['module']}.").removesuffix(".")
        return Entry(key, "part", module, "weight", match["part"] + (match["bias"] or ""), match["module"])
    if match := _TOKENS.fullmatch(name):
        return Entry(key, "tokens", match["module"], "weight")
    if "lora_" in name:
        return None
    kind: Kind = "saved" if _SAVED.search(name) else "base" if _FROZEN.search(name) else "plain"
    module, _, parameter = _FROZEN.sub("", _SAVED.sub("", name)).rpartition(".")
    return Entry(key, kind, module, parameter)


def in_base(name: str, spec: CheckpointSpec, known: set[str]) -> str | None:
    """The base's name of the tensor that the adapter calls `name`; the head is known where it is the embedding."""
    if name in known:
        return name
    source = _source(name)
    if source is None:
        return None
    found = spec.tensor_name(source)
    return found if found in known or found == HEAD else None


def is_of_tower(name: str) -> bool:
    """Whether the tensor belongs to what encodes images or audio."""
    return any(name.removeprefix(prefix).startswith(_TOWERS) for prefix in _TEXT)


def is_unused(name: str, spec: CheckpointSpec) -> bool:
    """Whether the tensor makes keys or values of a layer that reads another layer's, so that nothing depends on it."""
    match = re.search(r"(?:^|\.)layers\.([0-9]{1,4})\.self_attn\.(?:[kv]_proj|[kv]_norm)(?:\.|$)", name)
    if match is None or is_of_tower(name):
        return False
    index = int(match[1])
    return index < len(spec.text.layers) and not spec.text.layers[index].owns_kv


def _source(name: str) -> str | None:
    """The name as the graphs have it: the text stack's without its prefix."""
    for prefix in _TEXT:
        tail = name.removeprefix(prefix)
        if name.startswith(prefix) and tail.startswith((HEAD, *_TEXT_MODULES, *_TOWERS)):
            return tail
    return None
