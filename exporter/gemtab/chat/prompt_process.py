"""A PromptWriter in a process of its own, since template and tokenizer of a bundle are programs that a stranger wrote:
limits of time and memory hold there, and the memory is free again when the process ends.

A request is a pickled call; an answer is JSON, so that nothing is run of what comes back. Both have their length before
them. Where the system cannot limit memory (Windows), only the limit of time holds.
"""

import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gemtab import errors
from gemtab.chat.media import Medium, PlacedItem, Prompt
from gemtab.chat.template import Messages, normal
from gemtab.chat.tokenizer import Piece
from gemtab.errors import BundleError, GemtabError

LOAD_SECONDS = 15.0
"""Most computing time for starting the process and reading the tokenizer. A published tokenizer takes 2 s."""

CALL_SECONDS = 6.0
"""Most computing time for one prompt. A prompt that fills a context of 128,000 tokens takes 1 s."""

BUSY = 4
"""How many times the computing time may pass on the clock, since other processes compute too."""

MEMORY_BYTES = 2 << 30
"""Address space of the process; a published tokenizer takes 330 MB."""

_OUT_OF_TIME = getattr(signal, "SIGXCPU", 0)

LENGTH = struct.Struct("<Q")
MOST_ANSWER = 128 << 20

_RUN = "import sys; sys.path[:] = {path!r}; from gemtab.chat.prompt_child import main; main()"


class PromptProcess:
    """As PromptWriter, for the bundle in `folder`. Raises as that does, and BundleError where the process takes too
    long or too much memory, or ends; the next call then begins a new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: _Child | None = None
        self._loaded = False
        self._pieces: dict[int, Piece] = {}

    def start(self) -> None:
        """Begin, without waiting for the process to be ready."""
        if self._child is None:
            self._child, self._loaded = _Child(), False
            self._child.send(("load", str(self._folder), MEMORY_BYTES, LOAD_SECONDS, CALL_SECONDS))

    def prompt(
        self,
        messages: Messages,
        media: Sequence[Medium],
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        trusted: bool = False,
    ) -> Prompt:
        """See PromptWriter."""
        options = {"thinking": thinking, "add_generation_prompt": add_generation_prompt, "trusted": trusted}
        shapes = [(one.kind, [(item.tower, item.tokens) for item in one.items], one.stamps) for one in media]
        found = self._call("prompt", [normal(message) for message in messages], shapes, options)
        items = [item for medium in media for item in medium.items]
        placed = tuple(PlacedItem(item, at) for item, at in zip(items, found["positions"], strict=True))
        return Prompt(found["ids"], placed)

    def count(self, text: str) -> int:
        """See PromptWriter."""
        return int(self._call("count", text)["count"])

    def piece(self, id: int) -> Piece:  # noqa: A002
        """See PromptWriter."""
        if id not in self._pieces:
            found = self._call("piece", id)
            self._pieces[id] = Piece(found["kind"], found["text"], found["byte"])
        return self._pieces[id]

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _call(self, *request: object) -> dict[str, Any]:
        self.start()
        if not self._loaded:
            self._receive(LOAD_SECONDS, "could not be opened")
            self._loaded = True
        assert self._child is not None
        self._child.send(request)
        return self._receive(CALL_SECONDS, "could not make a prompt of this conversation")

    def _receive(self, seconds: float, failed: str) -> dict[str, Any]:
        assert self._child is not None
        try:
            answer = self._child.receive(BUSY * seconds)
        except TimeoutError:
            self.close()
            raise self._failed(f"{failed} within {seconds:.0f} s") from None
        except (EOFError, ValueError):
            code = self._child.end()
            self._child = None
            if code == -_OUT_OF_TIME:
                raise self._failed(f"{failed} within {seconds:.0f} s") from None
            raise self._failed(
                f"{failed}: their process ended ({code}), as it does beyond {MEMORY_BYTES >> 30} GiB of memory"
            ) from None
        if "error" in answer:
            if not self._loaded:
                self.close()
            raise _error(answer["error"], answer["message"])
        return answer

    def _failed(self, what: str) -> BundleError:
        return BundleError(f"Template and tokenizer of {self._folder} {what}. Export the checkpoint again.")


class _Child:
    """The process, and a thread that waits for what it says: pipes have no time-out everywhere."""

    def __init__(self) -> None:
        code = _RUN.format(path=[entry for entry in sys.path if entry])
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, "MALLOC_ARENA_MAX": "2"},
        )
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(self._process.stdout, self._answers), daemon=True).start()
        weakref.finalize(self, _kill, self._process)

    def send(self, request: object) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # where it has ended, which shows when its answer is waited for
            write_frame(self._process.stdin, pickle.dumps(request))

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next answer. Raises TimeoutError, EOFError where there is none, and ValueError for one that is none."""
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if answer is None:
            raise EOFError
        found = json.loads(answer)
        if not isinstance(found, dict):
            raise ValueError("no answer")
        return found

    def end(self) -> int:
        """Kills the process where it still runs; its exit code."""
        code = self._process.poll()
        _kill(self._process)
        return self._process.wait() if code is None else code


def _listen(stream: IO[bytes], answers: "queue.SimpleQueue[bytes | None]") -> None:
    with stream:
        while (answer := read_frame(stream, MOST_ANSWER)) is not None:
            answers.put(answer)
    answers.put(None)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def write_frame(stream: IO[bytes], content: bytes) -> None:
    """Content with its length before it."""
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def read_frame(stream: IO[bytes], most: int) -> bytes | None:
    """What `write_frame` wrote; None at the end, and where there is more than `most`."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    content = stream.read(length) if length <= most else b""
    return content if len(content) == length else None


def _error(name: object, message: object) -> GemtabError:
    kind = getattr(errors, str(name), BundleError)
    known = isinstance(kind, type) and issubclass(kind, GemtabError)
    return kind(str(message)) if known else BundleError(str(message))
