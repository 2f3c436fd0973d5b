"""The JSON files beside the model; the manifest has their digests."""

from random import Random

from tests.hard.hostile import KEYS, NUMBERS, TEXTS, damage_text, deep, other, shallow
from tests.hard.kind import either
from tests.hard.mutant import Json, Mutant, Raw

GENERATION = "generation_config.json"
TOKENIZER = "tokenizer_config.json"
ALL = (GENERATION, TOKENIZER, "config.json", "processor_config.json", "preprocessor_config.json")


def sampling(mutant: Mutant, rng: Random) -> None:
    tree = mutant.json(GENERATION)
    bad: list[Json] = [
        -5,
        -0.5,
        0,
        1e999,
        2**32,
        2**40,
        2**53,
        float("nan"),
        "hot",
        None,
        True,
        [],
        {},
        Raw("1e999"),
        0.5,
    ]
    for name in rng.sample(["temperature", "top_k", "top_p"], rng.choice([1, 1, 3])):
        tree[name] = rng.choice(bad)
    mutant.put_json(GENERATION, tree)


def ends(mutant: Mutant, rng: Random) -> None:
    tree = mutant.json(GENERATION)
    bad: list[Json] = [
        None,
        [],
        -1,
        [-1],
        2**32,
        [2**53],
        0.5,
        "1",
        ["1"],
        [[1]],
        {},
        [1] * 100_000,
        10**30,
        True,
        [None],
    ]
    tree["eos_token_id"] = rng.choice(bad)
    mutant.put_json(GENERATION, tree)


def special_tokens(mutant: Mutant, rng: Random) -> None:
    """bos_token and its like, which templates and towers read."""
    tree = mutant.json(TOKENIZER)
    names = [name for name in tree if name.endswith("_token")]
    for name in rng.sample(names, rng.choice([1, len(names), len(names)])):
        tree[name] = rng.choice([None, 7, [], {}, {"content": 3}, {"content": {"content": "x"}}, *TEXTS])
    mutant.put_json(TOKENIZER, tree)


def _drawn(mutant: Mutant, rng: Random) -> str:
    return rng.choice([name for name in ALL if (mutant.seed / name).exists()])


def values(mutant: Mutant, rng: Random) -> None:
    name = _drawn(mutant, rng)
    tree = mutant.json(name)
    for _ in range(rng.choice([1, 1, 5])):
        node, key = shallow(tree, rng)
        node[key] = rng.choice([rng.choice(NUMBERS), other(node[key], rng)])
    mutant.put_json(name, tree)


def names(mutant: Mutant, rng: Random) -> None:
    name = _drawn(mutant, rng)
    tree = mutant.json(name)
    if rng.random() < 0.5 and tree:
        del tree[rng.choice(list(tree))]
    tree[rng.choice(KEYS)] = rng.choice([1, None, "x", {}, deep(rng)])
    mutant.put_json(name, tree)


def text(mutant: Mutant, rng: Random) -> None:
    name = _drawn(mutant, rng)
    mutant.put(name, damage_text(mutant.read(name), rng))


def parity(mutant: Mutant, rng: Random) -> None:
    """A report that no verification wrote."""
    contents = [b"null", b"[]", b"{}", b'{"cases": "many"}', b"[" * 100_000, b"\xff", b"", b'{"kl": 1e999}']
    mutant.put("parity.json", rng.choice(contents))


KINDS = {
    "sampling and ends": either(sampling, ends),
    "special tokens": special_tokens,
    "values, names and text": either(values, names, text, parity),
}
