"""The text stack of Gemma 4 and Gemma 3, as in `Gemma4TextModel` and `Gemma3TextModel` in transformers.

Weight names are those of the checkpoint, without the prefix before `layers`, `embed_tokens` and `norm`. Projections of
the same input are stacked into one matrix: q, k and v; gate and up.
"""

from gemtab.graph import Graph, GraphBuilder, Role, Value, Weight
from gemtab.model.spec import AttentionSpec, LayerKind, LayerSpec, MoeSpec, TextSpec

Caches = dict[int | LayerKind, Value]
"""Caches by the layer that owns them; in a draft model, the target's caches by kind of layer."""


def embed_graph(spec: TextSpec) -> Graph:
    """Token ids [T] -> `inputs_embeds` [T, hidden] and, if the model has per-layer embeddings, their rows
    `per_layer_inputs` [T, layers, per_layer_size]."""
    b = GraphBuilder("embed_tokens", spec.bits)
    ids = b.input("input_ids", ("T",), "i32")
    outputs = {"inputs_embeds": embed_tokens(b, spec, ids)}
    if spec.per_layer_size:
        outputs["per_layer_inputs"] = lookup_per_layer(b, spec, ids, len(spec.layers))
    return b.finish(**outputs)


def decoder_graph(spec: TextSpec) -> Graph:
    """The outputs of `embed_graph`, with rows of media inserted, -> `logits` [kept, vocabulary] of the last
    `num_logits_to_keep` tokens.

    If the tokens of an image see each other, `block_ids` [T] is the number of a token's image, or -1.
    """
    b = GraphBuilder("decoder", spec.bits)
    x = b.input("inputs_embeds", ("T", spec.hidden))
    lookup = None
    if spec.per_layer_size:
        lookup = b.input("per_layer_inputs", ("T", len(spec.layers), spec.per_layer_size))
    positions = b.input("position_ids", ("T",), "i32")
    kept = b.input("num_logits_to_keep", (), "i32")
    visible = b.block_ends(b.input("block_ids", ("T",), "i32"), positions) if spec.image_blocks else None
    hidden, caches = decoder_layers(b, spec, x, lookup, positions, len(spec.layers), visible)
    return b.finish(logits=head(b, spec, b.keep_last(hidden, kept)), **caches)


def text_graph(spec: TextSpec, media: bool = False) -> Graph:
    """Token ids [T] at positions [T] -> `logits` [T, vocabulary] of every token, and the extended caches.

    media: tokens may be placeholders, as in `fill_graph`.
    """
    b = GraphBuilder("text", spec.bits)
    hidden, caches = _from_ids(b, spec, len(spec.layers), media)
    return b.finish(logits=head(b, spec, hidden), **caches)


def fill_graph(spec: TextSpec, media: bool = False) -> Graph:
    """Token ids [T] at positions [T] -> the extended caches.

    media: the rows `media` [T, hidden] replace the embeddings of placeholders. If the tokens of an image see each
    other, `visible` [T] is the last position that each token sees.

    The graph has only nodes that the caches depend on: no layers that share a cache, and only K and V of the last layer
    that owns a cache.
    """
    b = GraphBuilder("fill", spec.bits)
    owners = [layer.index for layer in spec.layers if layer.owns_kv]
    _, caches = _from_ids(b, spec, owners[-1] + 1, media)
    return b.finish(**caches)


def _from_ids(b: GraphBuilder, spec: TextSpec, layers: int, media: bool) -> tuple[Value, dict[str, Value]]:
    ids = b.input("input_ids", ("T",), "i32")
    positions = b.input("position_ids", ("T",), "i32")
    x, visible = embed_tokens(b, spec, ids), None
    if media:
        with b.at("media"):
            x = b.insert_rows(x, ids, b.input("media", x.shape), spec.media_ids)
    if media and spec.image_blocks:
        visible = b.input("visible", ("T",), "i32")
    lookup = lookup_per_layer(b, spec, ids, layers) if spec.per_layer_size else None
    return decoder_layers(b, spec, x, lookup, positions, layers, visible)


def embedding_table(b: GraphBuilder, spec: TextSpec) -> Weight:
    """The embedding table [vocabulary, hidden]."""
    return b.weight("embed_tokens", (spec.vocabulary, spec.hidden), "table", "embed_tokens.weight")


def embed_tokens(b: GraphBuilder, spec: TextSpec, ids: Value) -> Value:
    """ids [T] -> embeddings [T, hidden], times sqrt(hidden). Media placeholders get the row of the pad token."""
    with b.at("embed_tokens"):
        text_ids = b.replace_ids(ids, spec.media_ids, spec.pad_id)
        return b.embed(text_ids, embedding_table(b, spec), spec.hidden**0.5)


