"""`gemtab`: its commands, and how it ends."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from gemtab import __version__
from gemtab.cli import demo, export, inspect, run, serve, verify
from gemtab.cli.console import err, print_error
from gemtab.errors import GemtabError

INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="gemtab",
    help="Puts a Gemma 4 checkpoint into a browser tab.\n\n"
    "EXPORT a checkpoint to a bundle, a folder of static files; INSPECT it, VERIFY it against the checkpoint, RUN it "
    "here; SERVE it to a browser, which runs it on its own GPU. DEMO does all that with a tiny model that comes along.",
    epilog="Exit codes: 0 done · 2 wrong use · 3 checkpoint · 4 bundle · 5 GPU · 6 parity · 7 context · 8 output · "
    "130 interrupted.",
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


def main() -> None:
    """Runs the command line. Errors that users can meet end in one paragraph and the error's exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except GemtabError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # As an exception, so that partial output is removed on the way out.
    sys.exit(TERMINATED)
