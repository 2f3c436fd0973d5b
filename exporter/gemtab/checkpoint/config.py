"""config.json -> `ModelSpec`, resolving what transformers resolves: per-layer sizes, KV sharing, rope."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gemtab.bundle import limits
from gemtab.checkpoint import gemma3
from gemtab.checkpoint.codes import TABLE_CODES
from gemtab.checkpoint.missing import check_no_pointer, missing_config
from gemtab.checkpoint.quantised import method_of, quantisation, refusal
from gemtab.checkpoint.schema import (
    DEFAULT_ROPE,
    AssistantConfig,
    AssistantTextConfig,
    AudioConfig,
    AxialRope,
    CompressedQuantization,
    GemmaQuantization,
    LayerOverride,
    LayerType,
    ModuleQuantization,
    NestedConfig,
    RopeConfig,
    TextConfig,
    UnifiedAssistantConfig,
    UnifiedAssistantTextConfig,
    UnifiedAudioConfig,
    UnifiedNestedConfig,
    UnifiedTextConfig,
    UnifiedVisionConfig,
    VisionConfig,
    parse,
)
from gemtab.checkpoint.tensors import Checkpoint
from gemtab.checkpoint.unread_keys import same
from gemtab.errors import CheckpointError
from gemtab.model.spec import (
    AssistantSpec,
    AttentionSpec,
    AudioSpec,
    CentroidSpec,
    FrameSpec,
    LayerSpec,
    ModelSpec,
    MoeSpec,
    PatchSpec,
    RopeSpec,
    TextSpec,
    TrainedCodes,
    VisionSpec,
)
from gemtab.regular import read_regular

CONFIG_NAME = "config.json"

# The config of each model_type that nests others, with its text config, and where transformers puts the text stack's
# tensors.
_NESTED: dict[str, tuple[type[NestedConfig], type[TextConfig]]] = {
    "gemma4": (NestedConfig, TextConfig),
    "gemma4_unified": (UnifiedNestedConfig, UnifiedTextConfig),
}
_BARE: dict[str, type[TextConfig]] = {"gemma4_text": TextConfig, "gemma4_unified_text": UnifiedTextConfig}
_NESTED_PREFIX, _BARE_PREFIX = "model.language_model.", "model."
_ARCHITECTURES = ("ForCausalLM", "ForConditionalGeneration")
_PREFIXES = (_NESTED_PREFIX, _BARE_PREFIX, "language_model.model.", "")
"""All that are known, those of older releases too."""

# Those that draft for another model, with the text config that each nests; their tensors are called as a bare one's.
_ASSISTANTS: dict[str, tuple[type[AssistantConfig], type[TextConfig]]] = {
    "gemma4_assistant": (AssistantConfig, AssistantTextConfig),
    "gemma4_unified_assistant": (UnifiedAssistantConfig, UnifiedAssistantTextConfig),
}


def read_config(folder: Path) -> ModelSpec:
    """The spec that the folder's config.json stands for, in either form that configs take on disk, by itself.

    Raises CheckpointError if config.json is missing, damaged, or asks for something that gemtab does not know.
    """
    return read_config_file(folder / CONFIG_NAME)


def read_config_file(path: Path) -> ModelSpec:
    """The spec that a config.json by itself stands for. Raises as read_config does."""
    return parse_config(_read_json(path), str(path))


def parse_config(config: dict[str, Any], where: str) -> ModelSpec:
    """The spec that the parsed config.json stands for; `where` names it in errors."""
    model_type = config.get("model_type")
    known = (*_NESTED, *_BARE, gemma3.MODEL_TYPE, *_ASSISTANTS)
    if model_type not in known:
        raise CheckpointError(
            f"{where}: model_type is {model_type!r}; gemtab knows {', '.join(known)}. "
            "Point it at a Gemma 4 checkpoint, or one of Gemma 3's text models, in the layout that transformers saves."
        )
    _check_architectures(config, where)
    nested = model_type in _NESTED
    text = config.get("text_config") if nested or model_type in _ASSISTANTS else config
    if not isinstance(text, dict):
        raise CheckpointError(f"{where}: text_config is missing; a {model_type} config describes its text stack there.")
    prefix, tied = _NESTED_PREFIX if nested else _BARE_PREFIX, bool(config.get("tie_word_embeddings", True))
    codes = _codes(config, text, tied, prefix, where)
    if model_type in _ASSISTANTS:
        return _assistant(config, text, where)
    if model_type == gemma3.MODEL_TYPE:
        return gemma3.spec(config, where, prefix)
    if nested:
        return _nested(config, text, tied, codes, where)
    parsed = parse(_BARE[model_type], text, where)
    return ModelSpec(model_type, replace(_text_spec(parsed, (), tied, where), codes=codes), prefix)


def _check_architectures(config: dict[str, Any], where: str) -> None:
    """Raises CheckpointError for a classifier, an embedder, or another model that writes no text."""
    found = config.get("architectures") or []
    strange = [name for name in found if not str(name).endswith(_ARCHITECTURES)]
    if strange:
        raise CheckpointError(
            f"{where}: architectures is {found}, and gemtab knows no {strange[0]}: it exports models that write text, "
            f"whose architectures end in {' or '.join(_ARCHITECTURES)}. A classifier's or embedder's results would be "
            "lost."
        )


def _nested(
    config: dict[str, Any], text: dict[str, Any], tied: bool, codes: TrainedCodes | None, where: str
) -> ModelSpec:
    """The spec of a config that nests those of text, vision and audio."""
    schema, text_schema = _NESTED[config["model_type"]]
    parsed = parse(text_schema, text, where, "text_config.")
    whole = parse(schema, _without_repeats(config, parsed), where)
    media_ids = tuple(
        each for each in (whole.image_token_id, whole.audio_token_id, whole.video_token_id) if each is not None
    )
    text_spec = replace(_text_spec(parsed, media_ids, tied, where), codes=codes)
    vision, audio = (_part(config, name, where) for name in ("vision_config", "audio_config"))
    unified = config["model_type"] == "gemma4_unified"
    return ModelSpec(
        config["model_type"],
        # What is said of pictures means nothing where there are none.
        replace(text_spec, image_blocks=text_spec.image_blocks and vision is not None),
        _NESTED_PREFIX,
        vision=None if vision is None else _patch_spec(vision, where) if unified else _vision_spec(vision, where),
        audio=None if audio is None else _frame_spec(audio, where) if unified else _audio_spec(audio, where),
    )


def _without_repeats(config: dict[str, Any], text: TextConfig) -> dict[str, Any]:
    """The config without what it says again of its text stack, as some trainers want it."""
    said = text.model_dump(mode="json", exclude={"model_type", "tie_word_embeddings", "quantization_config"})
    return {key: value for key, value in config.items() if not (key in said and same(value, said[key]))}


def _assistant(config: dict[str, Any], text: dict[str, Any], where: str) -> ModelSpec:
    """The spec of a checkpoint that drafts for another model."""
    schema, text_schema = _ASSISTANTS[config["model_type"]]
    parsed = parse(text_schema, text, where, "text_config.")
    whole = parse(schema, _without_repeats(config, parsed), where)
    if parsed.num_kv_shared_layers not in (0, parsed.num_hidden_layers):
        raise CheckpointError(
            f"{where}: text_config.num_kv_shared_layers = {parsed.num_kv_shared_layers} of {parsed.num_hidden_layers} "
            "layers; expected all of them, or 0 for the same, since an assistant reads its target's keys and values."
        )
    own = _text_spec(parsed.model_copy(update={"num_kv_shared_layers": 0}), (), whole.tie_word_embeddings, where)
    # Its logits have no soft cap, whatever the text config says, and it writes no picture's tokens.
    layers = tuple(_drafting(layer) for layer in own.layers)
    text_spec = replace(own, layers=layers, logit_cap=None, image_blocks=False)
    assistant = AssistantSpec(whole.backbone_hidden_size, _centroids(whole, parsed.vocab_size, where))
    return ModelSpec(whole.model_type, text_spec, _BARE_PREFIX, assistant=assistant)


def _drafting(layer: LayerSpec) -> LayerSpec:
    """An assistant's layer: it reads the target's cache, in which its own token is not. As in transformers it sees, on
    sliding layers, the last window + 1 positions there, of which the farthest is window + 1 before its token."""
    attention = layer.attention
    window = None if attention.window is None else attention.window + 2
    return replace(layer, attention=replace(attention, kv_layer=attention.kind, window=window))


def _centroids(config: AssistantConfig, vocabulary: int, where: str) -> CentroidSpec | None:
    if not config.use_ordered_embeddings:
        return None
    count, active = config.num_centroids, config.centroid_intermediate_top_k
    if vocabulary % count or active > count:
        raise CheckpointError(
            f"{where}: use_ordered_embeddings with num_centroids = {count}, centroid_intermediate_top_k = {active} and "
            f"a vocabulary of {vocabulary}; expected as many tokens for each centroid, and no more active ones than "
            "there are. Is the config this checkpoint's own?"
        )
    return CentroidSpec(count, active)


def _part(config: dict[str, Any], name: str, where: str) -> dict[str, Any] | None:
    found = config.get(name)
    if found is not None and not isinstance(found, dict):
        raise CheckpointError(f"{where}: {name} is {type(found).__name__}; expected an object, or null for none.")
    return found


def _vision_spec(found: dict[str, Any], where: str) -> VisionSpec:
    config = parse(VisionConfig, found, where, "vision_config.")
    if config.num_attention_heads % config.num_key_value_heads:
        raise CheckpointError(
            f"{where}: vision_config has {config.num_attention_heads} heads and {config.num_key_value_heads} KV heads; "
            "expected a multiple."
        )
    return VisionSpec(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=config.head_dim,
        eps=config.rms_norm_eps,
        theta=(config.rope_parameters or AxialRope()).rope_theta,
        patch=config.patch_size,
        pooling=config.pooling_kernel_size,
        positions=config.position_embedding_size,
        clipped=config.use_clipped_linears,
        standardised=config.standardize,
    )


def _audio_spec(found: dict[str, Any], where: str) -> AudioSpec:
    config = parse(AudioConfig, found, where, "audio_config.")
    return AudioSpec(
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        # The tower's first projection has as many columns as so many bins leave.
        bins=config.subsampling_conv_channels[0],
        channels=config.subsampling_conv_channels,
        kernel=config.conv_kernel_size,
        window=config.attention_context_left - 1,
        distances=config.attention_context_left,
        logit_cap=config.attention_logit_cap,
        residual_weight=config.residual_weight,
        bound=config.gradient_clipping,
        eps=config.rms_norm_eps,
        output=config.output_proj_dims,
        clipped=config.use_clipped_linears,
    )


def _patch_spec(found: dict[str, Any], where: str) -> PatchSpec:
    config = parse(UnifiedVisionConfig, found, where, "vision_config.")
    side = config.patch_size * config.pooling_kernel_size
    return PatchSpec(side, config.mm_embed_dim, config.mm_posemb_size, config.rms_norm_eps)


def _frame_spec(found: dict[str, Any], where: str) -> FrameSpec:
    config = parse(UnifiedAudioConfig, found, where, "audio_config.")
    return FrameSpec(config.audio_embed_dim, config.rms_norm_eps)


def find_text_prefix(names: list[str], folder: Path) -> str:
    """What stands before the token embedding in the checkpoint's tensor names; raises CheckpointError unless exactly
    one tensor has its name."""
    endings = ("embed_tokens.weight", f"embed_tokens.{TABLE_CODES}")
    found = [(name, end) for name in names for end in endings if name == end or name.endswith(f".{end}")]
    if len(found) != 1:
        listed = ", ".join(name for name, _ in found) or "none"
        raise CheckpointError(
            f"{folder}: expected one tensor called …{endings[0]}, the token embedding; found {listed}. "
            "Is it a Gemma checkpoint, with all its files?"
        )
    name, ending = found[0]
    return name.removesuffix(ending)


def check_one_prefix(checkpoint: Checkpoint, prefix: str) -> None:
    """Raises CheckpointError where a tensor under `prefix` is there under another prefix of text stacks too."""
    names = checkpoint.names()
    own = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    for other in _PREFIXES:
        for name in names:
            same = own.get(name.removeprefix(other), name) if name.startswith(other) else name
            if same != name:
                raise CheckpointError(
                    f"{checkpoint.folder}: tensors {same} ({checkpoint.file_of(same)}) and {name} "
                    f"({checkpoint.file_of(name)}) are the same weight under two prefixes; expected one of them. Save "
                    "the checkpoint again without the one that is left over."
                )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        # Some editors begin a file with a mark that is no JSON.
        text = read_regular(path, limits.CONFIG_BYTES).decode("utf-8-sig")
        check_no_pointer(path, text)
        config = json.loads(text)
    except FileNotFoundError:
        raise missing_config(path.parent) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Download it again.") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(config).__name__}. Download it again.")
    return config


def _codes(config: dict[str, Any], text: dict[str, Any], tied: bool, prefix: str, where: str) -> TrainedCodes | None:
    """What quantization_config says. Raises CheckpointError for another method than Gemma's own."""
    found = quantisation(config, text)
    if not found:
        return None
    method = method_of(found)
    if method == "compressed-tensors":
        parse(CompressedQuantization, found, where, "quantization_config.")
        return None  # weights are read as the values that the codes stand for: see gemtab.checkpoint.compressed
    if method != "gemma" or config["model_type"] not in ("gemma4", "gemma4_text"):
        raise refusal(method, config["model_type"], where)
    parsed = parse(GemmaQuantization, found, where, "quantization_config.")
    skipped = parsed.modules_to_not_convert
    codes = TrainedCodes(
        default=parsed.num_bits,
        patterns=tuple((key, each.num_bits or parsed.num_bits) for key, each in _patterns(parsed)),
        tables=parsed.quantize_embeddings,
        # transformers leaves the head alone where nothing is said.
        skipped=("lm_head",) if skipped is None else skipped,
        text_prefix=prefix,
    )
    if tied and codes.bits("embed_tokens.weight", table=True):
        raise CheckpointError(
            f"{where}: tie_word_embeddings is true, and the embeddings are codes; expected a head of its own, as "
            "transformers needs it. Set tie_word_embeddings to false if the checkpoint has lm_head."
        )
    return codes


