"""Parse the tensor names of an adapter's file, and find the base's tensors that they change.

peft writes the path of a module in the trained model, which differs by class and release of transformers
(`model.language_model.layers…`, `language_model.model.layers…`, `model.layers…`), and adds its own wrappers.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from gemtab.checkpoint.head import HEAD
from gemtab.checkpoint.spec import CheckpointSpec

Kind = Literal["part", "tokens", "saved", "base", "plain"]
"""part: a part of a low-rank change. tokens: rows of an embedding. saved: trained in full. base: the base's own tensor
under such a change. plain: saved or base; the config decides."""

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
    """A tensor of an adapter's file.

    module: the adapter's name of the module. parameter: of the module; unknown for a part of a low-rank change where
    the module has several parameters. wrapper: the innermost name around the part, a different one for each parameter.
    """

    key: str
    kind: Kind
    module: str
    parameter: str
    part: str = ""
    wrapper: str = ""

    @property
    def name(self) -> str:
        """The adapter's name of the changed tensor."""
        return f"{self.module}.{self.parameter}"


def parse(key: str) -> Entry | None:
    """Parse the tensor name `key`; None for names that no release of peft writes."""
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
    """Return the base's name of the adapter's tensor `name`. A tied head has its name too."""
    if name in known:
        return name
    source = _source(name)
    if source is None:
        return None
    found = spec.tensor_name(source)
    return found if found in known or found == HEAD else None


def is_of_tower(name: str) -> bool:
    """Whether the tensor belongs to a vision or audio tower."""
    return any(name.removeprefix(prefix).startswith(_TOWERS) for prefix in _TEXT)


def is_unused(name: str, spec: CheckpointSpec) -> bool:
    """Whether the tensor makes keys or values of a layer that reads another layer's, so that it has no effect."""
    match = re.search(r"(?:^|\.)layers\.([0-9]{1,4})\.self_attn\.(?:[kv]_proj|[kv]_norm)(?:\.|$)", name)
    if match is None or is_of_tower(name):
        return False
    index = int(match[1])
    return index < len(spec.text.layers) and not spec.text.layers[index].owns_kv


def _source(name: str) -> str | None:
    """Return the name in the graphs, without the text stack's prefix."""
    for prefix in _TEXT:
        tail = name.removeprefix(prefix)
        if name.startswith(prefix) and tail.startswith((HEAD, *_TEXT_MODULES, *_TOWERS)):
            return tail
    return None
