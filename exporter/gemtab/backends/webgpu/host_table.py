"""Look-up tables that stay on the host: whether they do, and their rows."""

import numpy as np

from gemtab.bundle.memory import need_of, plan_memory
from gemtab.bundle.plan import HostTableChoice, Plan, RowsBuffer, Tables
from gemtab.errors import DeviceError


def choose_tables(plan: Plan, context: int, choice: HostTableChoice, memory: int | None) -> Tables:
    """Where look-up tables are to lie. Raises DeviceError where the plan does not fit into `memory` bytes so."""
    stated, tokens = plan_memory(plan), max(program.max_tokens for program in plan.programs.values())
    options: dict[HostTableChoice, tuple[Tables, ...]] = {
        "auto": ("gpu", "host"),
        "never": ("gpu",),
        "always": ("host",),
    }
    possible = options[choice] if stated.tables else options["never"]
    needs = {tables: need_of(stated, tokens, context, tables).total for tables in possible}
    fitting = [tables for tables, need in needs.items() if memory is None or need <= memory]
    if fitting:
        return fitting[0]
    raise DeviceError(
        f"The {plan.activation} plan needs {min(needs.values()):,} bytes of GPU memory with a context of {context:,} "
        f"tokens, more than the {memory:,} allowed. Choose a smaller context or smaller weights; `gemtab inspect "
        "--fit` tells what fits."
    )


class HostTable:
    """A table in the bundle's files, whose pages are read as its rows are asked for."""

    def __init__(self, buffer: RowsBuffer, data: np.ndarray) -> None:
        self._buffer = buffer
        self._rows = data.reshape(buffer.rows, buffer.row_bytes)

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """The rows of these ids, one after another, and what is missing to whole words."""
        rows = self._rows[np.where(np.isin(ids, self._buffer.replaced), self._buffer.by, ids)].reshape(-1)
        return np.pad(rows, (0, -len(rows) % 4))
