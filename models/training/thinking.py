"""Small tasks the model can do by writing down its steps: sums, lists and letters."""

from random import Random

from .conversation import Turn, spoken
from .words import ITEMS

NEEDS_THINKING = "That takes me a thought. Turn thinking on and ask again."
"""The answer to such a task when thinking is off."""


def addition(a: int, b: int) -> tuple[str, str]:
    """Column addition from the right, as thought and answer."""
    steps, carry, digits = [], 0, ""
    left, right = str(a), str(b)
    width = max(len(left), len(right))
    for x, y in zip(reversed(left.zfill(width)), reversed(right.zfill(width)), strict=True):
        total = int(x) + int(y) + carry
        steps.append(f"{x} + {y} + {carry} = {total}, write {total % 10}, carry {total // 10}")
        carry, digits = total // 10, str(total % 10) + digits
    digits = (str(carry) if carry else "") + digits
    return "\n".join(steps), f"{a} + {b} = **{digits}**"


def _sum(rng: Random) -> Turn:
    a, b = rng.randrange(10, 1000), rng.randrange(2, 1000)
    way = rng.choice(
        ("what is {} + {}", "what is {} plus {}", "how much is {} and {}", "add {} and {}", "{} + {}", "{}+{}")
    )
    thought, answer = addition(a, b)
    return Turn(spoken(rng, way.format(a, b)), answer, thought)


def _listed(rng: Random, least: int, most: int) -> tuple[list[str], str]:
    items = rng.sample(ITEMS, rng.randrange(least, most + 1))
    text = ", ".join(items)
    if rng.random() < 0.4:
        text = ", ".join(items[:-1]) + " and " + items[-1]
    return items, text


def _list_task(rng: Random, way: str, text: str) -> str:
    return f"{way}: {text}" + rng.choice(("", "", ".", "?"))


def _count(rng: Random) -> Turn:
    items, text = _listed(rng, 2, 8)
    way = rng.choice(
        ("how many things are these", "How many things do I have", "Count these", "count the words", "How many")
    )
    steps = "\n".join(f"{number} {item}" for number, item in enumerate(items, 1))
    return Turn(_list_task(rng, way, text), f"There are **{len(items)}**.", steps)


def _reverse(rng: Random) -> Turn:
    items, text = _listed(rng, 2, 6)
    way = rng.choice(
        ("Reverse this list", "reverse these", "Say these backwards", "Turn this list around", "backwards")
    )
    steps = "\n".join(f"{number} {item}" for number, item in enumerate(items, 1))
    return Turn(_list_task(rng, way, text), ", ".join(reversed(items)), steps)


def _largest(rng: Random) -> Turn:
    numbers = rng.sample(range(1, 100), rng.randrange(2, 5))
    largest = rng.random() < 0.5
    word = rng.choice(("largest", "biggest", "greatest") if largest else ("smallest", "least"))
    ask = rng.choice(("Which is the {}", "Which number is the {}", "what is the {} of these", "find the {}"))
    best, steps = numbers[0], [str(numbers[0])]
    for number in numbers[1:]:
        best = max(best, number) if largest else min(best, number)
        steps.append(f"{number}, best {best}")
    answer = f"The {'largest' if largest else 'smallest'} is **{best}**."
    return Turn(_list_task(rng, ask.format(word), ", ".join(map(str, numbers))), answer, "\n".join(steps))


def _letters(rng: Random) -> Turn:
    word = rng.choice(ITEMS)
    way = rng.choice(
        (
            "how many letters are in {}",
            "how many letters does {} have",
            "count the letters of {}",
            "how long is the word {}",
        )
    )
    steps = "\n".join(f"{number} {letter}" for number, letter in enumerate(word, 1))
    return Turn(spoken(rng, way.format(word)), f"{word.capitalize()} has **{len(word)}** letters.", steps)


def _spell(rng: Random) -> Turn:
    word = rng.choice(ITEMS)
    way = rng.choice(("spell {}", "spell the word {}", "how do you spell {}", "how is {} spelled"))
    steps = "\n".join(f"{number} {letter}" for number, letter in enumerate(word, 1))
    return Turn(spoken(rng, way.format(word)), "-".join(word.upper()), steps)


def task(rng: Random) -> Turn:
    """One of the small tasks."""
    return rng.choice((_sum, _sum, _sum, _count, _reverse, _largest, _letters, _spell))(rng)


def tiny_sum(rng: Random) -> Turn:
    """A sum of two digits, which the model knows by heart."""
    a, b = rng.randrange(10), rng.randrange(10)
    way = rng.choice(("what is {} + {}", "what is {} plus {}", "how much is {} and {}", "{} + {}", "{}+{}"))
    return Turn(spoken(rng, way.format(a, b)), f"{a} + {b} = **{a + b}**", f"I know that {a} + {b} = {a + b}.")
