"""Check a checkpoint's template and tokenizer by starting a chat with them."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from gemtab.chat.prompt_process import PromptProcess
from gemtab.chat_files.bundle_files import TEXT_FILES
from gemtab.errors import CheckpointError, GemtabError

GREETING = "Hi"


def check_chat(texts: Mapping[str, str], where: Path) -> None:
    """Raise CheckpointError where the template does not take a greeting, or the tokenizer makes no ids of the prompt.

    Both run in a process of their own, with limits on time and memory. where: the checkpoint, for the message.
    """
    with TemporaryDirectory(prefix="gemtab-") as name:
        folder = Path(name)
        for file in TEXT_FILES:
            (folder / file).write_text(texts[file], encoding="utf-8", newline="")
        prompts = PromptProcess(folder)
        try:
            prompts.prompt([{"role": "user", "content": GREETING}], [])
        except GemtabError as error:
            reason = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), "it")
            reason = reason.replace(" Export the checkpoint again.", "")
            raise CheckpointError(
                f"{where}: the checkpoint's template and tokenizer cannot start a chat: {reason} Correct the template, "
                "or take the files of the base model."
            ) from None
        finally:
            prompts.close()
