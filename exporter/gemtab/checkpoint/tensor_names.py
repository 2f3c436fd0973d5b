"""What a checkpoint calls the tensors that the model's weights are made of."""


def tensor_name(text_prefix: str, source: str) -> str:
    """The name in the checkpoint of a weight's source: the head stands outside the text stack in every form, as does
    what an assistant has around it; the towers stand beside it."""
    if source.startswith(("lm_head.", "pre_projection.", "post_projection.", "masked_embedding.")):
        return source
    if source.startswith(("vision_tower.", "vision_embedder.", "audio_tower.", "embed_vision.", "embed_audio.")):
        return text_prefix.removesuffix("language_model.") + source
    return text_prefix + source
