"""Run a PromptWriter in a process of its own, with limits on time and memory: the template and tokenizer of a bundle
are programs that a stranger wrote. The memory is free again when the process ends.

A request is a pickled call. An answer is JSON, so that nothing from the process is executed. Both are preceded by their
length. Where the system cannot limit memory (Windows), only the time limit holds.
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
from gemtab.chat.media import Medium, Prompt, PromptItem
from gemtab.chat.template import Messages, normal
from gemtab.chat.tokenizer import Piece
from gemtab.errors import BundleError, GemtabError

LOAD_SECONDS = 15.0
"""Maximum processor time for starting the process and reading the tokenizer. A published tokenizer takes 2 s."""

CALL_SECONDS = 6.0
"""Maximum processor time for one prompt. A prompt that fills a context of 128,000 tokens takes 1 s."""

BUSY = 4
"""Factor from processor time to wall-clock time: other processes compute too."""

MEMORY_BYTES = 2 << 30
"""Limit on the process's address space; a published tokenizer takes 330 MB."""

_OUT_OF_TIME = getattr(signal, "SIGXCPU", 0)

LENGTH = struct.Struct("<Q")
MAX_ANSWER = 128 << 20

_RUN = "import sys; sys.path[:] = {path!r}; from gemtab.chat.prompt_child import main; main()"


class PromptProcess:
    """A PromptWriter for the bundle in `folder`, in another process.

    Raises as PromptWriter does, and BundleError where the process takes too long or too much memory, or ends; the next
    call then starts a new process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: _Child | None = None
        self._loaded = False
        self._pieces: dict[int, Piece] = {}

    def start(self) -> None:
        """Start the process without waiting until it is ready."""
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
        entries = tuple(PromptItem(item, at) for item, at in zip(items, found["positions"], strict=True))
        return Prompt(found["ids"], entries)

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
        """Stop the process."""
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
                f"{failed}: their process ended (code {code}), as it does beyond {MEMORY_BYTES >> 30} GiB of memory"
            ) from None
        if "error" in answer:
            if not self._loaded:
                self.close()
            raise _error(answer["error"], answer["message"])
        return answer

    def _failed(self, what: str) -> BundleError:
        return BundleError(f"Template and tokenizer of {self._folder} {what}. Export the checkpoint again.")


class _Child:
    """The process, and a thread that reads its answers: pipes have no time-out on all systems."""

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
        with suppress(OSError):  # the process has ended: `receive` reports that
            write_frame(self._process.stdin, pickle.dumps(request))

    def receive(self, seconds: float) -> dict[str, Any]:
        """Return the next answer. Raises TimeoutError, EOFError where the process has ended, ValueError for invalid
        JSON."""
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
        """Kill the process if it still runs. Return its exit code."""
        code = self._process.poll()
        _kill(self._process)
        return self._process.wait() if code is None else code


def _listen(stream: IO[bytes], answers: "queue.SimpleQueue[bytes | None]") -> None:
    with stream:
        while (answer := read_frame(stream, MAX_ANSWER)) is not None:
            answers.put(answer)
    answers.put(None)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def write_frame(stream: IO[bytes], content: bytes) -> None:
    """Write `content`, preceded by its length."""
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def read_frame(stream: IO[bytes], most: int) -> bytes | None:
    """Read the content that `write_frame` wrote; None at the end, and where the content is longer than `most`."""
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
