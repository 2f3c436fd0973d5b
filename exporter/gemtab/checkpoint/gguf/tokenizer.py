"""tokenizer.json of the vocabulary in a GGUF file: BPE with byte fallback, as GemmaTokenizer in transformers.

Gemma 3's files have no merges. Their order is that of the vocabulary, and not that of the scores: a token's merges are
all ways to cut it into two tokens, the longest left part first.
"""

from collections.abc import Sequence
from enum import IntEnum

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from gemtab.checkpoint.gguf.file import GgufFile
from gemtab.checkpoint.gguf.metadata import Vocabulary
from gemtab.errors import CheckpointError

MODELS = {"gemma3": "llama", "gemma4": "gemma4"}
"""tokenizer.ggml.model by architecture."""

SPACE = "▁"


class TokenType(IntEnum):
    """tokenizer.ggml.token_type, as far as it matters here."""

    CONTROL = 3
    USER_DEFINED = 4


STRUCTURE = frozenset(
    {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>'}
)
"""Gemma 4's marks that llama.cpp's converter calls user-defined, to show them; in tokenizer.json they are special."""


def build_tokenizer(file: GgufFile) -> Tokenizer:
    """The tokenizer. Raises CheckpointError where the file has none, or one of another kind."""
    found, expected = file.vocabulary, MODELS[file.architecture]
    if found.model != expected or len(found.token_type) != len(found.tokens):
        raise CheckpointError(
            f"{file.path}: tokenizer.ggml.model is {found.model!r} with {len(found.tokens)} tokens of "
            f"{len(found.token_type)} types; expected {expected!r} and a type for each token. Convert the model again, "
            "with its tokenizer.model beside it."
        )
    tokens = [SPACE * len(token) if " " in token and not token.strip() else token for token in found.tokens]
    ids = {token: index for index, token in enumerate(tokens)}
    merges = _given_merges(found) or _merges(tokens, ids)
    unknown = found.token(found.unknown)
    tokenizer = Tokenizer(BPE(ids, merges, fuse_unk=True, unk_token=unknown, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    _add_marks(tokenizer, found)
    if file.architecture == "gemma3" and found.add_bos_token:  # Gemma 4's template writes it
        _begin(tokenizer, found.token(found.bos))
    return tokenizer


def _given_merges(found: Vocabulary) -> list[tuple[str, str]]:
    pairs = (merge.split(" ") for merge in found.merges)
    return [(left, right) for left, right in pairs]


def _merges(tokens: Sequence[str], ids: dict[str, int]) -> list[tuple[str, str]]:
    return [
        (token[:cut], token[cut:])
        for token in tokens
        for cut in range(len(token) - 1, 0, -1)
        if token[:cut] in ids and token[cut:] in ids
    ]


def _add_marks(tokenizer: Tokenizer, found: Vocabulary) -> None:
    """Tokens that are matched whole; those that mark structure are special."""
    typed = zip(found.tokens, found.token_type, strict=True)
    known = [(token, kind) for token, kind in typed if tokenizer.token_to_id(token) is not None]
    special = [token for token, kind in known if kind == TokenType.CONTROL or token in STRUCTURE]
    plain = [token for token, kind in known if kind == TokenType.USER_DEFINED and token not in STRUCTURE]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in plain])


def _begin(tokenizer: Tokenizer, bos: str | None) -> None:
    """Lets prompts begin with `bos`."""
    if bos is not None:
        tokenizer.post_processor = TemplateProcessing(
            single=[bos, "$A"], pair=[bos, "$A", f"{bos}:1", "$B:1"], special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
