"""WGSL that is not what gemtab rendered; the manifest has its digests."""

import re
from collections.abc import Callable
from random import Random

from tests.hard.mutant import TEXT_PLANS, Mutant

SPIN = "\nvar<workgroup> hard_spin: atomic<u32>;\n"
FOREVER = "  while (atomicLoad(&hard_spin) < 1u) { atomicAdd(&hard_spin, 0u); }\n"
LONG = """
  for (var a = 0u; a < 4294967295u; a++) {
    for (var b = 0u; b < 4294967295u; b++) { atomicMax(&hard_spin, a ^ b); }
  }
"""


def each(change: Callable[[str, Random], str | bytes]) -> Callable[[Mutant, Random], None]:
    """Makes the same change to all forms of the kernel of one dispatch, in both plans."""

    def kind(mutant: Mutant, rng: Random) -> None:
        program, at, state = rng.choice(["fill", "decode"]), rng.random(), rng.random()
        files: set[str] = set()
        for name in TEXT_PLANS:
            plan = mutant.json(name)
            dispatches = plan["programs"][program]["dispatches"]
            kernel = plan["kernels"][dispatches[int(at * len(dispatches))]["kernel"]]
            files |= {form["file"] for form in kernel["forms"]}
        for file in sorted(files):
            made = change(mutant.read(file).decode(), Random(state))
            mutant.put(file, made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass"))

    return kind


def _at_start(text: str, statements: str, outside: str = "") -> str:
    """The shader with statements at the beginning of its entry point."""
    begin = text.index("{", text.index("fn main(")) + 1
    return outside + text[:begin] + "\n" + statements + text[begin:]


def syntax(text: str, rng: Random) -> str | bytes:
    cut = rng.randrange(len(text))
    choices: list[Callable[[], str | bytes]] = [
        lambda: "",
        lambda: text[:cut],
        lambda: text[:cut] + "@" + text[cut:],
        lambda: text.replace(";", "", 1),
        lambda: text.replace("fn main", "fn mian"),
        lambda: "\ufeff" + text,
        lambda: text + "\u0000",
        lambda: text.encode("utf-16"),
        lambda: b"\xff\xfe\xfd" + text.encode(),
        lambda: text + text,
        lambda: "enable f16, subgroups, nothing;\n" + text,
        lambda: text.replace("@compute", "@fragment"),
        lambda: "#version 450\nvoid main() {}",
        lambda: "\u001b]0;title\u0007" + text,
    ]
    return rng.choice(choices)()


def endless(text: str, rng: Random) -> str:
    return _at_start(text, rng.choice([FOREVER, LONG]), SPIN)


def bindings(text: str, rng: Random) -> str:
    choices: list[Callable[[], str]] = [
        lambda: text.replace("@binding(0)", f"@binding({rng.choice([1, 7, 100, 65536, 2**31])})", 1),
        lambda: text.replace("@group(0)", f"@group({rng.choice([1, 3, 4, 1000])})", 1),
        lambda: text.replace("storage, read>", "storage, read_write>", 1),
        lambda: text.replace("storage, read_write>", "storage, read>", 1),
        lambda: re.sub(r"array<u32>", "array<u32, 100000000>", text, count=1),
        lambda: re.sub(r"array<f32>", "array<mat4x4<f32>>", text, count=1),
        lambda: text + "@group(0) @binding(9) var hard_texture: texture_2d<f32>;\n",
        lambda: text.replace("var<storage", "var<uniform", 1),
    ]
    return rng.choice(choices)()


def workgroup(text: str, rng: Random) -> str:
    size = rng.choice(["0", "-1", "65536", "1024, 1024, 64", "4294967295", "256, 2", "1"])
    choices: list[Callable[[], str]] = [
        lambda: re.sub(r"@workgroup_size\([^)]*\)", f"@workgroup_size({size})", text, count=1),
        lambda: _at_start(text, "  hard_many[0] = 1u;\n", "var<workgroup> hard_many: array<u32, 1073741823>;\n"),
        lambda: _at_start(text, "  hard_many[0] = 1u;\n", "var<workgroup> hard_many: array<u32, 5000>;\n"),
        lambda: _at_start(text, "  hard_own[0] = 1u;\n", "var<private> hard_own: array<u32, 100000000>;\n"),
        lambda: _at_start(text, "  var hard_own: array<vec4<f32>, 1000000>;\n  hard_own[0].x = 1.0;\n"),
    ]
    return rng.choice(choices)()


def depth(text: str, rng: Random) -> str:
    levels = rng.choice([200, 2000, 50_000])
    choices: list[Callable[[], str]] = [
        lambda: _at_start(text, f"  let hard = {'(' * levels}1{')' * levels};\n"),
        lambda: _at_start(text, f"  let hard = {'1 + ' * levels}1;\n"),
        lambda: _at_start(text, "{" * levels + "}" * levels),
        lambda: _at_start(text, f"  let hard = {'-' * 2 * levels}1;\n".replace("--", "- ")),
        lambda: text + "".join(f"fn hard{number}() -> u32 {{ return {number}u; }}\n" for number in range(20_000)),
        lambda: "/*" * levels + "*/" * levels + text,
        lambda: f"alias hard = {'array<' * levels}u32{', 1>' * levels};\n" + text,
    ]
    return rng.choice(choices)()


def access(text: str, rng: Random) -> str:
    """Reads and writes beyond the end, recursion, and constants that cannot be."""
    name = re.search(r"var<storage, read_write> (\w+)", text) or re.search(r"var<storage, read> (\w+)", text)
    target = name[1] if name else "nothing"
    choices: list[Callable[[], str]] = [
        lambda: _at_start(text, f"  _ = {target}[arrayLength(&{target}) + 4000000000u];\n"),
        lambda: _at_start(text, f"  _ = {target}[-1];\n"),
        lambda: _at_start(text, "  let hard = 1 / 0;\n"),
        lambda: _at_start(text, "  let hard = 4294967295u + 1u;\n"),
        lambda: _at_start(text, "  hard();\n", "fn hard() { hard(); }\n"),
        lambda: _at_start(
            text,
            "  workgroupBarrier(); if (hard_spin2 == 0u) { workgroupBarrier(); }\n",
            "var<private> hard_spin2: u32;\n",
        ),
        lambda: _at_start(text, "  return;\n"),
        lambda: text.replace(
            "fn main",
            "@compute @workgroup_size(1)\nfn second() {}\n@compute @workgroup_size(1)\nfn main0() {}\nfn main",
            1,
        ),
    ]
    return rng.choice(choices)()


KINDS = {
    "syntax": each(syntax),
    "endless": each(endless),
    "bindings": each(bindings),
    "workgroup": each(workgroup),
    "depth": each(depth),
    "access": each(access),
}
