"""What some commands need beyond the core."""

from importlib.util import find_spec

from gemtab.errors import UsageError


def require(*modules: str, extra: str = "parity") -> None:
    """Raises UsageError where one of the modules of the extra is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"This command needs {' and '.join(missing)}, which the core of gemtab does without. "
            f"Install with: pip install 'gemtab[{extra}]'"
        )
