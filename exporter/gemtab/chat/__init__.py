"""Conversations with a bundle from Python: template, tokenizer and session. Twin: webruntime/src/chat."""

from gemtab.chat.answer import AnswerPart
from gemtab.chat.session import ChatSession, Message, Sampling, TextBackend
from gemtab.chat.template import ChatTemplate
from gemtab.chat.tokenizer import ChatTokenizer

__all__ = ["AnswerPart", "ChatSession", "ChatTemplate", "ChatTokenizer", "Message", "Sampling", "TextBackend"]
