"""Kinds of damage to a bundle, by name."""

from tests.hard.kind import Kind
from tests.hard.kinds import configs, files, gpus, hosts, manifest, plans, shaders, template, tokenizer, weights

KINDS: dict[str, Kind] = {
    f"{module.__name__.rpartition('.')[2]}: {name}": kind
    for module in (manifest, plans, shaders, weights, tokenizer, template, configs, files, hosts, gpus)
    for name, kind in module.KINDS.items()
}

OFTENER: dict[str, int] = {
    "gpus: call that throws": 3,
    "gpus: not given": 2,
    "gpus: promise that is rejected": 2,
    "plans: binding": 2,
    "plans: control and ring": 2,
    "plans: size": 2,
    "shaders: bindings": 2,
    "shaders: syntax": 2,
}
"""The number of times that a kind is in a deck: more often for those that found the most defects; default 1."""


_BUNDLE = ("manifest", "plans", "shaders", "weights", "tokenizer", "template", "configs", "files")


def _deck(*groups: str) -> tuple[str, ...]:
    """The names of the kinds in these groups, each as often as OFTENER says."""
    names = [name for name in sorted(KINDS) if name.partition(":")[0] in groups]
    return tuple(name for name in names for _ in range(OFTENER.get(name, 1)))


DECKS: dict[str, tuple[str, ...]] = {
    "all": _deck(*_BUNDLE, "hosts", "gpus"),
    "browser": _deck(*_BUNDLE, "hosts"),
    "command": _deck(*_BUNDLE),
    "checkpoint": _deck("tokenizer", "template", "configs"),
}
"""The kinds to draw from: all, or those that affect a driver. "checkpoint" is for exports."""
