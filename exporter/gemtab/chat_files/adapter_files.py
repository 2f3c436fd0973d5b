"""The files of a chat where adapters bring their own.

An adapter answers as it learned to only to prompts that are written as in its training. So a template or a tokenizer
that is not the base's is taken. Of several adapters, the last one with a template of its own decides, and the one whose
tokenizer has the tokens of all others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from gemtab.chat.generation_config import GENERATION_CONFIG_NAME, KEY
from gemtab.chat.template import TEMPLATE_NAME, TOKENIZER_CONFIG_NAME
from gemtab.chat.tokenizer import TOKENIZER_NAME
from gemtab.chat_files.ends import FROM_MODEL
from gemtab.chat_files.own_files import OwnFiles, read_adapter, read_own
from gemtab.chat_files.template import KEY as TEMPLATE_KEY
from gemtab.chat_files.template import OLD_TEMPLATE_NAME
from gemtab.chat_files.tokenizer import some
from gemtab.chat_files.tokenizer_config import OLD_MAP_NAME
from gemtab.checkpoint.config import CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError

_TOKENIZER_FILES: Final = (TOKENIZER_NAME, TOKENIZER_CONFIG_NAME, OLD_MAP_NAME)


class AdapterFiles:
    """The base's files, and those of adapters that take their places; see `gemtab.checkpoint.source.Files`.

    size: tokens that the model has rows for. Raises CheckpointError where an adapter's own tokens have no rows, and
    where two adapters give an id to different tokens.
    """

    def __init__(self, base: Files, adapters: Sequence[Path], size: int) -> None:
        self._files, self._base = base, read_own("base", base)
        self._adapters = [read_adapter(folder) for folder in adapters]
        self._size = size
        self._tokenizer = self._chosen_tokenizer()
        own = [each for each in self._adapters if _is_another(each.template, self._base.template)]
        self._template = own[-1] if own else None

    @property
    def where(self) -> Path:
        """The base's place."""
        return self._files.where

    def text(self, name: str) -> str:
        """See Files."""
        found = self.find(name)
        return self._files.text(name) if found is None else found

    def find(self, name: str) -> str | None:
        """See Files."""
        if self._template and name in (TEMPLATE_NAME, OLD_TEMPLATE_NAME):
            return self._template.template if name == TEMPLATE_NAME else None
        if name == GENERATION_CONFIG_NAME and (added := self._added_ends()):
            return self._generation_config(added)
        found = (self._tokenizer.files if self._tokenizer and name in _TOKENIZER_FILES else self._files).find(name)
        return found if found is None or name != TOKENIZER_CONFIG_NAME else self._without_template(found)

    def additional_templates(self) -> Mapping[str, str]:
        """See Files."""
        return {} if self._template else self._files.additional_templates()

    def licence(self) -> str | None:
        """See Files."""
        return self._files.licence()

    def notes(self) -> tuple[str, ...]:
        """See Files; and what is taken from adapters."""
        return (*self._files.notes(), *self._taken())

    def _taken(self) -> Iterator[str]:
        if self._template:
            others = [each.name for each in self._adapters if _is_another(each.template, self._template.template)]
            left = f" {', '.join(others)} learned with another one, which is left out." if any(others) else ""
            yield f"The chat template is that of the adapter {self._template.name}.{left}"
        if self._tokenizer:
            new = [token for number, token in self._tokenizer.tokens.items() if self._base.tokens.get(number) != token]
            yield f"The tokenizer is that of the adapter {self._tokenizer.name}{', with ' if new else ''}{some(new)}."

    def _chosen_tokenizer(self) -> OwnFiles | None:
        """The adapter whose tokenizer is taken; None for the base's."""
        own = [each for each in self._adapters if each.tokenizer and not each.writes_as(self._base)]
        for each in own:
            self._check_rows(each)
        for each in reversed(own):
            if all(other.tokens.items() <= each.tokens.items() for other in own):
                return each
        if own:
            raise self._disagree(own)
        return None

    def _check_rows(self, own: OwnFiles) -> None:
        """Raises CheckpointError where tokens that the base does not know have no rows."""
        new = [token for number, token in own.tokens.items() if self._base.tokens.get(number) != token]
        beyond = [token for number, token in own.tokens.items() if number >= self._size and token in new]
        if beyond:
            raise CheckpointError(
                f"{own.files.where / TOKENIZER_NAME} adds {some(beyond)}, but the embedding has {self._size} rows, and "
                "the adapter does not bring more. Save it again with save_embedding_layers=True, or, if it was trained "
                "without these tokens, remove the tokenizer's files from its folder."
            )

    def _disagree(self, own: Sequence[OwnFiles]) -> CheckpointError:
        tokens = {number for each in own for number in each.tokens}
        different = [
            f"{number} is {' and '.join(sorted({each.tokens.get(number, 'nothing') for each in own}))}"
            for number in sorted(tokens)
            if len({each.tokens.get(number) for each in own}) > 1
        ]
        return CheckpointError(
            f"The tokenizers of the adapters {', '.join(each.name for each in own)} differ: id {some(different)}. They "
            "cannot be merged into one model: export each by itself."
        )

    def _without_template(self, text: str) -> str:
        """tokenizer_config.json without its template where an adapter's is taken."""
        if self._template is None or TEMPLATE_KEY not in (content := json.loads(text)):
            return text
        return json.dumps({key: value for key, value in content.items() if key != TEMPLATE_KEY}, ensure_ascii=False)

    def _base_ends(self) -> list[int]:
        """The ids that end the base's answers."""
        config = read_object(self._files, CONFIG_NAME) or {}
        places = (read_object(self._files, GENERATION_CONFIG_NAME) or {}, config, config.get("text_config") or {})
        found = next((place[KEY] for place in places if place.get(KEY) is not None), None)
        listed: list[int] = found if isinstance(found, list) else [] if found is None else [found]
        return listed

    def _added_ends(self) -> list[int]:
        """The ids that end an answer by adapters alone."""
        known = self._base_ends()
        return [one for one in dict.fromkeys(end for each in self._adapters for end in each.ends) if one not in known]

    def _generation_config(self, added: Sequence[int]) -> str:
        """The base's, with the ends that adapters learned."""
        given = read_object(self._files, GENERATION_CONFIG_NAME) or {}
        # Without ids of its own it was made of other files, and the turn's end is looked for.
        mark = {} if given.get(KEY) is not None else {FROM_MODEL: True}
        return json.dumps({**given, **mark, KEY: [*self._base_ends(), *added]})


def _is_another(template: str | None, other: str | None) -> bool:
    return template is not None and (other is None or template.strip() != other.strip())
