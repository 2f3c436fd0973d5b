"""Turns the config of a text stack into a `TextSpec`. Sizes by layer, KV sharing and rope are resolved as in
transformers."""

from gemtab.checkpoint.schema import DEFAULT_ROPE, LayerOverride, LayerType, RopeConfig, TextConfig
from gemtab.errors import CheckpointError
from gemtab.model.spec import AttentionSpec, LayerSpec, MoeSpec, RopeSpec, TextSpec


def text_spec(config: TextConfig, media_ids: tuple[int, ...], tied: bool, where: str) -> TextSpec:
    """Return the text stack of a config. Raises CheckpointError for a config that contradicts itself.

    media_ids, tied: see TextSpec. where: the name of the config in errors.
    """
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
        doubled = config.use_double_wide_mlp and kv_layer != index
        # A layer that reads another layer's KV has that layer's head size and number of KV heads.
        attention = _attention(config, kind, overrides.get(kv_layer), kv_layer, where)
        layers.append(LayerSpec(index, attention, config.intermediate_size * (2 if doubled else 1), moe))
    return tuple(layers)


def _layer_types(config: TextConfig, where: str) -> list[LayerType]:
    """Return the type of each layer. The last layer is always full, as in Gemma4TextConfig."""
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
    """Return the sizes that differ by layer: from `per_layer_config`, or from the older keys for all full layers."""
    if "per_layer_config" not in config.model_fields_set:
        # transformers ignores num_global_key_value_heads unless V is K.
        kv_heads = config.num_global_key_value_heads if config.attention_k_eq_v else None
        full = LayerOverride(head_dim=config.global_head_dim, num_key_value_heads=kv_heads)
        return {index: full for index, kind in enumerate(types) if kind == "full_attention"}
    overrides = config.per_layer_config or {}
    beyond = [index for index in overrides if not 0 <= index < len(types)]
    if beyond:
        raise CheckpointError(f"{where}: per_layer_config names layer {beyond[0]}; there are {len(types)} layers.")
    for kind in set(types):
        sizes = {_sizes(config, overrides.get(i)) for i, each in enumerate(types) if each == kind}
        if len(sizes) > 1:
            raise CheckpointError(
                f"{where}: per_layer_config gives the {kind} layers different (head_dim, num_key_value_heads): "
                f"{sorted(sizes)}; expected one pair for all layers of a type."
            )
    return overrides


def _sizes(config: TextConfig, override: LayerOverride | None) -> tuple[int, int]:
    """Return head size and number of KV heads of a layer."""
    override = override or LayerOverride()
    return override.head_dim or config.head_dim, override.num_key_value_heads or config.num_key_value_heads


def _kv_layers(config: TextConfig, types: list[LayerType], where: str) -> list[int]:
    """Return the layer whose KV each layer reads. The last num_kv_shared_layers read that of the last layer of their
    type before them. Other layers read their own."""
    owners = len(types) - config.num_kv_shared_layers
    last_owner = {kind: index for index, kind in enumerate(types[: max(owners, 0)])}
    missing = set(types) - last_owner.keys()
    if missing:
        raise CheckpointError(
            f"{where}: num_kv_shared_layers = {config.num_kv_shared_layers} of {len(types)} layers leaves no "
            f"{missing.pop()} layer with keys and values of its own to share."
        )
    return [index if index < owners else last_owner[kind] for index, kind in enumerate(types)]


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
    # As in transformers: floor(factor * head_size / 2).
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
