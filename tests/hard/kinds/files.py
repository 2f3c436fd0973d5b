"""Damage to files: other content or other kinds of files where the manifest names a file."""

from random import Random

from gemtab.bundle.manifest import MANIFEST_NAME
from tests.hard.kind import either
from tests.hard.mutant import Mutant

FILES = (
    MANIFEST_NAME,
    "plan/f16.json plan/f32.json",
    "plan/tables.bin",
    "tokenizer.json",
    "chat_template.jinja",
    "generation_config.json",
    "onnx/embed_tokens_q4.onnx_data",
    "shaders/advance.wgsl",
)


def _drawn(rng: Random) -> list[str]:
    return rng.choice(FILES).split()


def missing(mutant: Mutant, rng: Random) -> None:
    mutant.absent |= set(_drawn(rng))
    mutant.refused = True


def link(mutant: Mutant, rng: Random) -> None:
    """A link to the file itself, which is elsewhere, to another file, to nothing, or to itself."""
    for name in _drawn(rng):
        mutant.links[name] = rng.choice(
            [str(mutant.seed / name), "/etc/passwd", "/nothing", name.rpartition("/")[2], "/", "/dev/zero"]
        )


def other_thing(mutant: Mutant, rng: Random) -> None:
    """A folder or a pipe."""
    for name in _drawn(rng):
        (mutant.folders if rng.random() < 0.5 else mutant.pipes).add(name)
    mutant.refused = True


KINDS = {"missing, link or no file": either(missing, link, other_thing)}
