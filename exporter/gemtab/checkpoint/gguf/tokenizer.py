"""Rebuild tokenizer.json from a GGUF file's vocabulary: BPE with byte fallback, as GemmaTokenizer in transformers.

Gemma 3's files have no merges. The vocabulary's order, not the scores, decides their priority: a token's merges are all
ways to cut the token into two tokens, the longest left part first.
"""

import re
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
    """Values of tokenizer.ggml.token_type that matter here."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


# fmt: off
MARKS = frozenset({
    "<bos>", "<eos>", "<pad>", "<unk>", "<mask>",
    "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>",
    "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>",
    "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>',
    "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>",
})
# fmt: on
"""The control tokens of Gemma 3 and 4. Converters give some of them other types: user-defined, to show them, or normal,
by mistake. As in tokenizer.json and llama.cpp, they are special in any case."""

_LOOKS_LIKE_CONTROL = re.compile(r"<\|[^<>\s]+>|<[^<>\s]+\|>|</?[a-z]+(_[a-z]+)+>|\[/?[A-Z_]+\]")
"""Tokens of other templates. `<code>` and similar tokens are ordinary."""


def build_tokenizer(file: GgufFile) -> Tokenizer:
    """Build the tokenizer. Raises CheckpointError where the file has none, or one of another kind."""
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
    _add_marks(tokenizer, file)
    if file.architecture == "gemma3" and found.add_bos_token:  # Gemma 4's template writes `bos`
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


def _add_marks(tokenizer: Tokenizer, file: GgufFile) -> None:
    """Add the tokens that are matched before the text is split; tokens that mark structure are special."""
    control = control_tokens(file)
    found = file.vocabulary
    typed = zip(found.tokens, found.token_type, strict=True)
    known = [(token, kind) for token, kind in typed if tokenizer.token_to_id(token) is not None]
    special = [token for token, _ in known if token in control]
    plain = [token for token, kind in known if kind == TokenType.USER_DEFINED and token not in control]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in plain])


def control_tokens(file: GgufFile) -> dict[str, int]:
    """Return the tokens that mark structure, with the file's types: tokens of type control, Gemma's own, tokens with a
    role, and tokens that look like control tokens and that the template writes."""
    found = file.vocabulary
    template = file.text("tokenizer.chat_template") or ""
    named = {found.token(index) for index in (found.bos, found.eos, found.eot, found.eom)}
    return {
        token: kind
        for token, kind in zip(found.tokens, found.token_type, strict=True)
        if kind == TokenType.CONTROL
        or token in MARKS
        or token in named
        or (_LOOKS_LIKE_CONTROL.fullmatch(token) and token in template)
    }


def retyped(file: GgufFile) -> list[str]:
    """Return the control tokens that the file types as ordinary text, and would split."""
    return [token for token, kind in control_tokens(file).items() if kind in (TokenType.NORMAL, TokenType.UNUSED)]


def _begin(tokenizer: Tokenizer, bos: str | None) -> None:
    """Make prompts begin with `bos`."""
    if bos is not None:
        tokenizer.post_processor = TemplateProcessing(
            single=[bos, "$A"], pair=[bos, "$A", f"{bos}:1", "$B:1"], special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
