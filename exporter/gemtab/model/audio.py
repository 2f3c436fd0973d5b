"""Audio to soft tokens, as in `Gemma4AudioModel` and the 12B model without a tower in transformers."""

import math

from gemtab.graph import Graph, GraphBuilder, Value, Weight, known
from gemtab.model.projection import clipped_linear, project
from gemtab.model.spec import AudioSpec, FrameSpec, TextSpec


def audio_graph(spec: AudioSpec | FrameSpec, text: TextSpec) -> Graph:
    """`input_features` -> `audio_features` [T, text hidden], T soft tokens.

    With a tower, the features are a log-mel spectrogram [frames, bins], four frames per token; the last token may have
    fewer. Without a tower, the features are frames of raw samples [T, samples].
    """
    b = GraphBuilder("audio_encoder", text.bits)
    x = _tower(b, spec) if isinstance(spec, AudioSpec) else b.input("input_features", ("T", spec.samples))
    return b.finish(audio_features=project(b, "embed_audio.embedding_projection.weight", x, spec.eps, text.hidden))


def _tower(b: GraphBuilder, spec: AudioSpec) -> Value:
    """Spectrogram -> features [T, output]."""
    mel = b.input("input_features", ("4T", spec.bins))
    with b.at("subsample"):
        x = b.reshape(mel, "4T", spec.bins, 1)
        for index, (channels, rows) in enumerate(zip(spec.channels, ("2T", "T"), strict=True)):
            x = _subsample(b, spec, f"subsample_conv_projection.layer{index}", x, channels, rows)
        width = spec.bins // 4 * spec.channels[1]
        name = "subsample_conv_projection.input_proj_linear"
        x = b.linear(b.reshape(x, "T", width), _matrix(b, name, spec.hidden, width))
    with b.at("distances"):
        distances = b.sinusoids(spec.distances, spec.hidden)
    for index in range(spec.layers):
        with b.at(f"audio.layers.{index}"):
            x = _layer(b, spec, f"layers.{index}", x, distances)
    with b.at("output"):
        y = b.linear(x, _matrix(b, "output_proj", spec.output, spec.hidden))
        return b.add_vector(y, _vector(b, "output_proj.bias", spec.output))


def _subsample(b: GraphBuilder, spec: AudioSpec, name: str, x: Value, channels: int, rows: str) -> Value:
    """A convolution that halves time and frequency, a norm over the channels, and relu."""
    kernel = (channels, known(x.shape[2]), 3, 3)
    weight = b.weight(f"audio.{name}.conv", kernel, "vector", f"audio_tower.{name}.conv.weight")
    y = b.subsample(x, weight, rows)
    return b.relu(b.layer_norm(y, _vector(b, f"{name}.norm.weight", channels), None, spec.eps))


def _layer(b: GraphBuilder, spec: AudioSpec, name: str, x: Value, distances: Value) -> Value:
    """One conformer layer on x [T, hidden]."""
    with b.at("ffw1"):
        x = _feed_forward(b, spec, f"{name}.feed_forward1", x)
    with b.at("attention"):
        normed = _guarded_norm(b, spec, f"{name}.norm_pre_attn", x)
        y = _attention(b, spec, f"{name}.self_attn", normed, distances)
        x = b.add(x, _guarded_norm(b, spec, f"{name}.norm_post_attn", y))
    with b.at("convolution"):
        x = b.add(x, _convolution(b, spec, f"{name}.lconv1d", x))
    with b.at("ffw2"):
        x = _feed_forward(b, spec, f"{name}.feed_forward2", x)
    with b.at("norm"):
        return _guarded_norm(b, spec, f"{name}.norm_out", x)


def _feed_forward(b: GraphBuilder, spec: AudioSpec, name: str, x: Value) -> Value:
    """x + residual_weight * feed_forward(x), for x [T, hidden]."""
    y = _guarded_norm(b, spec, f"{name}.pre_layer_norm", x)
    y = b.silu(clipped_linear(b, "audio", f"{name}.ffw_layer_1", y, 4 * spec.hidden, spec.clipped))
    y = clipped_linear(b, "audio", f"{name}.ffw_layer_2", y, spec.hidden, spec.clipped)
    return b.add(x, b.scale(_guarded_norm(b, spec, f"{name}.post_layer_norm", y), spec.residual_weight))


def _attention(b: GraphBuilder, spec: AudioSpec, name: str, x: Value, distances: Value) -> Value:
    """Local attention of normed x [T, hidden], with the output projection."""
    size = spec.hidden // spec.heads

    def heads(part: str) -> Value:
        y = clipped_linear(b, "audio", f"{name}.{part}_proj", x, spec.hidden, spec.clipped)
        return b.reshape(y, "T", spec.heads, size)

    relative = b.linear(distances, _matrix(b, f"{name}.relative_k_proj", spec.hidden, spec.hidden))
    attended = b.local_attention(
        heads("q"),
        heads("k"),
        heads("v"),
        relative,
        _vector(b, f"{name}.per_dim_scale", size),
        window=spec.window,
        # softplus(0) = ln 2 and softplus(1) = ln(1 + e): parameters of 0 and 1 make both scales neutral.
        scale=size**-0.5 / math.log(2),
        key_scale=math.log(1 + math.e) / math.log(2),
        cap=spec.logit_cap,
    )
    return clipped_linear(b, "audio", f"{name}.post", b.reshape(attended, "T", spec.hidden), spec.hidden, spec.clipped)


def _convolution(b: GraphBuilder, spec: AudioSpec, name: str, x: Value) -> Value:
    """The convolution block of x [T, hidden]: a gated linear, then a causal convolution of each channel."""
    y = b.rms_norm(x, _vector(b, f"{name}.pre_layer_norm.weight", spec.hidden), spec.eps)
    y = b.sigmoid_glu(clipped_linear(b, "audio", f"{name}.linear_start", y, 2 * spec.hidden, spec.clipped))
    kernel = (spec.hidden, 1, spec.kernel)
    source = f"audio_tower.{name}.depthwise_conv1d.weight"
    y = b.causal_depthwise(y, b.weight(f"audio.{name}.depthwise_conv1d", kernel, "vector", source))
    y = b.silu(_guarded_norm(b, spec, f"{name}.conv_norm", y))
    return clipped_linear(b, "audio", f"{name}.linear_end", y, spec.hidden, spec.clipped)


def _guarded_norm(b: GraphBuilder, spec: AudioSpec, name: str, x: Value) -> Value:
    """rms_norm(clamp(x, -bound, bound))."""
    return b.rms_norm(b.clamp(x, spec.bound), _vector(b, f"{name}.weight", spec.hidden), spec.eps)


def _matrix(b: GraphBuilder, name: str, rows: int, columns: int) -> Weight:
    return b.weight(f"audio.{name}", (rows, columns), "matrix", f"audio_tower.{name}.weight")


def _vector(b: GraphBuilder, name: str, size: int) -> Weight:
    return b.weight(f"audio.{name.removesuffix('.weight')}", (size,), "vector", f"audio_tower.{name}")
