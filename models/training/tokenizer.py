"""The tokenizer: Gemma's kind of BPE (spaces as ▁, byte fallback, no pre-tokenizer that splits words), trained small.

The published tokenizer lets any text merge. Here words and digits are split apart before the merges are learned, so that
a name is always cut the same way and digits stay single; afterwards no splitter is needed, for no merge crosses a border.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import GemmaTokenizer

VOCABULARY = 2048

#: Gemma 4's special tokens by the name that transformers gives them, in the order of their ids.
SPECIAL_TOKENS: dict[str, str] = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "soc_token": "<|channel>",
    "eoc_token": "<channel|>",
    "think_token": "<|think|>",
    "std_token": "<|tool>",
    "etd_token": "<tool|>",
    "stc_token": "<|tool_call>",
    "etc_token": "<tool_call|>",
    "str_token": "<|tool_response>",
    "etr_token": "<tool_response|>",
    "escape_token": '<|"|>',
    "boi_token": "<|image>",
    "image_token": "<|image|>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "audio_token": "<|audio|>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}

_STANDARD = ("pad_token", "eos_token", "bos_token", "unk_token", "mask_token")
"""The tokens that every tokenizer of transformers has; the others belong to Gemma 4."""

_WORD_BORDERS = r"▁?\p{L}+|\p{N}|▁+|\n+|[^\p{L}\p{N}▁\n]"


def _byte_token(value: int) -> str:
    return f"<0x{value:02X}>"


def _learn(texts: Iterable[str], size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Pieces and merges of a BPE over `texts`, whose special tokens must have been taken out."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD_BORDERS), "isolated")
    printable = [chr(code) for code in range(0x21, 0x7F)] + ["▁", "\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=printable, limit_alphabet=len(printable), min_frequency=8
    )
    bpe.train_from_iterator(texts, trainer)
    learned = bpe.get_vocab()
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    return sorted(learned, key=learned.__getitem__), [(left, right) for left, right in merges]


def train(texts: Iterable[str]) -> GemmaTokenizer:
    """A tokenizer of exactly `VOCABULARY` entries: special tokens, the 256 bytes, then learned pieces."""
    reserved = list(SPECIAL_TOKENS.values()) + [_byte_token(value) for value in range(256)]
    pieces, merges = _learn(texts, VOCABULARY - len(reserved))
    vocabulary = {token: index for index, token in enumerate(reserved + pieces)}
    if len(vocabulary) != VOCABULARY:
        raise ValueError(f"expected {VOCABULARY} tokens, got {len(vocabulary)}: give more text to learn from")
    named = {name: token for name, token in SPECIAL_TOKENS.items() if name != "video_token"}
    return GemmaTokenizer(
        vocab=vocabulary,
        merges=merges,
        padding_side="left",
        extra_special_tokens=[SPECIAL_TOKENS["video_token"]],
        model_specific_special_tokens={n: t for n, t in named.items() if n not in _STANDARD},
        **{name: token for name, token in named.items() if name in _STANDARD},
    )


def load(folder: Path) -> GemmaTokenizer:
    """The tokenizer saved in `folder`."""
    return GemmaTokenizer.from_pretrained(folder)
