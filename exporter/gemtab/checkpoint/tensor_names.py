"""Names in a checkpoint of the tensors from which the model's weights are made."""


def tensor_name(text_prefix: str, source: str) -> str:
    """Return the name in the checkpoint of a weight's source. The head, and a draft model's projections, are always
    outside the text stack; towers are beside it."""
    if source.startswith(("lm_head.", "pre_projection.", "post_projection.", "masked_embedding.")):
        return source
    if source.startswith(("vision_tower.", "vision_embedder.", "audio_tower.", "embed_vision.", "embed_audio.")):
        return text_prefix.removesuffix("language_model.") + source
    return text_prefix + source
