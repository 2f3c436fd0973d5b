"""Read config.json into a `CheckpointSpec`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gemtab.bundle import limits
from gemtab.checkpoint import gemma3
from gemtab.checkpoint.missing import check_no_pointer, missing_config
from gemtab.checkpoint.quantised import method_of, quantisation, refusal
from gemtab.checkpoint.schema import (
    AssistantConfig,
    AssistantTextConfig,
    CompressedQuantization,
    GemmaQuantization,
    ModuleQuantization,
    NestedConfig,
    TextConfig,
    UnifiedAssistantConfig,
    UnifiedAssistantTextConfig,
    UnifiedNestedConfig,
    UnifiedTextConfig,
    parse,
)
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.text_prefix import BARE_PREFIX, NESTED_PREFIX
from gemtab.checkpoint.text_spec import text_spec
from gemtab.checkpoint.tower_specs import audio_spec, frame_spec, patch_spec, vision_spec
from gemtab.checkpoint.trained_codes import TrainedCodes
from gemtab.checkpoint.unread_keys import same
from gemtab.errors import CheckpointError
from gemtab.model.spec import AssistantSpec, CentroidSpec, LayerSpec
from gemtab.regular import read_regular

CONFIG_NAME = "config.json"

# Nested configs by model_type, each with its text config; transformers prefixes their text tensors with NESTED_PREFIX.
_NESTED: dict[str, tuple[type[NestedConfig], type[TextConfig]]] = {
    "gemma4": (NestedConfig, TextConfig),
    "gemma4_unified": (UnifiedNestedConfig, UnifiedTextConfig),
}
_BARE: dict[str, type[TextConfig]] = {"gemma4_text": TextConfig, "gemma4_unified_text": UnifiedTextConfig}
_ARCHITECTURES = ("ForCausalLM", "ForConditionalGeneration")
# Draft models (transformers: assistants), each with its text config. Their tensors have a bare config's names.
_ASSISTANTS: dict[str, tuple[type[AssistantConfig], type[TextConfig]]] = {
    "gemma4_assistant": (AssistantConfig, AssistantTextConfig),
    "gemma4_unified_assistant": (UnifiedAssistantConfig, UnifiedAssistantTextConfig),
}


def read_config(folder: Path) -> CheckpointSpec:
    """Read the spec from the folder's config.json, nested or bare.

    Raises CheckpointError where config.json is missing or damaged, or asks for something that gemtab does not know.
    """
    return read_config_file(folder / CONFIG_NAME)


def read_config_file(path: Path) -> CheckpointSpec:
    """Read the spec from a single config.json. Raises as read_config does."""
    return parse_config(_read_json(path), str(path))


def parse_config(config: dict[str, Any], where: str) -> CheckpointSpec:
    """Return the spec of a parsed config.json. where: names the config in errors."""
    model_type = config.get("model_type")
    known = (*_NESTED, *_BARE, gemma3.MODEL_TYPE, *_ASSISTANTS)
    if model_type not in known:
        raise CheckpointError(
            f"{where}: model_type is {model_type!r}; expected {', '.join(known)}. "
            "Use a Gemma 4 checkpoint, or a text model of Gemma 3, as transformers saves it."
        )
    _check_architectures(config, where)
    nested = model_type in _NESTED
    text = config.get("text_config") if nested or model_type in _ASSISTANTS else config
    if not isinstance(text, dict):
        raise CheckpointError(f"{where}: text_config is missing; a config of {model_type} needs it for the text stack.")
    prefix, tied = NESTED_PREFIX if nested else BARE_PREFIX, bool(config.get("tie_word_embeddings", True))
    codes = _codes(config, text, tied, prefix, where)
    if model_type in _ASSISTANTS:
        return _assistant(config, text, where)
    if model_type == gemma3.MODEL_TYPE:
        return gemma3.spec(config, where, prefix)
    if nested:
        return _nested(config, text, tied, codes, where)
    parsed = parse(_BARE[model_type], text, where)
    return CheckpointSpec(model_type, replace(text_spec(parsed, (), tied, where), codes=codes), text_prefix=prefix)


def _check_architectures(config: dict[str, Any], where: str) -> None:
    """Raise CheckpointError for a classifier, an embedder, or another model that does not write text."""
    found = config.get("architectures") or []
    strange = [name for name in found if not str(name).endswith(_ARCHITECTURES)]
    if strange:
        raise CheckpointError(
            f"{where}: architectures is {found}, and {strange[0]} is not supported: gemtab exports models that write "
            f"text, whose architectures end in {' or '.join(_ARCHITECTURES)}. The head of a classifier or embedder "
            "would be lost."
        )


def _nested(
    config: dict[str, Any], text: dict[str, Any], tied: bool, codes: TrainedCodes | None, where: str
) -> CheckpointSpec:
    """Return the spec of a config that nests configs of text, vision and audio."""
    schema, text_schema = _NESTED[config["model_type"]]
    parsed = parse(text_schema, text, where, "text_config.")
    whole = parse(schema, _without_repeats(config, parsed), where)
    media_ids = tuple(
        each for each in (whole.image_token_id, whole.audio_token_id, whole.video_token_id) if each is not None
    )
    stack = replace(text_spec(parsed, media_ids, tied, where), codes=codes)
    vision, audio = (_part(config, name, where) for name in ("vision_config", "audio_config"))
    unified = config["model_type"] == "gemma4_unified"
    return CheckpointSpec(
        config["model_type"],
        # Settings on images have no meaning without a vision tower.
        replace(stack, image_blocks=stack.image_blocks and vision is not None),
        text_prefix=NESTED_PREFIX,
        vision=None if vision is None else patch_spec(vision, where) if unified else vision_spec(vision, where),
        audio=None if audio is None else frame_spec(audio, where) if unified else audio_spec(audio, where),
    )


def _without_repeats(config: dict[str, Any], text: TextConfig) -> dict[str, Any]:
    """Return the config without repeated settings of its text stack, which some training code adds."""
    said = text.model_dump(mode="json", exclude={"model_type", "tie_word_embeddings", "quantization_config"})
    return {key: value for key, value in config.items() if not (key in said and same(value, said[key]))}


def _assistant(config: dict[str, Any], text: dict[str, Any], where: str) -> CheckpointSpec:
    """Return the spec of a draft model."""
    schema, text_schema = _ASSISTANTS[config["model_type"]]
    parsed = parse(text_schema, text, where, "text_config.")
    whole = parse(schema, _without_repeats(config, parsed), where)
    if parsed.num_kv_shared_layers not in (0, parsed.num_hidden_layers):
        raise CheckpointError(
            f"{where}: text_config.num_kv_shared_layers = {parsed.num_kv_shared_layers} of {parsed.num_hidden_layers} "
            "layers; expected all layers, or 0 for the same: a draft model reads its target's keys and values."
        )
    own = text_spec(parsed.model_copy(update={"num_kv_shared_layers": 0}), (), whole.tie_word_embeddings, where)
    # A draft model's logits have no soft cap, whatever the text config says, and it writes no image tokens.
    layers = tuple(_drafting(layer) for layer in own.layers)
    stack = replace(own, layers=layers, logit_cap=None, image_blocks=False)
    assistant = AssistantSpec(whole.backbone_hidden_size, _centroids(whole, parsed.vocab_size, where))
    return CheckpointSpec(whole.model_type, stack, assistant=assistant, text_prefix=BARE_PREFIX)


def _drafting(layer: LayerSpec) -> LayerSpec:
    """Return a draft model's layer, which reads the target's cache. The cache does not hold the layer's own token: as
    in transformers, a sliding layer sees the last window + 1 positions there, at most window + 1 before its token."""
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
            f"a vocabulary of {vocabulary}; expected a vocabulary that num_centroids divides, and no more active "
            "centroids than there are. Check that config.json belongs to this checkpoint."
        )
    return CentroidSpec(count, active)


def _part(config: dict[str, Any], name: str, where: str) -> dict[str, Any] | None:
    found = config.get(name)
    if found is not None and not isinstance(found, dict):
        raise CheckpointError(f"{where}: {name} is {type(found).__name__}; expected an object or null.")
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        # Some editors begin a file with a byte-order mark, which is not JSON.
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
    """Return the integer weights that quantization_config describes. Raises CheckpointError for other methods."""
    found = quantisation(config, text)
    if not found:
        return None
    method = method_of(found)
    if method == "compressed-tensors":
        parse(CompressedQuantization, found, where, "quantization_config.")
        return None  # read as plain values: see gemtab.checkpoint.compressed
    if method != "gemma" or config["model_type"] not in ("gemma4", "gemma4_text"):
        raise refusal(method, config["model_type"], where)
    parsed = parse(GemmaQuantization, found, where, "quantization_config.")
    skipped = parsed.modules_to_not_convert
    codes = TrainedCodes(
        default=parsed.num_bits,
        patterns=tuple((key, each.num_bits or parsed.num_bits) for key, each in _patterns(parsed)),
        tables=parsed.quantize_embeddings,
        # transformers does not quantize the head by default.
        skipped=("lm_head",) if skipped is None else skipped,
        text_prefix=prefix,
    )
    if tied and codes.bits("embed_tokens.weight", table=True):
        raise CheckpointError(
            f"{where}: tie_word_embeddings is true, and the embeddings are integers; expected a separate head, which "
            "transformers needs. Set tie_word_embeddings to false if the checkpoint has lm_head."
        )
    return codes


def _patterns(config: GemmaQuantization) -> list[tuple[str, ModuleQuantization]]:
    return list((config.module_quant_configs or {}).items())