def lookup_per_layer(b: GraphBuilder, spec: TextSpec, ids: Value, layers: int) -> Value:
    """ids [T] -> rows of the per-layer embeddings of the first `layers` layers, times sqrt(per_layer_size):
    [T, layers, per_layer_size]."""
    size = spec.per_layer_size
    shape = (spec.per_layer_vocabulary, len(spec.layers) * size)
    with b.at("per_layer"):
        source = "embed_tokens_per_layer.weight"
        table = b.weight("embed_tokens_per_layer", shape, "table", source, groups=len(spec.layers))
        text_ids = b.replace_ids(ids, spec.media_ids, spec.pad_id)
        return b.reshape(b.embed(text_ids, table, size**0.5, layers * size), "T", layers, size)


def project_per_layer(b: GraphBuilder, spec: TextSpec, x: Value, lookup: Value, layers: int) -> Value:
    """The per-layer inputs [T, layers, per_layer_size]: (lookup + rms_norm(projection of x)) / sqrt(2).

    x: embeddings [T, hidden]. lookup: the rows of `lookup_per_layer`.
    """
    size = spec.per_layer_size
    with b.at("per_layer"):
        shape = (len(spec.layers) * size, spec.hidden)
        weight = b.weight("per_layer_projection", shape, "matrix", "per_layer_model_projection.weight")
        projected = b.scale(b.linear(x, weight, layers * size), spec.hidden**-0.5)
        norm = b.weight("per_layer_norm", (size,), "vector", "per_layer_projection_norm.weight")
        projected = b.rms_norm(b.reshape(projected, "T", layers, size), norm, spec.eps)
        return b.scale(b.add(lookup, projected), 2.0**-0.5)


def decoder_layers(
    b: GraphBuilder,
    spec: TextSpec,
    x: Value,
    lookup: Value | None,
    positions: Value,
    layers: int,
    visible: Value | None = None,
    shared: Caches | None = None,
) -> tuple[Value, dict[str, Value]]:
    """Apply the first `layers` layers and the final norm to embeddings x [T, hidden].

    lookup: the rows of `lookup_per_layer`, None if the model has none. visible [T]: the last position that each token
    sees on sliding layers; None for its own. shared: caches of a target model, for a draft model.

    Returns the normed hidden states [T, hidden] and the caches that the layers own, by name.
    """
    per_layer = None if lookup is None else project_per_layer(b, spec, x, lookup, layers)
    caches = dict(shared or {})
    for layer in spec.layers[:layers]:
        with b.at(f"layers.{layer.index}"):
            per_layer_input = None if per_layer is None else b.pick(per_layer, layer.index)
            x = decoder_layer(b, spec, layer, x, per_layer_input, positions, caches, visible)
    with b.at("norm"):
        x = b.rms_norm(x, b.weight("norm", (spec.hidden,), "vector", "norm.weight"), spec.eps)
    return x, {f"kv.{index}": cache for index, cache in caches.items() if isinstance(index, int)}


def decoder_layer(
    b: GraphBuilder,
    spec: TextSpec,
    layer: LayerSpec,
    x: Value,
    per_layer_input: Value | None,
    positions: Value,
    caches: Caches,
    visible: Value | None,
) -> Value:
    """Apply one layer to the residual x [T, hidden]. Adds the layer's cache to `caches` if the layer owns one."""

    def norm(name: str, value: Value) -> Value:
        weight = _layer_weight(b, layer, f"{name}.weight", (spec.hidden,), "vector")
        return b.rms_norm(value, weight, spec.eps)

    with b.at("attention"):
        y = attention_block(b, spec, layer, norm("input_layernorm", x), positions, caches, visible)
        x = b.add(x, norm("post_attention_layernorm", y))
    with b.at("mlp"):
        y = mlp_block(b, spec, layer, norm("pre_feedforward_layernorm", x))
    if layer.moe:
        with b.at("experts"):
            chosen = experts_block(b, spec, layer, layer.moe, x, norm("pre_feedforward_layernorm_2", x))
            y = b.add(norm("post_feedforward_layernorm_1", y), norm("post_feedforward_layernorm_2", chosen))
    with b.at("mlp"):
        x = b.add(x, norm("post_feedforward_layernorm", y))
    if per_layer_input is not None:
        with b.at("per_layer"):
            y = per_layer_block(b, spec, layer, x, per_layer_input)
            x = b.add(x, norm("post_per_layer_input_norm", y))
    return b.mul(x, _layer_weight(b, layer, "layer_scalar", (1,), "vector")) if spec.layer_scalars else x


