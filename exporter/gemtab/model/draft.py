"""The assistant of a Gemma 4 model, after `Gemma4AssistantForCausalLM` in transformers: it drafts the tokens that its
target then verifies.

Its layers have no keys and values of their own. All read what the target has written in its last layer of their kind,
so that the assistant needs no prompt, and all tokens of one draft stand at one position: that of the last token, which
the target has not taken yet. The first is drafted from that token's embedding and the target's hidden state before it,
the next from the drafted token's embedding and the hidden state that the assistant gives in its place.

The caches end before that position. transformers' candidate generator does the same after a prompt; after a draft of
which part was refused, it leaves the first refused token's keys and values in them.
"""

from gemtab.graph import CACHE, Graph, GraphBuilder, Value
from gemtab.model.spec import AssistantSpec, AttentionSpec, CentroidSpec, LayerKind, TextSpec
from gemtab.model.text import Caches, decoder_layers, head, head_weight


def draft_graph(spec: TextSpec, assistant: AssistantSpec) -> Graph:
    """`inputs_embeds` [T, 2 * target_hidden], the target's embedding of a token (scaled, as it takes it) and the hidden
    state beside it (the target's after its final norm), -> `logits` [T, vocabulary] of the next token and
    `last_hidden_state` [T, target_hidden].

    `position_ids` [T] are those behind the target's caches, `kv.sliding` and `kv.full` [P, kv_heads, size]; T is 1.
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
    """Normed hidden states [T, hidden] -> logits [T, vocabulary], of which those of tokens that belong to none of the
    best centroids are one below the lowest of the others."""
    with b.at("head"):
        source = "masked_embedding.centroids.weight"
        matrix = b.weight("centroids", (centroids.count, spec.hidden), "matrix", source)
        source = "masked_embedding.token_ordering"
        ordering = b.weight("token_ordering", (spec.vocabulary,), "ordering", source)
        best = b.top_k(b.linear(x, matrix), centroids.active)
        ids = b.members(best, ordering, spec.vocabulary // centroids.count)
        return b.scatter(b.linear_rows(x, ids, head_weight(b, spec)), ids, spec.vocabulary)


def _target_caches(b: GraphBuilder, spec: TextSpec) -> Caches:
    """The graph's inputs for the caches that the layers read, by kind."""
    kinds: dict[LayerKind, AttentionSpec] = {layer.attention.kind: layer.attention for layer in spec.layers}
    return {kind: b.input(f"kv.{kind}", ("P", a.kv_heads, a.head_size), CACHE) for kind, a in kinds.items()}
