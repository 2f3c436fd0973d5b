"""The host that sends a good bundle. Commands see nothing of that."""

from random import Random

from gemtab.bundle.manifest import MANIFEST_NAME
from tests.hard.kind import either
from tests.hard.mutant import Mutant

FILES = ("plan/f32.json", "tokenizer.json", "chat_template.jinja", "plan/tables.bin", "*", *[MANIFEST_NAME] * 4)
BROKEN = ("cut", "longer", "shorter", "more", "encoding", "bomb", "reset", "garbage", "chunks")
ANSWERS = ("html", "empty", "redirect", "elsewhere", "whole")
SILENT = ("silent", "half", "slow")
STATUSES = (204, 206, 301, 304, 401, 403, 404, 416, 429, 500, 503)


def _host(mutant: Mutant, rng: Random, faults: tuple[str, ...]) -> None:
    mutant.faults["host"] = {"file": rng.choice(FILES), "fault": rng.choice(faults)}


def body(mutant: Mutant, rng: Random) -> None:
    """Breaks off, is longer or shorter than it says, or is not what its encoding says."""
    _host(mutant, rng, BROKEN)


def answer(mutant: Mutant, rng: Random) -> None:
    """Something else than the file."""
    if rng.random() < 0.5:
        _host(mutant, rng, ANSWERS)
    else:
        mutant.faults["host"] = {"file": rng.choice(FILES), "fault": "status", "status": rng.choice(STATUSES)}


def silence(mutant: Mutant, rng: Random) -> None:
    _host(mutant, rng, SILENT)


KINDS = {"broken body": body, "other answer and silence": either(answer, silence)}