def attention_block(
    b: GraphBuilder,
    spec: TextSpec,
    layer: LayerSpec,
    x: Value,
    positions: Value,
    caches: Caches,
    visible: Value | None,
) -> Value:
    """Attention of normed x [T, hidden], with the output projection: [T, hidden]."""
    a = layer.attention
    q_width, kv_width = a.heads * a.head_size, a.kv_heads * a.head_size
    sources = ["q_proj"] if not layer.owns_kv else ["q_proj", "k_proj"] + ([] if a.v_is_k else ["v_proj"])
    parts = (q_width, *[kv_width] * (len(sources) - 1))
    names = [f"layers.{layer.index}.self_attn.{source}.weight" for source in sources]
    shape = (sum(parts), spec.hidden)
    qkv = b.linear(x, b.weight(f"layers.{layer.index}.qkv", shape, "matrix", *names, parts=parts))
    q = _heads(b, qkv, 0, a.heads, a)
    q = b.rms_norm(q, _layer_weight(b, layer, "self_attn.q_norm.weight", (a.head_size,), "vector"), spec.eps)
    q = b.rope(q, positions, a.rope.theta, a.rope.rotated_pairs, a.rope.factor)
    if layer.owns_kv:
        k = _heads(b, qkv, q_width, a.kv_heads, a)
        v = k if a.v_is_k else _heads(b, qkv, q_width + kv_width, a.kv_heads, a)
        k_norm = _layer_weight(b, layer, "self_attn.k_norm.weight", (a.head_size,), "vector")
        k = b.rope(b.rms_norm(k, k_norm, spec.eps), positions, a.rope.theta, a.rope.rotated_pairs, a.rope.factor)
        v = b.rms_norm(v, None, spec.eps) if a.v_normed else v
        caches[layer.index] = b.kv_write(k, v, f"kv.{layer.index}", a.window)
    ahead = visible if a.kind == "sliding" else None
    attended = b.attention(q, caches[a.kv_layer], positions, a.scale, a.window, ahead)
    out = _layer_weight(b, layer, "self_attn.o_proj.weight", (spec.hidden, q_width), "matrix")
    return b.linear(b.reshape(attended, "T", q_width), out)


def mlp_block(b: GraphBuilder, spec: TextSpec, layer: LayerSpec, x: Value) -> Value:
    """The gated MLP of normed x [T, hidden]: [T, hidden]."""
    names = [f"layers.{layer.index}.mlp.{part}_proj.weight" for part in ("gate", "up")]
    shape = (2 * layer.intermediate, spec.hidden)
    gate_up = b.weight(f"layers.{layer.index}.gate_up", shape, "matrix", *names)
    down = _layer_weight(b, layer, "mlp.down_proj.weight", (spec.hidden, layer.intermediate), "matrix")
    return b.linear(b.glu(b.linear(x, gate_up)), down)


def experts_block(b: GraphBuilder, spec: TextSpec, layer: LayerSpec, moe: MoeSpec, residual: Value, x: Value) -> Value:
    """The routed experts. The router reads the residual, the experts read normed x; both are [T, hidden]."""
    scale = _layer_weight(b, layer, "router.scale", (spec.hidden,), "vector")
    router = _layer_weight(b, layer, "router.proj.weight", (moe.experts, spec.hidden), "matrix")
    expert_scale = _layer_weight(b, layer, "router.per_expert_scale", (moe.experts,), "vector")
    routed = b.scale(b.mul(b.rms_norm(residual, None, spec.eps), scale), spec.hidden**-0.5)
    weights, ids = b.route_top_k(b.linear(routed, router), expert_scale, moe.active)
    up_shape = (moe.experts, 2 * moe.intermediate, spec.hidden)
    gate_up = _layer_weight(b, layer, "experts.gate_up_proj", up_shape, "experts")
    down_shape = (moe.experts, spec.hidden, moe.intermediate)
    down = _layer_weight(b, layer, "experts.down_proj", down_shape, "experts")
    return b.weighted_sum(b.expert_linear(b.glu(b.expert_linear(x, ids, gate_up)), ids, down), weights)


def per_layer_block(b: GraphBuilder, spec: TextSpec, layer: LayerSpec, x: Value, own: Value) -> Value:
    """Gate the layer's per-layer input `own` [T, per_layer_size] by x [T, hidden], and project to [T, hidden]."""
    size = spec.per_layer_size
    gate = _layer_weight(b, layer, "per_layer_input_gate.weight", (size, spec.hidden), "matrix")
    projection = _layer_weight(b, layer, "per_layer_projection.weight", (spec.hidden, size), "matrix")
    return b.linear(b.mul(b.gelu_tanh(b.linear(x, gate)), own), projection)


def head(b: GraphBuilder, spec: TextSpec, x: Value) -> Value:
    """Normed hidden states [n, hidden] -> logits [n, vocabulary]."""
    with b.at("head"):
        logits = b.linear(x, head_weight(b, spec))
        return logits if spec.logit_cap is None else b.softcap(logits, spec.logit_cap)


def head_weight(b: GraphBuilder, spec: TextSpec) -> Weight:
    """The matrix of the head [vocabulary, hidden]."""
    if spec.tied:
        return embedding_table(b, spec)
    return b.weight("lm_head", (spec.vocabulary, spec.hidden), "matrix", "lm_head.weight")


def _heads(b: GraphBuilder, qkv: Value, start: int, heads: int, a: AttentionSpec) -> Value:
    part = b.slice(qkv, start, start + heads * a.head_size)
    return b.reshape(part, "T", heads, a.head_size)


def _layer_weight(b: GraphBuilder, layer: LayerSpec, source: str, shape: tuple[int, ...], role: Role) -> Weight:
    name = f"layers.{layer.index}.{source.removesuffix('.weight')}"
    return b.weight(name, shape, role, f"layers.{layer.index}.{source}")
