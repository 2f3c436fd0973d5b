"""A bundle's template, tokenizer and placeholders together: from messages to a prompt, and from ids to pieces of
text."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gemtab.bundle.limits import CONTROL_UNITS
from gemtab.chat.media import Medium, Placeholders, Prompt
from gemtab.chat.spoken import ControlTokens
from gemtab.chat.template import ChatTemplate, Messages
from gemtab.chat.tokenizer import TOKENIZER_NAME, ChatTokenizer, Piece
from gemtab.errors import BundleError

MAX_IDS = 4 << 20
"""Maximum ids of a prompt, far beyond any context."""

MAX_PIECE = 1 << 16
"""Maximum characters of one token."""


class PromptWriter:
    """Writes prompts for the bundle in `folder`. Raises BundleError where template or tokenizer cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = ChatTokenizer(folder)
        self._template = ChatTemplate(folder)
        self._placeholders = Placeholders(folder, self._tokenizer)
        self._control = control_tokens(self._tokenizer, self._template, self._placeholders.tokens())

    def prompt(
        self,
        messages: Messages,
        media: Sequence[Medium],
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        trusted: bool = False,
    ) -> Prompt:
        """Return the prompt of a conversation.

        trusted: control tokens spelled out in messages are control tokens, except in the model's own messages.

        Raises BundleError where the template rejects the conversation or the prompt is too long, UsageError where the
        template does not take the conversation's media.
        """
        written = self._template.write(
            messages,
            self._control,
            thinking=thinking,
            add_generation_prompt=add_generation_prompt,
            trusted=trusted,
        )
        prompt = self._placeholders.prompt(written, media)
        if not prompt.ids:
            raise BundleError(
                "The bundle's template makes an empty prompt of this conversation. Export the checkpoint again."
            )
        if len(prompt.ids) > MAX_IDS:
            raise BundleError(
                f"The bundle's template and tokenizer make {len(prompt.ids):,} tokens of this conversation, more than "
                "any context holds. Export the checkpoint again."
            )
        return prompt

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self._tokenizer.encode(text))

    def piece(self, id: int) -> Piece:  # noqa: A002
        """See ChatTokenizer."""
        piece = self._tokenizer.piece(id)
        if len(piece.text) > MAX_PIECE:
            raise BundleError(
                f"The bundle's tokenizer makes {len(piece.text):,} characters of token {id}. Export the checkpoint "
                "again."
            )
        return piece


def control_tokens(tokenizer: ChatTokenizer, template: ChatTemplate, placeholders: Iterable[str] = ()) -> ControlTokens:
    """Return the control tokens: special tokens, added tokens that the template writes, and placeholders of media,
    which need not be tokens. Added tokens of only white space are text. Raises BundleError for too many control
    tokens."""
    added = tokenizer.added()
    written = [
        token.content for token in added if token.special or (token.content.strip() and template.names(token.content))
    ]
    control = dict.fromkeys([*written, *placeholders])
    units = sum(len(token) + sum(character > "\uffff" for character in token) for token in control)
    if units > CONTROL_UNITS:
        raise BundleError(
            f"{TOKENIZER_NAME} has {len(control):,} control tokens with {units:,} characters; at most "
            f"{CONTROL_UNITS:,} characters can be kept apart from text. Make fewer tokens special, and export the "
            "checkpoint again."
        )
    return ControlTokens(control)
