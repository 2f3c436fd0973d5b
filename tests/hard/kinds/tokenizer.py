"""tokenizer.json; the manifest has its digest."""

from collections.abc import Callable
from random import Random

from tests.hard.hostile import NUMBERS, TEXTS, damage_text, is_number, other, shallow
from tests.hard.kind import either
from tests.hard.mutant import Json, Mutant

NAME = "tokenizer.json"
EXPRESSIONS = (
    "(a+)+$",
    "(a|a)*b",
    "(.*.*)*x",
    "(\\w+\\s?)*$",
    "((a{1,1000}){1,1000}){1,1000}",
    "(?:(?:(?:.?){30}){30}){30}",
    "(?=(.*)*)z",
    "[",
    "(?P<name>a)",
    "(?<!a+)b",
    "\\p{Nothing}",
    "(" * 5000 + ")" * 5000,
    "",
    "(?i)(?x)",
    "\\1",
)


def each(change: Callable[[Json, Random], None]) -> Callable[[Mutant, Random], None]:
    def kind(mutant: Mutant, rng: Random) -> None:
        tree = mutant.json(NAME)
        change(tree, rng)
        mutant.put_json(NAME, tree)

    return kind


def _outer(tree: Json, rng: Random) -> tuple[Json, str]:
    node = rng.choice([tree, tree, tree["model"], tree["normalizer"], tree["pre_tokenizer"], tree["decoder"]])
    return node, rng.choice(list(node))


def type_(tree: Json, rng: Random) -> None:
    node, key = _outer(tree, rng) if rng.random() < 0.6 else shallow(tree, rng)
    node[key] = other(node[key], rng) if rng.random() < 0.7 or not is_number(node[key]) else rng.choice(NUMBERS)


def absent(tree: Json, rng: Random) -> None:
    node, key = _outer(tree, rng) if rng.random() < 0.7 else shallow(tree, rng)
    del node[key]


def expression(tree: Json, rng: Random) -> None:
    """Expressions that take time without end on a short text, and some that are none."""
    pattern = {"Regex": rng.choice(EXPRESSIONS)}
    where = rng.randrange(4)
    # Text on which the expressions above take forever, from any prompt.
    choke = {"type": "Replace", "pattern": {"Regex": "^"}, "content": "a" * 60 + " "}
    if where == 0:
        tree["normalizer"] = {
            "type": "Sequence",
            "normalizers": [choke, {"type": "Replace", "pattern": pattern, "content": "x"}],
        }
    elif where == 1:
        tree["normalizer"] = choke
        tree["pre_tokenizer"] = {
            "type": "Split",
            "pattern": pattern,
            "behavior": "Isolated",
            "invert": rng.random() < 0.5,
        }
    elif where == 2:
        tree["decoder"] = {"type": "Replace", "pattern": pattern, "content": "x"}
    else:
        tree["normalizer"] = {"type": "Prepend", "prepend": "a" * 60}
        tree["pre_tokenizer"] = {"type": "Split", "pattern": pattern, "behavior": "Removed", "invert": False}


def growth(tree: Json, rng: Random) -> None:
    """Texts that grow while they are normalised."""
    double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    match rng.randrange(4):
        case 0:
            tree["normalizer"] = {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 1_000_000}
        case 1:
            start = {"type": "Prepend", "prepend": "a"}
            tree["normalizer"] = {"type": "Sequence", "normalizers": [start, *[double] * 40]}
        case 2:
            tree["normalizer"] = {"type": "Prepend", "prepend": "word " * 1_000_000}
        case 3:
            tree["decoder"] = {"type": "Replace", "pattern": {"Regex": "."}, "content": "y" * 5_000_000}


def ids(tree: Json, rng: Random) -> None:
    vocabulary, added = tree["model"]["vocab"], tree["added_tokens"]
    word = rng.choice([name for name in vocabulary if len(name) == 1])
    match rng.randrange(8):
        case 0:
            tree["model"]["vocab"] = {
                name: number + rng.choice([100_000, 2**31, 2**32 - 3000]) for name, number in vocabulary.items()
            }
        case 1:
            for name in "hi":
                vocabulary[name] = rng.choice([-1, 2**32, 10**20, 0.5, "3", None, 5000])
        case 2:
            tree["model"]["vocab"] = dict.fromkeys(vocabulary, 0)
        case 3:
            tree["model"]["merges"] = rng.choice(
                [[["no", "such"]], ["a"], [[]], [["a", "b", "c"]], "a b", [["h", "i"]] * 100_000]
            )
        case 4:
            rng.choice(added)["content"] = rng.choice(["", word, "hi", "user", "\u0000", "<|turn>", "x" * 100_000])
        case 5:
            rng.choice(added)["id"] = rng.choice([-1, 2**31, 2**32, 1.5, None, "a", 100_000])
        case 6:
            tree["model"]["vocab"] = {}
            tree["model"]["merges"] = []
        case 7:
            tree["model"]["unk_token"] = rng.choice([None, "no such token", 7, ""])
            tree["model"]["byte_fallback"] = False
            vocabulary.pop("h", None)


def parts(tree: Json, rng: Random) -> None:
    """Steps of the pipeline of other kinds, or nested in themselves."""
    nested: Json = {"type": "Replace", "pattern": {"String": "q"}, "content": "q"}
    for _ in range(rng.choice([10, 100])):
        nested = {"type": "Sequence", "normalizers": [nested]}
    steps: list[Json] = [
        nested,
        {"type": "Nothing"},
        {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
        {"type": "Sequence", "normalizers": [], "pretokenizers": [], "decoders": []},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "Metaspace", "replacement": "too long", "prepend_scheme": "always"},
        {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False},
        {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
        {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        None,
    ]
    tree[rng.choice(["normalizer", "pre_tokenizer", "decoder", "post_processor"])] = rng.choice(steps)
    if rng.random() < 0.3:
        tree["model"]["type"] = rng.choice(["Unigram", "WordPiece", "WordLevel", "Nothing"])


def strings(tree: Json, rng: Random) -> None:
    """Tokens that are printed when they are sampled."""
    bad = rng.choice(TEXTS)
    renamed = {}
    for name, number in tree["model"]["vocab"].items():
        renamed[f"{bad}{number}" if number > 23 and rng.random() < 0.5 else name] = number
    tree["model"]["vocab"] = renamed
    tree["model"]["merges"] = []


def text(mutant: Mutant, rng: Random) -> None:
    mutant.put(NAME, damage_text(mutant.read(NAME), rng))


KINDS = {
    "type and absence": either(each(type_), each(absent)),
    "expression": each(expression),
    "growth": each(growth),
    "ids": each(ids),
    "parts": each(parts),
    "strings and text": either(each(strings), text),
}
