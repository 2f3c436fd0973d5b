"""Whether a chat can be begun with a checkpoint's template and tokenizer, found by beginning one."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from gemtab.chat.prompt_process import PromptProcess
from gemtab.chat_files.bundle_files import TEXT_FILES
from gemtab.errors import CheckpointError, GemtabError

GREETING = "Hi"


def check_chat(texts: Mapping[str, str], where: Path) -> None:
    """Raises CheckpointError where a template does not take a greeting, or a tokenizer makes nothing of the prompt.

    Both work in a process of their own, with limits of time and memory. where: the checkpoint, for the message.
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
                f"{where}: no chat can be begun with the checkpoint's template and tokenizer: {reason} Correct the "
                "template there, or take the files of the model's base."
            ) from None
        finally:
            prompts.close()
