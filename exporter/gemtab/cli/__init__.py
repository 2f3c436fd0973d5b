"""The command `gemtab`."""

from gemtab.cli.main import app, main

__all__ = ["app", "main"]
