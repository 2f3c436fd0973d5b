"""The command line `gemtab`: its commands, signals and exit codes."""

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
    "EXPORT a checkpoint to a bundle, a folder of static files. INSPECT the bundle, VERIFY it against the checkpoint, "
    "RUN it here. SERVE it to a browser, which runs it on its own GPU. PUBLISH it. DEMO does all this with gemtab's "
    "own tiny model. SYNTH makes random checkpoints of any size.",
    epilog="Exit codes: 0 success · 2 usage · 3 checkpoint · 4 bundle · 5 GPU · 6 parity · 7 context · 8 output · "
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
    """Turns Ctrl-C and SIGTERM into exceptions, so that partial output is removed.

    An interrupted C extension may raise its own error instead. The signal is therefore remembered, and decides the exit
    code.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        # A second signal may arrive meanwhile: a terminal and a supervisor both send one.
        if self.received is None:
            self.received = number
            raise KeyboardInterrupt


def main(watch: GpuWatch = UNWATCHED) -> None:
    """Run the command line. Errors that users can meet are printed as one paragraph and give their exit code; signals
    give 128 plus their number. watch: is notified when the command waits for the GPU."""
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
    """Print the error and exit with its code. Unexpected errors are raised again."""
    if isinstance(error, GemtabError):
        print_error(error)
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):
        # The reader has closed the pipe; without this, Python would report it again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename} cannot be used: {error.strerror}. Give another path, or change its permissions."
        end_by(UsageError(reason))
    raise error
