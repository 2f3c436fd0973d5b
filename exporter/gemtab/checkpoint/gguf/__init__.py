"""Read a GGUF file as a checkpoint: its config, tensors and chat files in transformers' form."""

from gemtab.checkpoint.gguf.chat import GgufChatFiles
from gemtab.checkpoint.gguf.config import gguf_config
from gemtab.checkpoint.gguf.file import GgufFile
from gemtab.checkpoint.gguf.tensors import GgufTensors

__all__ = ["GgufChatFiles", "GgufFile", "GgufTensors", "gguf_config"]
