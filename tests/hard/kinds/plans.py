"""Both plans of the text model. The manifest has the digests of what was made of them, so they get past that check."""

from collections.abc import Callable
from random import Random

from tests.hard.hostile import (
    DEPTHS,
    KEYS,
    NUMBERS,
    PATHS,
    TEXTS,
    damage_text,
    deep,
    duplicate_key,
    is_number,
    other,
    shallow,
)
from tests.hard.kind import either
from tests.hard.mutant import TEXT_PLANS, Json, Mutant, Raw

SIZES: tuple[Json, ...] = (
    0,
    1,
    3,
    4,
    -4,
    2**27 + 4,
    2**28 + 4,
    2**31,
    2**32,
    2**40,
    2**53,
    10**30,
    ["-", 0, 4],
    "C",
    1e9,
    None,
)
WORDS = (0, 1, 2, 7, 255, 65536, 2**31, 2**32 - 1, 2**32, -1, 1.5)


def each(change: Callable[[Json, Random], None]) -> Callable[[Mutant, Random], None]:
    return lambda mutant, rng: mutant.each_plan(rng, change)


def number(plan: Json, rng: Random) -> None:
    node, key = shallow(plan, rng, is_number)
    node[key] = rng.choice(NUMBERS)


def type_(plan: Json, rng: Random) -> None:
    node, key = shallow(plan, rng)
    node[key] = other(node[key], rng)


def absent(plan: Json, rng: Random) -> None:
    node, key = shallow(plan, rng)
    del node[key]


def names(mutant: Mutant, rng: Random) -> None:
    if rng.random() < 0.5:
        state = rng.random()
        for name in TEXT_PLANS:
            mutant.put(name, duplicate_key(mutant.read(name).decode(), Random(state)).encode())
        return

    def change(plan: Json, draw: Random) -> None:
        node = draw.choice(
            [plan, plan["buffers"], plan["kernels"], plan["programs"], plan["limits"], _dispatch(plan, draw)]
        )
        node[draw.choice(KEYS)] = draw.choice([None, 1, {}, draw.choice(list(plan["buffers"].values()))])

    mutant.each_plan(rng, change)


def _program(plan: Json, rng: Random) -> Json:
    return plan["programs"][rng.choice(["fill", "decode"])]


def _dispatch(plan: Json, rng: Random) -> Json:
    return rng.choice(_program(plan, rng)["dispatches"])


def _buffer(plan: Json, rng: Random, *kinds: str) -> tuple[str, Json]:
    return rng.choice([(name, one) for name, one in plan["buffers"].items() if one["kind"] in kinds])


def size(plan: Json, rng: Random) -> None:
    """Of a buffer or slot."""
    bad = rng.choice(SIZES)
    if rng.random() < 0.4:
        plan["slots"][rng.randrange(len(plan["slots"]))] = bad
    else:
        _buffer(plan, rng, "weight", "rows", "state", "scratch", "control")[1]["bytes"] = bad


def grid(plan: Json, rng: Random) -> None:
    nested: Json = "T"
    for _ in range(14):
        nested = ["*", nested, nested] if rng.random() < 0.5 else ["+", nested, nested]
    bad = [65535, 65536, -1, 2**31, 0, "C", "P", "Q", nested, ["-", 0, "T"], ["*", "C", "C"], ["ceildiv", "T", 0]]
    bad += [["ceildiv", 1, ["-", "T", "T"]], ["*", 2**53, 3], 1.5, None, "65535", ["min"], ["**", 10, 10]]
    chosen = _dispatch(plan, rng)
    chosen["grid"] = rng.choice([[rng.choice(bad) for _ in range(3)], [65535, 65535, 65535], [1, 1], [1] * 4])


def expression_depth(plan: Json, rng: Random) -> None:
    levels = rng.choice(DEPTHS)
    bad = Raw('["+",' * levels + '"T"' + ",1]" * levels)
    match rng.randrange(3):
        case 0:
            _dispatch(plan, rng)["grid"][0] = bad
        case 1:
            _buffer(plan, rng, "state", "scratch")[1]["bytes"] = bad
        case 2:
            plan["slots"][0] = bad


def binding(plan: Json, rng: Random) -> None:
    """Names of buffers: unknown ones, too many, too few, twice, and weights that are written."""
    chosen = rng.choice([one for one in _program(plan, rng)["dispatches"] if len(one["bindings"]) > 1])
    bound = chosen["bindings"]
    match rng.randrange(6):
        case 0:
            bound[rng.randrange(len(bound))] = rng.choice(["nothing", "", "__proto__", "constructor", "toString"])
        case 1:
            bound.append(rng.choice(list(plan["buffers"])))
        case 2:
            bound.pop()
        case 3:
            bound[-1] = bound[0]
        case 4:
            bound[-1] = _buffer(plan, rng, "weight")[0]
        case 5:
            rng.shuffle(bound)


