"""Images to soft tokens, as in `Gemma4VisionModel` and `Gemma4UnifiedVisionEmbedder` in transformers.

The input is an image's patches, row by row, and their positions (x, y). Both sides of the image are multiples of a cell
of pooled patches.
"""

from gemtab.graph import Graph, GraphBuilder, Value, Weight
from gemtab.model.projection import clipped_linear, project
from gemtab.model.spec import PatchSpec, TextSpec, VisionSpec

LAYER_NORM_EPS = 1e-5
"""eps of the layer norms of the model without a tower: PyTorch's default, which no config states."""


def vision_graph(spec: VisionSpec | PatchSpec, text: TextSpec) -> Graph:
    """`pixel_values` [N, 3 * side * side] in 0 … 1 at `pixel_position_ids` [N, 2] -> `image_features` [T, text hidden].

    The T soft tokens are one per cell of pooled patches, or one per patch if there is no tower.
    """
    b = GraphBuilder("vision_encoder", text.bits)
    features = _tower(b, spec) if isinstance(spec, VisionSpec) else _patches(b, spec)
    source = "embed_vision.embedding_projection.weight"
    return b.finish(image_features=project(b, source, features, spec.eps, text.hidden))


def _tower(b: GraphBuilder, spec: VisionSpec) -> Value:
    """Patches -> pooled features [T, hidden]."""
    rows = f"{spec.pooling**2}T"
    pixels = b.input("pixel_values", (rows, 3 * spec.patch**2))
    positions = b.input("pixel_position_ids", (rows, 2), "i32")
    with b.at("patches"):
        name, shape = "patch_embedder.input_proj", (spec.hidden, 3 * spec.patch**2)
        projection = b.weight(f"vision.{name}", shape, "matrix", f"vision_tower.{name}.weight")
        x = b.linear(b.affine(pixels, 2.0, -1.0), projection)
        name = "patch_embedder.position_embedding_table"
        table = b.weight(f"vision.{name}", (2 * spec.positions, spec.hidden), "table", f"vision_tower.{name}")
        x = b.add(x, b.embed_positions(positions, table, 1, spec.positions))
    for index in range(spec.layers):
        with b.at(f"vision.layers.{index}"):
            x = _layer(b, spec, f"encoder.layers.{index}", x, positions)
    with b.at("pool"):
        x = b.scale(b.pool(x, positions, spec.pooling, "T"), spec.hidden**0.5)
        if spec.standardised:
            x = b.standardise(x, _vector(b, "std_bias", spec.hidden), _vector(b, "std_scale", spec.hidden))
    return x


def _layer(b: GraphBuilder, spec: VisionSpec, name: str, x: Value, positions: Value) -> Value:
    """Apply one encoder layer to x [N, hidden]."""

    def norm(part: str, value: Value) -> Value:
        return b.rms_norm(value, _vector(b, f"{name}.{part}.weight", spec.hidden), spec.eps)

    with b.at("attention"):
        y = _attention(b, spec, f"{name}.self_attn", norm("input_layernorm", x), positions)
        x = b.add(x, norm("post_attention_layernorm", y))
    with b.at("mlp"):
        y = _mlp(b, spec, f"{name}.mlp", norm("pre_feedforward_layernorm", x))
        return b.add(x, norm("post_feedforward_layernorm", y))


def _attention(b: GraphBuilder, spec: VisionSpec, name: str, x: Value, positions: Value) -> Value:
    """Attention of normed x [N, hidden] over all patches, with the output projection."""

    def heads(part: str, count: int) -> Value:
        y = _linear(b, spec, f"{name}.{part}_proj", x, count * spec.head_size)
        return b.reshape(y, x.shape[0], count, spec.head_size)

    def rotated(value: Value, part: str) -> Value:
        normed = b.rms_norm(value, _vector(b, f"{name}.{part}_norm.weight", spec.head_size), spec.eps)
        return b.axial_rope(normed, positions, spec.theta)

    q, k, v = heads("q", spec.heads), heads("k", spec.kv_heads), heads("v", spec.kv_heads)
    attended = b.full_attention(rotated(q, "q"), rotated(k, "k"), b.rms_norm(v, None, spec.eps), 1.0)
    width = spec.heads * spec.head_size
    return _linear(b, spec, f"{name}.o_proj", b.reshape(attended, x.shape[0], width), spec.hidden)


def _mlp(b: GraphBuilder, spec: VisionSpec, name: str, x: Value) -> Value:
    """The gated MLP of normed x [N, hidden]."""
    up = _linear(b, spec, f"{name}.up_proj", x, spec.intermediate)
    gate = b.gelu_tanh(_linear(b, spec, f"{name}.gate_proj", x, spec.intermediate))
    return _linear(b, spec, f"{name}.down_proj", b.mul(gate, up), spec.hidden)


def _linear(b: GraphBuilder, spec: VisionSpec, name: str, x: Value, rows: int) -> Value:
    return clipped_linear(b, "vision", name, x, rows, spec.clipped)


def _vector(b: GraphBuilder, name: str, size: int) -> Weight:
    return b.weight(f"vision.{name.removesuffix('.weight')}", (size,), "vector", f"vision_tower.{name}")


def _patches(b: GraphBuilder, spec: PatchSpec) -> Value:
    """Patches -> features [T, hidden] without a tower."""
    width = 3 * spec.side**2
    x = b.input("pixel_values", ("T", width))
    positions = b.input("pixel_position_ids", ("T", 2), "i32")

    def vector(name: str, size: int) -> Weight:
        return b.weight(f"vision.{name}", (size,), "vector", f"vision_embedder.{name}")

    def norm(name: str, value: Value, size: int) -> Value:
        return b.layer_norm(value, vector(f"{name}.weight", size), vector(f"{name}.bias", size), LAYER_NORM_EPS)

    with b.at("patches"):
        name = "vision_embedder.patch_dense.weight"
        dense = b.weight("vision.patch_dense", (spec.hidden, width), "matrix", name)
        x = b.add_vector(b.linear(norm("patch_ln1", x, width), dense), vector("patch_dense.bias", spec.hidden))
        x = norm("patch_ln2", x, spec.hidden)
        shape = (2 * spec.positions, spec.hidden)
        table = b.weight("vision.pos_embedding", shape, "table", "vision_embedder.pos_embedding")
        x = b.add(x, b.embed_positions(positions, table, 2, 1))
        return norm("pos_norm", x, spec.hidden)
