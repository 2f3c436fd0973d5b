"""Write a random checkpoint as transformers saves one, in small chunks that need little memory."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gemtab.checkpoint.config import CONFIG_NAME
from gemtab.checkpoint.missing import INDEX_NAME, SINGLE_NAME
from gemtab.errors import OutputError
from gemtab.output import check_free_space, check_name, is_taken, unfinished
from gemtab.synth.draw import Drawn, draw, plain
from gemtab.synth.mobile import as_mobile, drawn_codes, put_codes
from gemtab.synth.published import published_config
from gemtab.synth.tokenizer import write_chat_files

SHARD_BYTES = 5_000_000_000
"""Maximum bytes of a file, as in transformers; a larger tensor has a file of its own."""

Tensors = dict[str, Drawn]
Progress = Callable[[int], None]


def synthesise(
    size: str,
    out: Path,
    layers: int | None,
    experts: int | None,
    begin: Callable[[str, int], None],
    advance: Progress,
    qat: bool = False,
) -> None:
    """Write the checkpoint of a published size into the folder `out`, which must be missing or empty.

    layers, experts: see published_config. begin, advance: see `gemtab.export.Progress`. qat: pre-quantized, see
    as_mobile. Raises UsageError for sizes, layers or experts that do not exist, OutputError where the output cannot be
    written.
    """
    config = published_config(size, layers, experts)
    if qat:
        config = as_mobile(config, size)
    check_name(out)
    if is_taken(out):
        raise OutputError(f"{out} exists and is not empty. Choose another output folder.")
    tensors = tensors_of(config)
    total = _bytes(tensors)
    check_free_space(out, total)
    begin("Writing random weights", total)
    with unfinished(out) as folder:
        # At least two files with an index, as in published checkpoints.
        write_checkpoint(config, tensors, folder, advance, min(SHARD_BYTES, total // 2 + 1))
        write_chat_files(folder, config)


def tensors_of(config: dict[str, Any]) -> Tensors:
    """Return every tensor that transformers saves for a model with this config.json, by name."""
    import torch
    import transformers
    from transformers.core_model_loading import revert_weight_conversion

    kind = getattr(transformers, config["architectures"][0])
    quantization = config.get("quantization_config")
    with torch.device("meta"):
        model = kind(kind.config_class.from_dict(config))
        if quantization:
            put_codes(model, quantization)
    tied = model.all_tied_weights_keys if config["tie_word_embeddings"] else {}
    held = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    saved = sorted(revert_weight_conversion(model, held).items())
    codes = drawn_codes(model, config["text_config"]["num_hidden_layers"]) if quantization else {}
    return {name: codes.get(name) or plain(name, tuple(tensor.shape)) for name, tensor in saved}


def write_checkpoint(
    config: dict[str, Any], tensors: Tensors, folder: Path, advance: Progress, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write config.json, and the tensors in safetensors files, into the folder."""
    shards = list(_shards(tensors, shard_bytes))
    names = [SINGLE_NAME]
    if len(shards) > 1:
        names = [f"model-{index:05}-of-{len(shards):05}.safetensors" for index in range(1, len(shards) + 1)]
        listed = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        index = {"metadata": {"total_size": _bytes(tensors)}, "weight_map": listed}
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    for name, shard in zip(names, shards, strict=True):
        _write_shard(folder / name, shard, advance)
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _shards(tensors: Tensors, shard_bytes: int) -> Iterator[Tensors]:
    shard: Tensors = {}
    held = 0
    for name, tensor in tensors.items():
        if shard and held + tensor.bytes > shard_bytes:
            yield shard
            shard, held = {}, 0
        shard[name] = tensor
        held += tensor.bytes
    yield shard


def _write_shard(path: Path, tensors: Tensors, advance: Progress) -> None:
    """Write a safetensors file: the header's length (u64), the header (JSON, padded to 8 bytes), the tensors' bytes.
    Tensors of the widest numbers come first, so that each tensor is aligned to its number's size."""
    ordered = dict(sorted(tensors.items(), key=lambda entry: -entry[1].width))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in ordered.items():
        end = offset + tensor.bytes
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (offset, end)}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in ordered.items():
            for part in draw(name, tensor):
                file.write(part.data)
                advance(part.nbytes)


def _bytes(tensors: Tensors) -> int:
    return sum(tensor.bytes for tensor in tensors.values())