def params(plan: Json, rng: Random) -> None:
    with_params = [one for program in plan["programs"].values() for one in program["dispatches"] if one.get("params")]
    first, second = rng.sample(with_params, 2)
    match rng.randrange(5):
        case 0:
            first["params"][rng.randrange(len(first["params"]))] = rng.choice(WORDS)
        case 1:
            first["params"], second["params"] = second["params"], first["params"]
        case 2:
            first["params"] = rng.choice([None, [], [1], [0] * 64, [0] * 20_000, "words"])
        case 3:
            first["params"] = [2**32 - 1] * len(first["params"])
        case 4:
            _dispatch(plan, rng)["params"] = [1, 2, 3]


def layout(plan: Json, rng: Random) -> None:
    """The declared bindings of a kernel."""
    kernel = rng.choice(list(plan["kernels"].values()))
    bindings = kernel["bindings"]
    match rng.randrange(5):
        case 0:
            bindings[rng.randrange(len(bindings))] = rng.choice(["read", "read_write", "uniform", "sampler"])
        case 1:
            bindings.reverse()
        case 2:
            bindings.append("read")
        case 3:
            kernel["bindings"] = ["read_write" if one == "read" else "read" for one in bindings]
        case 4:
            other_kernel = rng.choice(list(plan["kernels"].values()))
            kernel["bindings"], other_kernel["bindings"] = other_kernel["bindings"], kernel["bindings"]


def exchange(plan: Json, rng: Random) -> None:
    """Exchange things of one kind."""
    match rng.randrange(5):
        case 0:
            first, second = rng.sample(list(plan["kernels"]), 2)
            kernels = plan["kernels"]
            kernels[first], kernels[second] = kernels[second], kernels[first]
        case 1:
            first, second = rng.sample(list(plan["kernels"].values()), 2)
            first["forms"], second["forms"] = second["forms"], first["forms"]
        case 2:
            programs = plan["programs"]
            programs["fill"], programs["decode"] = programs["decode"], programs["fill"]
        case 3:
            first, second = (_buffer(plan, rng, "weight", "state", "scratch", "control")[0] for _ in range(2))
            buffers = plan["buffers"]
            buffers[first], buffers[second] = buffers[second], buffers[first]
        case 4:
            _dispatch(plan, rng)["kernel"] = rng.choice(["nothing", "__proto__", *plan["kernels"]])


def file(plan: Json, rng: Random) -> None:
    """Locations of weights and shaders."""
    bad = rng.choice([*PATHS, "gemtab.json", "tokenizer.json", "plan/f32.json", "onnx/embed_tokens_q4.onnx_data"])
    if rng.random() < 0.5:
        _buffer(plan, rng, "weight", "rows")[1]["file"] = bad
    else:
        for form in rng.choice(list(plan["kernels"].values()))["forms"]:
            form["file"] = bad


