"""The command `gemtab`."""

from gemtab.cli.main import app
from gemtab.cli.supervised import main

__all__ = ["app", "main"]
