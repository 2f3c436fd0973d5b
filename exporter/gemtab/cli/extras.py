"""Packages that some commands need in addition to the core."""

from importlib.util import find_spec

from gemtab.errors import UsageError


def require(*modules: str, extra: str = "parity") -> None:
    """Raise UsageError that names the missing modules of the extra `extra`."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"This command needs {' and '.join(missing)}, which is not installed with gemtab's core. "
            f"Install it with: pip install 'gemtab[{extra}]'"
        )
