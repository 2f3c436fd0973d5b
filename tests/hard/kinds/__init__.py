"""Kinds of damage to a bundle, by name."""

from tests.hard.kind import Kind
from tests.hard.kinds import configs, files, gpus, hosts, manifest, plans, shaders, template, tokenizer, weights

KINDS: dict[str, Kind] = {
    f"{room.__name__.rpartition('.')[2]}: {name}": kind
    for room in (manifest, plans, shaders, weights, tokenizer, template, configs, files, hosts, gpus)
    for name, kind in room.KINDS.items()
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
"""How often kinds are drawn that did the most harm to code that was not yet prepared for them; others once."""


_BUNDLE = ("manifest", "plans", "shaders", "weights", "tokenizer", "template", "configs", "files")


def _deck(*rooms: str) -> tuple[str, ...]:
    """Each name as often as it is drawn."""
    names = [name for name in sorted(KINDS) if name.partition(":")[0] in rooms]
    return tuple(name for name in names for _ in range(OFTENER.get(name, 1)))


DECKS: dict[str, tuple[str, ...]] = {
    "all": _deck(*_BUNDLE, "hosts", "gpus"),
    "browser": _deck(*_BUNDLE, "hosts"),
    "command": _deck(*_BUNDLE),
    "checkpoint": _deck("tokenizer", "template", "configs"),
}
"""What is drawn from: all kinds, or those of which a driver sees anything; the last is for exports."""
