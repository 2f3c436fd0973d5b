"""Kinds of damage to a bundle, by name."""

from tests.hard.kind import Kind
from tests.hard.kinds import configs, files, manifest, plans, shaders, surroundings, template, tokenizer, weights

KINDS: dict[str, Kind] = {
    f"{room.__name__.rpartition('.')[2]}: {name}": kind
    for room in (manifest, plans, shaders, weights, tokenizer, template, configs, files, surroundings)
    for name, kind in room.KINDS.items()
}
