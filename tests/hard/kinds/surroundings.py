"""Damage outside a good bundle: of its host, and of the GPU. Commands do not see it."""

from random import Random

from gemtab.bundle.manifest import MANIFEST_NAME
from tests.hard.kind import either
from tests.hard.mutant import Mutant

FILES = ("plan/f32.json", "tokenizer.json", "chat_template.jinja", "plan/tables.bin", "*", *[MANIFEST_NAME] * 4)
BROKEN = ("cut", "longer", "shorter", "more", "encoding", "bomb", "reset", "garbage", "chunks")
ANSWERS = ("html", "empty", "redirect", "elsewhere", "whole")
SILENT = ("silent", "half", "slow")
STATUSES = (204, 206, 301, 304, 401, 403, 404, 416, 429, 500, 503)

CALLS = {
    "createBuffer": 60,
    "createShaderModule": 12,
    "createComputePipelineAsync": 11,
    "popErrorScope": 10,
    "createBindGroup": 20,
    "createCommandEncoder": 6,
    "submit": 6,
    "writeBuffer": 20,
    "onSubmittedWorkDone": 3,
    "mapAsync": 4,
}
"""Calls to WebGPU, and about how many of each there are in a load and a short answer."""

THROWING = ("createBuffer", "writeBuffer", "getMappedRange")
ASKING = ("requestAdapter", "requestDevice")
REJECTING = (
    "createComputePipelineAsync",
    "popErrorScope",
    "mapAsync",
    "onSubmittedWorkDone",
    "getCompilationInfo",
)
ERRORS = ("OperationError", "AbortError", "InvalidStateError", "TypeError", "RangeError")


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


def lost(mutant: Mutant, rng: Random) -> None:
    """The GPU is gone from some call on."""
    call = rng.choice(list(CALLS))
    mutant.faults["device"] = {"call": call, "after": rng.randrange(CALLS[call]), "fault": "lost"}


def throwing(mutant: Mutant, rng: Random) -> None:
    """A call throws, as where memory ends."""
    call = rng.choice(THROWING)
    fault = rng.choice(["RangeError", "OperationError", "TypeError"])
    mutant.faults["device"] = {"call": call, "after": rng.randrange(CALLS.get(call, 2)), "fault": fault}


def asking(mutant: Mutant, rng: Random) -> None:
    """There is no adapter or device, or none more."""
    call = rng.choice(ASKING)
    fault = "null" if call == "requestAdapter" and rng.random() < 0.3 else rng.choice(ERRORS)
    mutant.faults["device"] = {"call": call, "after": 0, "fault": fault}


def rejecting(mutant: Mutant, rng: Random) -> None:
    """A call's promise is rejected, as where the browser's GPU process has ended."""
    call = rng.choice(REJECTING)
    mutant.faults["device"] = {"call": call, "after": rng.randrange(CALLS.get(call, 1)), "fault": rng.choice(ERRORS)}


KINDS = {
    "broken body": body,
    "other answer and silence": either(answer, silence),
    "lost GPU": lost,
    "call that throws": throwing,
    "GPU that is not given": asking,
    "promise that is rejected": rejecting,
}
