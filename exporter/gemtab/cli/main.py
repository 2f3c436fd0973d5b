"""`gemtab`: its commands, and how it ends."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from gemtab import __version__
from gemtab.backends.webgpu.engine.watch import UNWATCHED, GpuWatch
from gemtab.cli import demo, export, inspect, publish, run, serve, synth, verify
from gemtab.cli.console import err, escape_what_cannot_be_written, print_error
from gemtab.errors import GemtabError, UsageError

app = typer.Typer(
    name="gemtab",
    help="Puts a Gemma 4 checkpoint into a browser tab.\n\n"
    "EXPORT a checkpoint to a bundle, a folder of static files; INSPECT it, VERIFY it against the checkpoint, RUN it "
    "here; SERVE it to a browser, which runs it on its own GPU; PUBLISH it. DEMO does all that with a tiny model that "
    "comes along. SYNTH makes random checkpoints of any size.",
    epilog="Exit codes: 0 done · 2 wrong use · 3 checkpoint · 4 bundle · 5 GPU · 6 parity · 7 context · 8 output · "
    "9 media · 10 hub · 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("export")(export.command)
app.command("inspect")(inspect.command)
app.command("verify")(verify.command)
app.command("run")(run.command)
app.command("serve")(serve.command)
app.command("demo")(demo.command)
app.command("publish")(publish.command)
app.command("synth")(synth.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gemtab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


class Signals:
    """Ctrl-C and SIGTERM, as exceptions, so that partial output is removed on the way out.

    A C extension that is interrupted may put an error of its own in the exception's place: so what came is also
    remembered, and decides how the command ends.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        # The second may come while the first is being obeyed: a terminal and a supervisor both send it.
        if self.received is None:
            self.received = number
            raise KeyboardInterrupt


def main(watch: GpuWatch = UNWATCHED) -> None:
    """Runs the command line. Errors that users can meet end in one paragraph and the error's exit code, signals in
    128 and their number. watch: told when the GPU is waited for."""
    signals = Signals()
    escape_what_cannot_be_written()
    try:
        app(obj=watch)
    except Exception as error:
        if signals.received is None:
            end_by(error)
    except KeyboardInterrupt:
        pass
    except SystemExit as ending:
        if signals.received is None or not ending.code:
            raise
    if signals.received is not None:
        err.print("Interrupted.")
        sys.exit(128 + signals.received)


def end_by(error: Exception) -> NoReturn:
    """Ends with the error's paragraph and exit code; what no user should meet is raised again."""
    if isinstance(error, GemtabError):
        print_error(error)
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone; Python would complain once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename} cannot be used: {error.strerror}. Give another path, or the right to use this one."
        end_by(UsageError(reason))
    raise error
