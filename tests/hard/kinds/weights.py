"""Files of weights."""

from random import Random

from tests.hard.kind import either
from tests.hard.mutant import Mutant

FILES = ("onnx/embed_tokens_q4.onnx_data", "plan/tables.bin", "onnx/decoder_model_merged_q4.onnx_data")


def altered(mutant: Mutant, rng: Random) -> None:
    """One bit, in the part that plans read; the digest is the old one."""
    name = rng.choice(FILES)
    content = bytearray(mutant.read(name))
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    mutant.put(name, bytes(content), sign=False)
    mutant.refused = True


def length(mutant: Mutant, rng: Random) -> None:
    """Cut or filled up; the digest is the old one."""
    name = rng.choice(FILES)
    content = mutant.read(name)
    made = rng.choice([b"", content[:-1], content[: len(content) // 2], content + b"\x00", content + content])
    mutant.put(name, made, sign=False)
    # Who asks for the bytes that are stated never sees those behind them.
    mutant.refused = len(made) < len(content)


def signed_length(mutant: Mutant, rng: Random) -> None:
    """Cut or filled up, and the manifest says so."""
    name = rng.choice(FILES)
    content = mutant.read(name)
    mutant.put(
        name, rng.choice([b"", content[:-1], content[: len(content) // 2], content[:1000], content + b"\x00\x01"])
    )


def values(mutant: Mutant, rng: Random) -> None:
    """NaN, infinity, noise: whatever the model says then."""
    name = rng.choice(FILES)
    size = len(mutant.read(name))
    fill = rng.choice([b"\x00", b"\xff", b"\x00\x00\xc0\x7f", b"\x00\x7c", b"\x00\x7e", b"\x00\x00\x80\x7f", b"\x01"])
    mutant.put(name, rng.choice([(fill * size)[:size], rng.randbytes(size)]))


KINDS = {"altered": either(altered, length), "signed": either(signed_length, values)}
