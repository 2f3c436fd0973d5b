"""gemtab.json. Nothing has a digest of it, so whatever is written here is read."""

from random import Random

from gemtab.bundle.manifest import MANIFEST_NAME
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
    is_text,
    other,
    shallow,
)
from tests.hard.kind import either
from tests.hard.mutant import Mutant, Raw

USED = ("plan/tables.bin", "tokenizer.json", "chat_template.jinja", "generation_config.json", "tokenizer_config.json")
"""Files without which nobody runs the text model."""


def number(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    node, key = shallow(tree, rng, is_number)
    node[key] = rng.choice(NUMBERS)
    mutant.write_manifest(tree)


def type_(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    node, key = shallow(tree, rng)
    node[key] = other(node[key], rng)
    mutant.write_manifest(tree)


def absent(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    node, key = shallow(tree, rng)
    del node[key]
    mutant.write_manifest(tree)


def names(mutant: Mutant, rng: Random) -> None:
    """Names that are not known, and names that stand twice."""
    tree = mutant.manifest
    if rng.random() < 0.5:
        mutant.changed[MANIFEST_NAME] = duplicate_key(mutant.read(MANIFEST_NAME).decode(), rng).encode()
        return
    node = rng.choice([tree, tree["source"], tree["files"], tree["plans"][0], tree["plans"][0]["memory"]])
    key = rng.choice(KEYS)
    node[key] = rng.choice([None, 1, {}, "x", next(iter(tree["files"].values()))])
    mutant.write_manifest(tree)


def path(mutant: Mutant, rng: Random) -> None:
    """The location of a plan, or the name of a file that is listed."""
    tree = mutant.manifest
    bad = rng.choice(PATHS)
    if rng.random() < 0.5:
        for plan in tree["plans"]:
            plan["file"] = bad
    else:
        tree["files"][bad] = tree["files"]["plan/f32.json"]
    mutant.write_manifest(tree)


def digest_count(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    record = tree["files"][rng.choice(USED)]
    digest = record["sha256"][0]
    record["sha256"] = rng.choice(
        [[], [digest] * 2, [digest] * 100_000, [None], [digest.upper()], digest, [digest[:-1]]]
    )
    mutant.write_manifest(tree)
    mutant.refused = True


def slices(mutant: Mutant, rng: Random) -> None:
    """Their size, for all files."""
    tree = mutant.manifest
    size = rng.choice([1, 2, 0, -1, 2**53, 2**63, 0.5, 16 << 30, None, 1000])
    for name in rng.choice([list(tree["files"]), [rng.choice(USED)], ["onnx/decoder_model_merged_q4.onnx_data"]]):
        tree["files"][name]["slice_bytes"] = size
    mutant.write_manifest(tree)


def wrong_digest(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    record = tree["files"][rng.choice(USED)]
    digest = record["sha256"][0]
    record["sha256"] = [rng.choice(["0" * 64, digest[::-1], digest[1:] + digest[0]])]
    mutant.write_manifest(tree)
    mutant.refused = True


def wrong_length(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    record = tree["files"][rng.choice(USED)]
    length = record["bytes"]
    record["bytes"] = rng.choice([length - 1, length + 1, 0, 2 * length, 2**40, 2**53, -length])
    mutant.write_manifest(tree)
    mutant.refused = True


def memory(mutant: Mutant, rng: Random) -> None:
    """Sums that are not those of the plans."""
    tree = mutant.manifest
    levels = rng.choice([10, 2000])
    nested = Raw('["+",' * levels + '"C"' + ",1]" * levels)
    wrong = rng.choice([0, 1, 2**31, 2**53, -1, ["-", 0, "C"], ["*", "C", 2**60], ["/", "C", 2], "Z", ["+", 1], nested])
    field = rng.choice(["weights", "embeddings", "rows", "state", "scratch"])
    for plan in tree["plans"]:
        plan["memory"][field] = wrong
    mutant.write_manifest(tree)


def lying_memory(mutant: Mutant, rng: Random) -> None:
    """The plan takes a gigabyte of which the manifest says nothing."""

    def change(plan: dict, _: Random) -> None:  # type: ignore[type-arg]
        plan["limits"]["maxBufferSize"] = plan["limits"]["maxStorageBufferBindingSize"] = 1 << 30
        if rng.random() < 0.5:
            plan["slots"][0] = 1 << 30
        else:
            plan["buffers"]["kv.0:keys"]["bytes"] = 1 << 30

    mutant.each_plan(rng, change, sums=False)


def many(mutant: Mutant, rng: Random) -> None:
    """More of something than anybody needs."""
    tree = mutant.manifest
    record = tree["files"]["plan/tables.bin"]
    match rng.randrange(5):
        case 0:
            tree["files"] |= {f"file{number}": record for number in range(100_000)}
        case 1:
            tree["notes"] = ["a note"] * 200_000
        case 2:
            tree["inputs"] = ["text"] * 300_000
        case 3:
            tree["plans"] = tree["plans"] * 5000
        case 4:
            tree["source"]["adapters"] = ["adapter"] * 200_000
    mutant.write_manifest(tree)


def text(mutant: Mutant, rng: Random) -> None:
    mutant.changed[MANIFEST_NAME] = damage_text(mutant.read(MANIFEST_NAME), rng)


def depth(mutant: Mutant, rng: Random) -> None:
    tree = mutant.manifest
    node, key = shallow(tree, rng)
    levels = rng.choice(DEPTHS)
    node[key] = deep(rng) if rng.random() < 0.6 else Raw('["+",' * levels + '"C"' + ",1]" * levels)
    mutant.write_manifest(tree)


def strings(mutant: Mutant, rng: Random) -> None:
    """Texts that are printed: markup, escape sequences, lone surrogates, texts of any length."""
    tree = mutant.manifest
    tree["licence"] = None
    del tree["licence"]
    bad = rng.choice(TEXTS)
    if rng.random() < 0.7:
        node, key = tree["source"], rng.choice(["name", "repository", "model_type", "licence"])
        node[key] = bad
    elif rng.random() < 0.5:
        tree["notes"] = [bad]
    else:
        node, key = shallow(tree, rng, is_text)
        node[key] = bad
    mutant.write_manifest(tree)


def shape(mutant: Mutant, rng: Random) -> None:
    """Known words where they make no sense."""
    tree = mutant.manifest
    match rng.randrange(9):
        case 0:
            tree["plans"] = []
        case 1:
            tree["plans"], tree["draft"] = [], {"file": "onnx/none.onnx", "target_hidden": 64}
        case 2:
            tree["plans"][0]["file"], tree["plans"][1]["file"] = (
                tree["plans"][1]["file"],
                tree["plans"][0]["file"],
            )
        case 3:
            tree["context"] = rng.choice([0, -1, 1, 2, 2**31, 10**15])
        case 4:
            for plan in tree["plans"]:
                plan["tokens"] = rng.choice([1, 2**31, 2**53])
        case 5:
            tree["inputs"] = rng.choice([[], ["image"], ["smell"], ["text", "text"]])
        case 6:
            tree["towers"] = {"image": tree["plans"], "audio": tree["plans"]}
        case 7:
            tree["format"] = rng.choice([0, 2, 1.0, "1", True, 10**30])
        case 8:
            tree["plans"] = [tree["plans"][0]] * 3
            tree["plans"][0]["features"] = ["subgroups", "shader-f16", "subgroups"]
    mutant.write_manifest(tree)


KINDS = {
    "number, type and absence": either(number, type_, absent),
    "strings and keys": either(strings, names),
    "path": path,
    "digests and slices": either(digest_count, slices, wrong_digest, wrong_length),
    "memory": either(memory, lying_memory),
    "many": many,
    "text": text,
    "depth": depth,
    "shape": shape,
}