def offset(plan: Json, rng: Random) -> None:
    """Offsets of weights in their file: beyond its end, overlapping, between words."""
    weight = _buffer(plan, rng, "weight")[1]
    match rng.randrange(3):
        case 0:
            weight["offset"] = rng.choice([1, 2, -4, 2**31, 2**40, 2**53, 10**20, 1e30])
        case 1:
            weight["offset"] = _buffer(plan, rng, "weight")[1]["offset"] + 4
        case 2:
            weight["bytes"] = rng.choice(
                [2, 0, weight["bytes"] + 4, weight["bytes"] * 1000, 2**27, weight["bytes"] // 8 * 4]
            )


def programs(plan: Json, rng: Random) -> None:
    chosen = rng.choice(["fill", "decode"])
    program = plan["programs"][chosen]
    match rng.randrange(7):
        case 0:
            del plan["programs"][chosen]
        case 1:
            program["dispatches"] = []
        case 2:
            program["max_tokens"] = rng.choice([0, -1, 1, 3, 10**6, 2**31, 2**53])
        case 3:
            program["dispatches"] = program["dispatches"] * 3000
        case 4:
            plan["programs"]["__proto__"] = program
        case 5:
            program[rng.choice(["inputs", "outputs"])] = {"logits": rng.choice(["nothing", "__proto__", "ids"])}
        case 6:
            plan["programs"] |= {f"p{number}": program for number in range(300)}


def control(plan: Json, rng: Random) -> None:
    name, chosen = _buffer(plan, rng, "control")
    match rng.randrange(5):
        case 0:
            del plan["buffers"][name]
        case 1:
            plan["buffers"]["another"] = dict(chosen)
        case 2:
            chosen["bytes"] = rng.choice([4, 8, 12, 2**28, 2**40])
        case 3:
            chosen["role"] = rng.choice(["ids", "step", "sampling", "sampled", "media", "slots", "visible", "queen"])
        case 4:
            one, two = (_buffer(plan, rng, "control")[1] for _ in range(2))
            one["role"], two["role"] = two["role"], one["role"]


def rows(plan: Json, rng: Random) -> None:
    """Per-layer embeddings on the host."""
    chosen = _buffer(plan, rng, "rows")[1]
    field = rng.choice(["rows", "row_bytes", "slots", "replacement", "offset", "replaced", "bytes"])
    chosen[field] = [2**32, -1, 10**9] if field == "replaced" else rng.choice([0, 1, 2, 2**20, 2**31, 2**53, -1])


def ring(plan: Json, rng: Random) -> None:
    chosen = plan["buffers"]["kv.0:keys"]
    match rng.randrange(3):
        case 0:
            chosen["ring"] = {"rows": rng.choice([0, -1, 1, 2**31]), "window": rng.choice([0, -5, 1, 2**31])}
        case 1:
            chosen["bytes"] = rng.choice(
                [4, ["-", "C", 512], ["*", "C", 2**30], ["min", 0, "C"], ["*", "T", 16], 70_000]
            )
        case 2:
            chosen["scale"] = rng.choice([0, -1.0, 1e308, float("nan"), "2"])


def limits(plan: Json, rng: Random) -> None:
    match rng.randrange(3):
        case 0:
            for name in plan["limits"]:
                plan["limits"][name] = rng.choice([0, -1, 1, 2**31, 2**40, 2**53, 2**64])
        case 1:
            plan["limits"][rng.choice(list(plan["limits"]))] = rng.choice([2**32, 2**53, 0, 1, None, 0.5, 10**40])
        case 2:
            plan["features"] = rng.choice(
                [["subgroups"], ["shader-f16"] * 3, ["timestamp-query"], [None], "shader-f16"]
            )


def constants(plan: Json, rng: Random) -> None:
    kernel = rng.choice([one for one in plan["kernels"].values() if one["forms"][0].get("constants")])
    for form in kernel["forms"]:
        found = form["constants"]
        bad = rng.choice([0, -1, 0.5, 2**32, 1e308, float("nan"), float("inf"), 65536, 2**31 - 1, "8", None])
        match rng.randrange(3):
            case 0:
                found[rng.choice(list(found))] = bad
            case 1:
                found[rng.choice(["NOTHING", "", "0", "65536", "\u0000", "__proto__", "a b"])] = bad
            case 2:
                del found[rng.choice(list(found))]


def text(mutant: Mutant, rng: Random) -> None:
    state = rng.random()
    for name in TEXT_PLANS:
        mutant.put(name, damage_text(mutant.read(name), Random(state)))


def sizes_of_model(plan: Json, rng: Random) -> None:
    name = rng.choice(["vocabulary", "context", "sampled_ring"])
    plan[name] = rng.choice([0, 1, -1, 3, 2**20, 2**31, 2**32, 2**53, 10**30, 0.5, None])


def strings(plan: Json, rng: Random) -> None:
    """Labels and names that errors quote."""
    bad = rng.choice(TEXTS)
    chosen = _dispatch(plan, rng)
    chosen["label"] = bad
    match rng.randrange(3):
        case 0:
            chosen["kernel"] = bad
        case 1:
            chosen["bindings"][0] = bad
        case 2:
            plan["kernels"][chosen["kernel"]]["forms"][-1]["entry_point"] = bad


def depth(plan: Json, rng: Random) -> None:
    node, key = shallow(plan, rng)
    node[key] = deep(rng)


KINDS = {
    "number, type and absence": either(each(number), each(sizes_of_model), each(type_), each(absent)),
    "text and double keys": either(text, names),
    "size": each(size),
    "grid": each(grid),
    "depth": either(each(expression_depth), each(depth)),
    "binding": each(binding),
    "params and layout": either(each(params), each(layout)),
    "exchange": each(exchange),
    "file": each(file),
    "offset and rows": either(each(offset), each(rows)),
    "programs": each(programs),
    "control and ring": either(each(control), each(ring)),
    "limits and constants": either(each(limits), each(constants)),
    "strings": each(strings),
}
