"""Make a bundle's chat files from a checkpoint's: template, tokenizer, ids that end an answer, and preparation of
media. Where transformers makes a choice, the choice here is the same."""

from gemtab.chat_files.adapter_files import AdapterFiles
from gemtab.chat_files.bundle_files import TEXT_FILES, ChatFiles, chat_files, model_inputs

__all__ = ["TEXT_FILES", "AdapterFiles", "ChatFiles", "chat_files", "model_inputs"]