def _patterns(config: GemmaQuantization) -> list[tuple[str, ModuleQuantization]]:
    return list((config.module_quant_configs or {}).items())


def _text_spec(config: TextConfig, media_ids: tuple[int, ...], tied: bool, where: str) -> TextSpec:
    if media_ids and config.pad_token_id is None:
        raise CheckpointError(f"{where}: text_config.pad_token_id is null; media placeholders look up the pad token.")
    if media_ids and (config.pad_token_id or 0) >= config.vocab_size:
        raise CheckpointError(
            f"{where}: text_config.pad_token_id = {config.pad_token_id}, and vocab_size is {config.vocab_size}; "
            "expected a token of the vocabulary, which media placeholders look up."
        )
    if config.hidden_size_per_layer_input and config.vocab_size_per_layer_input < config.vocab_size:
        raise CheckpointError(
            f"{where}: vocab_size_per_layer_input = {config.vocab_size_per_layer_input} is smaller than vocab_size = "
            f"{config.vocab_size}; expected per-layer embeddings for every token."
        )
    return TextSpec(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        layers=_layers(config, where),
        eps=config.rms_norm_eps,
        per_layer_size=config.hidden_size_per_layer_input,
        per_layer_vocabulary=config.vocab_size_per_layer_input,
        logit_cap=config.final_logit_softcapping,
        max_positions=config.max_position_embeddings,
        pad_id=config.pad_token_id or 0,
        media_ids=media_ids,
        tied=tied,
        image_blocks=config.use_bidirectional_attention == "vision",
    )


