"""How much of the corpus is drawn."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def drawn(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How many inputs to draw: the first number in `make test`, the second with `--corpus full`."""
    full = request.config.getoption("--corpus") == "full"
    return lambda small, large: large if full else small
