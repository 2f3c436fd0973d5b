"""Faults of the GPU on which a good bundle runs. Only the page in Node sees them."""

from random import Random

from tests.hard.mutant import Mutant

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

THROWING = (
    "createBuffer",
    "writeBuffer",
    "writeBuffer",
    "getMappedRange",
    "createShaderModule",
    "createBindGroup",
    "createCommandEncoder",
    "submit",
)
ASKING = ("requestAdapter", "requestDevice")
REJECTING = (
    "createComputePipelineAsync",
    "popErrorScope",
    "mapAsync",
    "onSubmittedWorkDone",
    "getCompilationInfo",
)
ERRORS = ("OperationError", "AbortError", "InvalidStateError", "TypeError", "RangeError")


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


KINDS = {"lost": lost, "call that throws": throwing, "not given": asking, "promise that is rejected": rejecting}