def _layers(config: TextConfig, where: str) -> tuple[LayerSpec, ...]:
    types = _layer_types(config, where)
    overrides = _overrides(config, types, where)
    kv_layers = _kv_layers(config, types, where)
    moe = _moe(config, where)
    layers = []
    for index, (kind, kv_layer) in enumerate(zip(types, kv_layers, strict=True)):
        wide = config.use_double_wide_mlp and kv_layer != index
        attention = _attention(config, kind, overrides.get(kv_layer), kv_layer, where)
        layers.append(LayerSpec(index, attention, config.intermediate_size * (2 if wide else 1), moe))
    return tuple(layers)


def _layer_types(config: TextConfig, where: str) -> list[LayerType]:
    """The type of each layer; the last one is full whatever the config says, as in Gemma4TextConfig."""
    count = config.num_hidden_layers
    types: list[LayerType]
    if config.layer_types is None:
        types = ["full_attention" if (index + 1) % 6 == 0 else "sliding_attention" for index in range(count)]
    else:
        types = list(config.layer_types)
    if len(types) != count:
        raise CheckpointError(f"{where}: layer_types has {len(types)} entries, num_hidden_layers is {count}.")
    return [*types[:-1], "full_attention"]


def _overrides(config: TextConfig, types: list[LayerType], where: str) -> dict[int, LayerOverride]:
    """What differs by layer: `per_layer_config`, or the older keys that speak of all full layers."""
    if "per_layer_config" not in config.model_fields_set:
        # transformers reads the full layers' own KV head count only where V is K.
        kv_heads = config.num_global_key_value_heads if config.attention_k_eq_v else None
        full = LayerOverride(head_dim=config.global_head_dim, num_key_value_heads=kv_heads)
        return {index: full for index, kind in enumerate(types) if kind == "full_attention"}
    overrides = config.per_layer_config or {}
    beyond = [index for index in overrides if not 0 <= index < len(types)]
    if beyond:
        raise CheckpointError(f"{where}: per_layer_config names layer {beyond[0]}; there are {len(types)} layers.")
    for kind in set(types):
        of_kind = {_sizes(config, overrides.get(i)) for i, each in enumerate(types) if each == kind}
        if len(of_kind) > 1:
            raise CheckpointError(
                f"{where}: per_layer_config gives the {kind} layers different (head_dim, num_key_value_heads): "
                f"{sorted(of_kind)}; expected one pair for all layers of a type."
            )
    return overrides


