"""Small random draft models for the variants of tests/variants.py, and transformers as their oracle."""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma4AssistantConfig,
    Gemma4AssistantForCausalLM,
    Gemma4TextConfig,
    Gemma4UnifiedAssistantConfig,
    Gemma4UnifiedAssistantForCausalLM,
    Gemma4UnifiedTextConfig,
    PreTrainedModel,
)

from gemtab.backends.reference import KV, Caches
from tests.variants import BASE, FULL, SLIDING, VARIANTS, VOCABULARY, randomise

CENTROIDS = {"use_ordered_embeddings": True, "num_centroids": 24, "centroid_intermediate_top_k": 3}

KINDS: dict[str, tuple[Any, Any, Any]] = {
    "gemma4_assistant": (Gemma4AssistantConfig, Gemma4TextConfig, Gemma4AssistantForCausalLM),
    "gemma4_unified_assistant": (
        Gemma4UnifiedAssistantConfig,
        Gemma4UnifiedTextConfig,
        Gemma4UnifiedAssistantForCausalLM,
    ),
}
"""Classes of config, of text config and of model."""


@dataclass(frozen=True)
class Recipe:
    """target: the variant that it drafts for, whose caches it reads; text: its own sizes; head: what the config says
    around the text stack."""

    target: str = "everything"
    kind: str = "gemma4_assistant"
    text: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    scalars: bool = True


ASSISTANTS: dict[str, Recipe] = {
    "plain": Recipe(),
    "centroids": Recipe(head=CENTROIDS),
    "untied": Recipe(head={"tie_word_embeddings": False}),
    "untied_centroids": Recipe(head={**CENTROIDS, "tie_word_embeddings": False}),
    "ragged_centroids": Recipe(text={"hidden_size": 80, "intermediate_size": 104}, head=CENTROIDS),
    # Keys that are values too, and two KV heads on sliding layers.
    "for_unified": Recipe("unified_12b", "gemma4_unified_assistant"),
    "for_unified_centroids": Recipe("unified_12b", "gemma4_unified_assistant", head=CENTROIDS),
    "only_full": Recipe(text={"layer_types": [FULL]}, scalars=False),
}

# Settings that a draft model and its target share: those of the keys and values in the caches.
_SHARED = (
    "num_key_value_heads",
    "head_dim",
    "global_head_dim",
    "num_global_key_value_heads",
    "attention_k_eq_v",
    "sliding_window",
)


def assistant(name: str, folder: Path) -> Path:
    """Write the assistant into `folder` (made if need be) as transformers saves it, in bf16, and return it; the same
    bytes every time."""
    recipe = ASSISTANTS[name]
    target = {**BASE, **VARIANTS[recipe.target].text}
    shared = {key: target[key] for key in _SHARED if key in target}
    sizes = {**BASE, **shared, "hidden_size": 64, "layer_types": [SLIDING, SLIDING, SLIDING, FULL], **recipe.text}
    sizes["num_hidden_layers"] = sizes["num_kv_shared_layers"] = len(sizes["layer_types"])
    sizes["vocab_size_per_layer_input"] = sizes["hidden_size_per_layer_input"] = 0
    if recipe.kind == "gemma4_unified_assistant":
        del sizes["vocab_size_per_layer_input"], sizes["hidden_size_per_layer_input"]
    config_class, text_class, model_class = KINDS[recipe.kind]
    config = config_class(text_config=text_class(**sizes), backbone_hidden_size=target["hidden_size"], **recipe.head)
    with all_layers_shared():
        model = model_class(config)
    seed = zlib.crc32(name.encode())
    randomise(model, seed, recipe.scalars)
    if model.masked_embedding is not None:
        order = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(seed))
        model.masked_embedding.token_ordering.copy_(order)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def load_assistant(folder: Path) -> PreTrainedModel:
    """The assistant in transformers, in f32."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    with all_layers_shared():
        model: PreTrainedModel = KINDS[kind][2].from_pretrained(folder, dtype=torch.float32)
    return model.eval()


@contextmanager
def all_layers_shared() -> Iterator[None]:
    """Let transformers 5.23 build draft models inside the block.

    It rejects them otherwise: every text config must have a layer that makes the keys and values that others share.
    """
    classes: list[Any] = [Gemma4TextConfig, Gemma4UnifiedTextConfig]
    before = [each.kv_sharing_modes for each in classes]

    def sharing(modes: Any) -> property:
        def get(config: Any) -> Any:
            all_shared = config.num_kv_shared_layers == config.num_hidden_layers
            return ["reuse"] * config.num_hidden_layers if all_shared else modes.fget(config)

        return property(get)

    for each, modes in zip(classes, before, strict=True):
        each.kv_sharing_modes = sharing(modes)
    try:
        yield
    finally:
        for each, modes in zip(classes, before, strict=True):
            each.kv_sharing_modes = modes


@dataclass(frozen=True)
class Draft:
    """The inputs of one step of drafting: the token's embedding and the hidden state [1, 2 * target_hidden], the
    position, and the target's caches of earlier positions by kind of layer."""

    inputs_embeds: torch.Tensor
    position: int
    caches: dict[str, KV]

    @property
    def graph_inputs(self) -> dict[str, torch.Tensor]:
        """As the draft graph takes them."""
        return {"inputs_embeds": self.inputs_embeds, "position_ids": torch.tensor([self.position])}

    @property
    def graph_caches(self) -> Caches:
        """As the draft graph takes them."""
        return {f"kv.{kind}": cache for kind, cache in self.caches.items()}


def random_draft(name: str, past: int) -> Draft:
    """A step after `past` tokens, of values as large as a target's."""
    target = {**BASE, **VARIANTS[ASSISTANTS[name].target].text}
    generator = torch.Generator().manual_seed(past)
    full_heads = target.get("num_global_key_value_heads") or target["num_key_value_heads"]
    heads = {
        "sliding": (target["num_key_value_heads"], target["head_dim"]),
        "full": (full_heads, target["global_head_dim"]),
    }

    def cache(kind: str) -> KV:
        k, v = torch.randn(2, past, *heads[kind], generator=generator)
        return KV(k * 0.6, v)

    embeds = torch.randn(1, 2 * target["hidden_size"], generator=generator)
    return Draft(embeds, past, {kind: cache(kind) for kind in heads})


def transformers_draft(model: Callable[..., Any], draft: Draft) -> dict[str, torch.Tensor]:
    """The oracle's logits [1, vocabulary] and last hidden state [1, target_hidden] of one step."""

    def batched(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.transpose(0, 1)[None]

    shared = {f"{kind}_attention": (batched(cache.k), batched(cache.v)) for kind, cache in draft.caches.items()}
    with torch.inference_mode():
        outputs = model(
            inputs_embeds=draft.inputs_embeds[None],
            position_ids=torch.tensor([[draft.position]]),
            attention_mask=torch.ones(1, draft.position, dtype=torch.long),
            shared_kv_states=shared,
        )
    return {"logits": outputs.logits[0], "last_hidden_state": outputs.last_hidden_state[0]}
