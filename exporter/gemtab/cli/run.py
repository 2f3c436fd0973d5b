"""`gemtab run`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gemtab.bundle.plan import HostEmbeddingsChoice, PlanChoice
from gemtab.cli.console import byte_count, err, print_answer
from gemtab.cli.extras import require
from gemtab.errors import UsageError
from gemtab.media.rules import LongAudio
from gemtab.shown import shown

if TYPE_CHECKING:
    from gemtab.bundle.manifest import Manifest
    from gemtab.chat.session import Content, Message, TurnStats


@dataclass(frozen=True)
class _Reading:
    """Options for reading media: see `command`."""

    detail: int | None
    frames: int | None
    long_audio: LongAudio


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="The prompt; - reads it from stdin.")],
    image: Annotated[list[Path] | None, typer.Option(help="Image file. May be repeated.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="Audio file. May be repeated.")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="Video file. May be repeated.")] = None,
    detail: Annotated[
        int | None,
        typer.Option(
            help="Maximum tokens of an image, or of each video frame: 70, 140, 280, 560 or 1120. [default: the model's]"
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum frames of a video. [default: the model's]"),
    ] = None,
    long_audio: Annotated[
        LongAudio,
        typer.Option(help="Audio that is too long for one segment: `segments` cuts it, `refuse` is an error."),
    ] = "segments",
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    trusted: Annotated[
        bool,
        typer.Option(
            "--trusted",
            help="Treat control tokens that are spelled out in the prompts, such as <turn|>, as control tokens, as "
            "transformers does. By default they are text.",
        ),
    ] = False,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Let the model think first. Thoughts go to stderr.")
    ] = False,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Maximum tokens of the answer. [default: until the context is full]")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always chooses the most likely token.")] = 0.0,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="Sample among this many tokens. [default: from generation_config.json]")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Sample among the tokens that make up this probability. [default: from generation_config.json]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the sampling.")] = 0,
    memory: Annotated[
        str | None, typer.Option(help="Maximum GPU memory of the text model, such as 8GB. [default: no limit]")
    ] = None,
    host_embeddings: Annotated[
        HostEmbeddingsChoice,
        typer.Option(
            help="Read per-layer embeddings from the file instead of GPU memory, which is slower: auto (if --memory "
            "needs it), never or always."
        ),
    ] = "auto",
    plan: Annotated[
        PlanChoice,
        typer.Option(help="Type of the keys and values in the caches: auto (f16 where the GPU has it), f16 or f32."),
    ] = "auto",
) -> None:
    """Answer a prompt on this machine's GPU, by the same plan that a tab runs.

    Images, audio and video come before the prompt's text, each kind in the order given.

    Only the answer goes to stdout, as it arrives. Thoughts and statistics go to stderr.
    """
    require("wgpu")
    from gemtab.bundle.folder import verified
    from gemtab.chat import ChatSession, Sampling
    from gemtab.chat.prompt_process import PromptProcess

    manifest = verified(bundle)
    prompts = PromptProcess(bundle)
    prompts.start()
    from gemtab.backends.webgpu.engine.encoder import TowerEncoder
    from gemtab.backends.webgpu.engine.text_engine import TextEngine

    text = _stdin() if prompt == "-" else _argument(prompt, "--prompt")
    how = _Reading(detail, frames, long_audio)
    content = _content(bundle, manifest, text, image or [], audio or [], video or [], how)
    messages: list[Message] = [{"role": "system", "content": _argument(system, "--system")}] if system else []
    allowed = None if memory is None else byte_count(memory)
    executor = TextEngine(
        bundle,
        None if plan == "auto" else plan,
        host_embeddings=host_embeddings,
        memory=allowed,
        watch=context.obj,
        manifest=manifest,
    )
    encoder = TowerEncoder(bundle, executor)
    session = ChatSession(bundle, executor, messages, thinking, encoder, trusted=trusted, prompts=prompts)
    defaults = session.generation
    sampling = Sampling(
        temperature,
        defaults.top_k if top_k is None else top_k,
        defaults.top_p if top_p is None else top_p,
        seed,
    )
    for part in session.send(content, sampling, max_tokens):
        if part.kind == "thought":
            err.print(Text(shown(part.text)), end="", style="dim", soft_wrap=True)
        else:
            print_answer(part.text)
    print_answer("\n")
    _print_stats(session.stats)


def _stdin() -> str:
    """Read all of stdin as UTF-8, whatever the locale. Raises UsageError for other bytes."""
    content = sys.stdin.buffer.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8("The prompt on stdin", content, error.start) from error


def _argument(text: str, option: str) -> str:
    """Return an argument of the command line. Raises UsageError where it is not UTF-8 (Python keeps such bytes as
    surrogates)."""
    content = text.encode("utf-8", "surrogateescape")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(f"The text of {option}", content, error.start) from error


def _not_utf8(what: str, content: bytes, at: int) -> UsageError:
    return UsageError(
        f"{what} is not UTF-8: byte {at} is 0x{content[at]:02x}. Convert the text first, for example with "
        "`iconv -f latin1 -t utf-8`."
    )


def _content(
    bundle: Path,
    manifest: "Manifest",
    text: str,
    images: list[Path],
    audio: list[Path],
    videos: list[Path],
    how: _Reading,
) -> "Content":
    """Return the message's content: the media, then the text."""
    if not (images or audio or videos):
        return text
    from gemtab.chat.reader import MediaReader
    from gemtab.chat.session import content_of

    reader = MediaReader(bundle, manifest)
    media = [
        *(reader.image(path, how.detail) for path in images),
        *(reader.audio(path, how.long_audio) for path in audio),
        *(reader.video(path, how.detail, how.frames, how.long_audio) for path in videos),
    ]
    return content_of(text, media)


def _print_stats(stats: "TurnStats") -> None:
    prompt_rate = stats.prompt_tokens / stats.prompt_seconds if stats.prompt_seconds else 0.0
    rate = (stats.answer_tokens - 1) / stats.answer_seconds if stats.answer_seconds else 0.0
    cut = "" if stats.finish == "stop" else ", cut off"
    err.print(
        f"prompt {stats.prompt_tokens} tokens in {stats.prompt_seconds:.2f} s ({prompt_rate:.0f}/s), "
        f"answer {stats.answer_tokens} tokens at {rate:.1f}/s{cut}",
        style="dim",
    )
