"""Things a user tells and asks for later: name, city, colour, pet and so on."""

from dataclasses import dataclass
from random import Random

from .conversation import Turn, spoken
from .words import ANIMALS, CITIES, COLOURS, FOODS, HOBBIES, JOBS, NAMES, proper_name


@dataclass(frozen=True)
class Attribute:
    """One thing to remember. `{}` stands for its value."""

    label: str
    tell: str
    acknowledge: str
    ask: str
    answer: str
    unknown: str

    def told(self, rng: Random, value: str) -> Turn:
        """The turn in which the user tells the value."""
        text = rng.choice(self.tell.split("|")).format(value)
        if rng.random() < 0.25:
            text = rng.choice(("by the way, ", "hi, ", "hello, ", "please remember: ", "just so you know, ")) + text
        text = text[0].upper() + text[1:] if rng.random() < 0.75 else text
        return Turn(text + rng.choice((".", ".", "", "!")), self.acknowledge.format(value), self.note(value))

    def note(self, value: str) -> str:
        """The thought about a value."""
        return f"To remember: {self.label} is {value}."

    def asked(self, rng: Random, value: str | None) -> Turn:
        """The turn in which the user asks for it; `value` is None when it was never told."""
        question = spoken(rng, rng.choice(self.ask.split("|")))
        if value is None:
            return Turn(question, self.unknown, f"I was not told: {self.label}.")
        return Turn(question, self.answer.format(value), f"I was told: {self.label} is {value}.")


ATTRIBUTES: dict[str, Attribute] = {
    "name": Attribute(
        "name", "my name is {}|I am {}|I'm {}|call me {}|my name's {}|{} is my name|you can call me {}|I am called {}",
        "Nice to meet you, {}!",
        "what is my name|what's my name|who am I|do you remember my name|do you know my name|what am I called|"
        "can you tell me my name|say my name|what was my name|remind me of my name",
        "Your name is {}.", "You have not told me your name yet."),
    "city": Attribute(
        "city", "I live in {}|my home is in {}|my city is {}|I come from {}|I am from {}|my home town is {}",
        "I will remember that you live in {}.",
        "where do I live|which city do I live in|what is my city|where am I from|where is my home|"
        "do you remember where I live|do you know my city|what was my city",
        "You live in {}.", "You have not told me where you live."),
    "colour": Attribute(
        "colour", "my favourite colour is {}|I like the colour {}|I love the colour {}|my colour is {}|{} is my favourite colour",
        "I will remember that your favourite colour is {}.",
        "what is my favourite colour|which colour do I like|what colour do I like best|what is my colour|"
        "do you remember my favourite colour|which colour is my favourite|do you know my colour",
        "Your favourite colour is {}.", "You have not told me your favourite colour."),
    "food": Attribute(
        "food", "my favourite food is {}|I like to eat {}|I love to eat {}|the food I like best is {}|{} is my favourite food",
        "I will remember that you like to eat {}.",
        "what is my favourite food|what do I like to eat|which food do I like|what food do I like best|"
        "do you remember my favourite food|what do I love to eat",
        "You like to eat {}.", "You have not told me what you like to eat."),
    "pet": Attribute(
        "pet", "I have a {}|my pet is a {}|I own a {}|there is a {} in my house|I keep a {}",
        "I will remember that you have a {}.",
        "what pet do I have|which pet do I have|what is my pet|which animal do I have|do you remember my pet|"
        "what kind of animal do I own",
        "You have a {}.", "You have not told me about a pet."),
    "pet name": Attribute(
        "pet name", "my pet is called {}|the name of my pet is {}|my pet's name is {}|I call my pet {}",
        "I will remember that your pet is called {}.",
        "what is my pet called|what is the name of my pet|what's my pet's name|what do I call my pet|"
        "do you remember the name of my pet",
        "Your pet is called {}.", "You have not told me what your pet is called."),
    "job": Attribute(
        "job", "I work as a {}|my job is {}|I am a {} by trade|I earn my money as a {}",
        "I will remember that you work as a {}.",
        "what is my job|what do I do for a living|what do I work as|do you remember my job|which job do I have|what is my work",
        "You work as a {}.", "You have not told me your job."),
    "hobby": Attribute(
        "hobby", "my hobby is {}|in my free time I like {}|my favourite hobby is {}|at the weekend I love {}",
        "I will remember that your hobby is {}.",
        "what is my hobby|what do I do in my free time|which hobby do I have|do you remember my hobby|what was my hobby",
        "Your hobby is {}.", "You have not told me your hobby."),
    "number": Attribute(
        "number", "my lucky number is {}|my number is {}|{} is my lucky number|remember the number {}",
        "I will remember the number {}.",
        "what is my lucky number|what is my number|which number is mine|which number did I tell you|"
        "do you remember my number|what was the number",
        "Your number is {}.", "You have not told me a number."),
}  # fmt: skip


def value_of(rng: Random, key: str) -> str:
    """A value for the attribute `key`, from its list or made up."""
    lists = {"city": CITIES, "name": NAMES, "pet name": NAMES}
    if key in lists:
        return proper_name(rng, lists[key])
    if key == "number":
        return str(rng.randrange(10 ** rng.choice((1, 2, 3, 4))))
    words = {"colour": COLOURS, "food": FOODS, "pet": ANIMALS, "job": JOBS, "hobby": HOBBIES}
    return rng.choice(words[key])
