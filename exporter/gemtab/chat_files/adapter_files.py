"""The files of a chat when adapters have their own.

An adapter answers as trained only to prompts written as in its training. So an adapter's template or tokenizer replaces
the base's where it differs. With several adapters, the template is that of the last one that has its own, and the
tokenizer is the one with the tokens of all others.
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
    """The base's files, some of them replaced by adapters' files; see `gemtab.checkpoint.source.Files`.

    size: number of tokens for which the model has rows. Raises CheckpointError where an adapter's own tokens have no
    rows, and where two adapters give one id to different tokens.
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
        """The base's location."""
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
        """See Files. Includes notes on the files that are taken from adapters."""
        return (*self._files.notes(), *self._taken())

    def _taken(self) -> Iterator[str]:
        if self._template:
            others = [each.name for each in self._adapters if _is_another(each.template, self._template.template)]
            left = f" {', '.join(others)} learned with another template, which is left out." if any(others) else ""
            yield f"The chat template is from the adapter {self._template.name}.{left}"
        if self._tokenizer:
            new = [token for number, token in self._tokenizer.tokens.items() if self._base.tokens.get(number) != token]
            yield f"The tokenizer is from the adapter {self._tokenizer.name}{', with ' if new else ''}{some(new)}."

    def _chosen_tokenizer(self) -> OwnFiles | None:
        """Return the adapter whose tokenizer is taken; None for the base's."""
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
        """Raise CheckpointError where tokens that the base does not know have no rows."""
        new = [token for number, token in own.tokens.items() if self._base.tokens.get(number) != token]
        beyond = [token for number, token in own.tokens.items() if number >= self._size and token in new]
        if beyond:
            raise CheckpointError(
                f"{own.files.where / TOKENIZER_NAME} adds {some(beyond)}, but the embedding has {self._size} rows, and "
                "the adapter has no more. Save the adapter again with save_embedding_layers=True. If it was trained "
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
            f"The tokenizers of the adapters {', '.join(each.name for each in own)} differ: id {some(different)}. The "
            "adapters cannot be merged into one model: export each one separately."
        )

    def _without_template(self, text: str) -> str:
        """Return tokenizer_config.json, without its template where an adapter's template is taken."""
        if self._template is None or TEMPLATE_KEY not in (content := json.loads(text)):
            return text
        return json.dumps({key: value for key, value in content.items() if key != TEMPLATE_KEY}, ensure_ascii=False)

    def _base_ends(self) -> list[int]:
        """Return the ids that end the base's answers."""
        config = read_object(self._files, CONFIG_NAME) or {}
        sources = (read_object(self._files, GENERATION_CONFIG_NAME) or {}, config, config.get("text_config") or {})
        found = next((source[KEY] for source in sources if source.get(KEY) is not None), None)
        listed: list[int] = found if isinstance(found, list) else [] if found is None else [found]
        return listed

    def _added_ends(self) -> list[int]:
        """Return the ids that only adapters declare as ends of an answer."""
        known = self._base_ends()
        return [one for one in dict.fromkeys(end for each in self._adapters for end in each.ends) if one not in known]

    def _generation_config(self, added: Sequence[int]) -> str:
        """Return the base's generation_config.json with the ends that adapters add."""
        given = read_object(self._files, GENERATION_CONFIG_NAME) or {}
        # A file without ids was made from other files; the mark lets the turn's end be looked for.
        mark = {} if given.get(KEY) is not None else {FROM_MODEL: True}
        return json.dumps({**given, **mark, KEY: [*self._base_ends(), *added]})


def _is_another(template: str | None, other: str | None) -> bool:
    return template is not None and (other is None or template.strip() != other.strip())