def _sizes(config: TextConfig, override: LayerOverride | None) -> tuple[int, int]:
    """Head size and number of KV heads of a layer."""
    override = override or LayerOverride()
    return override.head_dim or config.head_dim, override.num_key_value_heads or config.num_key_value_heads


def _kv_layers(config: TextConfig, types: list[LayerType], where: str) -> list[int]:
    """The layer whose KV each layer reads: its own, or for the last num_kv_shared_layers that of the last layer
    of its type before them."""
    owners = len(types) - config.num_kv_shared_layers
    last = {kind: index for index, kind in enumerate(types[: max(owners, 0)])}
    missing = set(types) - last.keys()
    if missing:
        raise CheckpointError(
            f"{where}: num_kv_shared_layers = {config.num_kv_shared_layers} of {len(types)} layers leaves no "
            f"{missing.pop()} layer with keys and values of its own to share."
        )
    return [index if index < owners else last[kind] for index, kind in enumerate(types)]


def _attention(
    config: TextConfig, kind: LayerType, override: LayerOverride | None, kv_layer: int, where: str
) -> AttentionSpec:
    head_size, kv_heads = _sizes(config, override)
    heads, full = config.num_attention_heads, kind == "full_attention"
    if heads % kv_heads or head_size % 2:
        raise CheckpointError(
            f"{where}: {kind} layers have {heads} heads, {kv_heads} KV heads, head size {head_size}; "
            "expected a multiple of the KV heads and an even size."
        )
    rope = getattr(config.rope_parameters or DEFAULT_ROPE, kind)
    if rope is None:
        raise CheckpointError(f"{where}: rope_parameters has no entry for {kind}.")
    return AttentionSpec(
        kind="full" if full else "sliding",
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        window=None if full else config.sliding_window,
        rope=_rope(rope, head_size, f"{where}: rope_parameters.{kind}"),
        kv_layer=kv_layer,
        v_is_k=config.attention_k_eq_v and full,
    )


def _rope(config: RopeConfig, head_size: int, where: str) -> RopeSpec:
    # The order of operations is transformers': the product is floored, not the quotient.
    pairs = int(config.partial_rotary_factor * head_size // 2)
    if not pairs:
        raise CheckpointError(
            f"{where}: partial_rotary_factor = {config.partial_rotary_factor} rotates no pair of a head of "
            f"{head_size}; expected at least {2 / head_size:g}."
        )
    return RopeSpec(config.rope_theta, pairs)


def _moe(config: TextConfig, where: str) -> MoeSpec | None:
    if not config.enable_moe_block:
        return None
    experts, active, width = config.num_experts, config.top_k_experts, config.moe_intermediate_size
    if experts is None or active is None or width is None or active > experts:
        raise CheckpointError(
            f"{where}: enable_moe_block needs num_experts, moe_intermediate_size and top_k_experts <= num_experts; "
            f"found {experts}, {width} and {active}."
        )
    return MoeSpec(experts, active, width)
