"""The draft model of a Gemma 4 model, as `Gemma4AssistantForCausalLM` in transformers. transformers calls it assistant.

The draft model drafts tokens, and its target verifies them. Its layers have no keys and values: each layer reads the
cache of the target's last layer of the same kind. So the draft model needs no prompt. All tokens of one draft have one
position: that of the last token, which the target has not processed yet. The first token is drafted from the last
token's embedding and the target's hidden state before it. Each further token is drafted from the drafted token's
embedding and the draft model's own hidden state.

The caches end before that position. transformers' candidate generator agrees after a prompt; after a draft that was
rejected in part, its caches still hold the first rejected token.
"""

from gemtab.graph import CACHE, Graph, GraphBuilder, Value
from gemtab.model.spec import AssistantSpec, AttentionSpec, CentroidSpec, LayerKind, TextSpec
from gemtab.model.text import Caches, decoder_layers, head, head_weight


def draft_graph(spec: TextSpec, assistant: AssistantSpec) -> Graph:
    """`inputs_embeds` [T, 2 * target_hidden] -> `logits` [T, vocabulary] of the next token and `last_hidden_state`
    [T, target_hidden]. T is 1.

    inputs_embeds: the target's scaled embedding of a token, then a hidden state (of the target, after its final norm).
    position_ids [T]: the position after the target's caches, `kv.sliding` and `kv.full` [P, kv_heads, size].
    """
    b = GraphBuilder("draft", spec.bits)
    pair = b.input("inputs_embeds", ("T", 2 * assistant.target_hidden))
    positions = b.input("position_ids", ("T",), "i32")
    shared = _target_caches(b, spec)
    with b.at("pre_projection"):
        shape = (spec.hidden, 2 * assistant.target_hidden)
        x = b.linear(pair, b.weight("pre_projection", shape, "matrix", "pre_projection.weight"))
    x, _ = decoder_layers(b, spec, x, None, positions, len(spec.layers), shared=shared)
    with b.at("post_projection"):
        shape = (assistant.target_hidden, spec.hidden)
        hidden = b.linear(x, b.weight("post_projection", shape, "matrix", "post_projection.weight"))
    scores = centroid_head(b, spec, assistant.centroids, x) if assistant.centroids else head(b, spec, x)
    return b.finish(logits=scores, last_hidden_state=hidden)


def centroid_head(b: GraphBuilder, spec: TextSpec, centroids: CentroidSpec, x: Value) -> Value:
    """Normed hidden states [T, hidden] -> logits [T, vocabulary].

    Tokens of the best centroids are scored. All others get the lowest of these scores, minus 1.
    """
    with b.at("head"):
        source = "masked_embedding.centroids.weight"
        matrix = b.weight("centroids", (centroids.count, spec.hidden), "matrix", source)
        source = "masked_embedding.token_ordering"
        ordering = b.weight("token_ordering", (spec.vocabulary,), "ordering", source)
        best = b.top_k(b.linear(x, matrix), centroids.active)
        ids = b.members(best, ordering, spec.vocabulary // centroids.count)
        return b.scatter(b.linear_rows(x, ids, head_weight(b, spec)), ids, spec.vocabulary)


def _target_caches(b: GraphBuilder, spec: TextSpec) -> Caches:
    """Add an input for each of the target's caches that layers read; return the inputs by kind of layer."""
    kinds: dict[LayerKind, AttentionSpec] = {layer.attention.kind: layer.attention for layer in spec.layers}
    return {kind: b.input(f"kv.{kind}", ("P", a.kv_heads, a.head_size), CACHE) for kind, a in kinds.items()}
