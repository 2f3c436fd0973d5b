"""`gemtab run`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemtab.cli.console import err
from gemtab.cli.extras import require

if TYPE_CHECKING:
    from gemtab.chat.session import Message, TurnStats


def command(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to say to the model; - reads it from stdin.")],
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Let the model think first; its thoughts go to stderr.")
    ] = False,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of the answer. [default: until the context is full]")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the most likely token.")] = 0.0,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="Sample among so many. [default: as generation_config.json says]")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Sample among those that make up this probability. [default: as generation_config.json says]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the sampling.")] = 0,
) -> None:
    """Answer a prompt on this machine's GPU, by the same plan that a tab runs.

    The answer alone goes to stdout, as it comes; thoughts and statistics go to stderr.
    """
    require("wgpu")
    from gemtab.backends.webgpu.executor import Executor
    from gemtab.bundle.folder import check_files, read_manifest
    from gemtab.chat import ChatSession, Sampling

    check_files(bundle, read_manifest(bundle))
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    session = ChatSession(bundle, Executor(bundle), messages, thinking)
    defaults = session.generation
    sampling = Sampling(
        temperature,
        defaults.top_k if top_k is None else top_k,
        defaults.top_p if top_p is None else top_p,
        seed,
    )
    text = sys.stdin.read() if prompt == "-" else prompt
    for part in session.send(text, sampling, max_tokens):
        if part.kind == "thought":
            err.print(part.text, end="", style="dim", markup=False, soft_wrap=True)
        else:
            sys.stdout.write(part.text)
            sys.stdout.flush()
    sys.stdout.write("\n")
    _print_stats(session.stats)


def _print_stats(stats: "TurnStats") -> None:
    prompt_rate = stats.prompt_tokens / stats.prompt_seconds if stats.prompt_seconds else 0.0
    rate = (stats.answer_tokens - 1) / stats.answer_seconds if stats.answer_seconds else 0.0
    cut = "" if stats.finish == "stop" else ", cut off"
    err.print(
        f"prompt {stats.prompt_tokens} tokens in {stats.prompt_seconds:.2f} s ({prompt_rate:.0f}/s), "
        f"answer {stats.answer_tokens} tokens at {rate:.1f}/s{cut}",
        style="dim",
    )
