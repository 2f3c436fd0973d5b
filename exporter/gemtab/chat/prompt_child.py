"""The process that PromptProcess starts."""

import json
import pickle
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gemtab.chat.media import Item, Medium
from gemtab.chat.prompt_process import read_frame, write_frame
from gemtab.chat.prompt_writer import PromptWriter
from gemtab.errors import BundleError, GemtabError

_MAX_REQUEST = 1 << 30


def main() -> None:
    """Answer requests on stdin until stdin ends."""
    # Ctrl-C on the terminal is handled by the parent process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    writer: PromptWriter | None = None
    seconds = 60.0
    while (request := read_frame(requests, _MAX_REQUEST)) is not None:
        name, *arguments = pickle.loads(request)
        try:
            if name == "load":
                folder, memory, first, seconds = arguments
                _limit_memory(memory)
                _limit_time(first)
                writer, answer = PromptWriter(Path(folder)), {}
            else:
                assert writer is not None
                _limit_time(seconds)
                answer = _ANSWERS[name](writer, *arguments)
        except GemtabError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except MemoryError:
            answer = {
                "error": "BundleError",
                "message": "The bundle's template or tokenizer needs too much memory. Export the checkpoint again.",
            }
        except BaseException as error:  # a panic in the tokenizers library is not an Exception
            said = f"{type(error).__name__}: {str(error)[:200]}"
            answer = {"error": BundleError.__name__, "message": f"The bundle's template or tokenizer failed: {said}"}
        write_frame(answers, json.dumps(answer).encode())


def _limit_memory(size: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: float) -> None:
    """Limit processor time, so that the process ends even when its parent no longer waits."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1, most))


def _prompt(writer: PromptWriter, messages: list[Any], shapes: list[Any], options: dict[str, bool]) -> dict[str, Any]:
    media = [
        Medium(kind, tuple(Item(tower, "", tokens, dict) for tower, tokens in items), tuple(stamps))
        for kind, items, stamps in shapes
    ]
    prompt = writer.prompt(messages, media, **options)
    return {"ids": prompt.ids, "positions": [entry.position for entry in prompt.items]}


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "prompt": _prompt,
    "count": lambda writer, text: {"count": writer.count(text)},
    "piece": lambda writer, number: asdict(writer.piece(number)),
}
