"""The files of a chat, as a bundle holds them, of those that a checkpoint has: template, tokenizer, the ids that end an
answer, and how media are prepared. The choices are those of transformers where it has one."""

from gemtab.chat_files.adapter_files import AdapterFiles
from gemtab.chat_files.bundle_files import TEXT_FILES, ChatFiles, chat_files, model_inputs

__all__ = ["TEXT_FILES", "AdapterFiles", "ChatFiles", "chat_files", "model_inputs"]
