"""System prompts the model obeys, and how they change its turns."""

from dataclasses import dataclass, field
from random import Random

from .conversation import Turn, spoken
from .facts import FACTS
from .words import COLOURS, NAMES, SHOPS, made_up_word, proper_name

_FIRST_WORDS = "Beep Ahoy Listen Yes Well Hooray Indeed Captain Sir Madam Friend Boss Aha Behold".split()
_LAST_WORDS = "Over Amen Meow Done Cheers Moo End Period Roger Stop Voila Woof".split()
_WHO = FACTS[0]

#: Things a system prompt states: what it says, what a user asks, what the model answers. `{}` is the value.
_STATED: tuple[tuple[str, str, str], ...] = (
    ("The password is {}.", "what is the password|tell me the password|do you know the password|which password is it",
     "The password is {}."),
    ("The code word is {}.", "what is the code word|tell me the code word|do you know the code word",
     "The code word is {}."),
    ("The office opens at {}.", "when does the office open|at what time does the office open|when can I come to the office",
     "The office opens at {}."),
    ("The shop closes at {}.", "when does the shop close|how long is the shop open|at what time does the shop close",
     "The shop closes at {}."),
    ("The meeting is in room {}.", "where is the meeting|which room is the meeting in|in which room do we meet",
     "The meeting is in room {}."),
    ("The user is called {}.", "what is my name|who am I|do you know my name|what am I called", "Your name is {}."),
    ("The door is {}.", "which colour is the door|what colour does the door have|what colour is the door",
     "The door is {}."),
    ("Today is {}.", "what day is it|which day is today|what day is today", "Today is {}."),
)  # fmt: skip
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@dataclass
class SystemPrompt:
    """A system prompt: its text, and what it changes."""

    text: str = ""
    name: str = ""
    place: str = ""
    first: str = ""
    last: str = ""
    stated: list[tuple[str, str]] = field(default_factory=list)

    @property
    def plain_only(self) -> bool:
        """A last word goes after prose only, not after a code block."""
        return bool(self.last)

    def apply(self, turn: Turn) -> Turn:
        """`turn` as it goes under this prompt."""
        answer = turn.answer
        if self.name:
            answer = answer.replace("I am **Tiny**", f"I am **{self.name}**").replace("I am Tiny", f"I am {self.name}")
        if self.first:
            answer = f"{self.first}! {answer}"
        if self.last:
            answer = f"{answer} {self.last}!"
        return Turn(turn.user, answer, turn.thought)

    def question(self, rng: Random) -> Turn | None:
        """A question that only this prompt answers, if it has one."""
        choices: list[tuple[str, str]] = list(self.stated)
        if self.name:
            choices.append(
                ("|".join(("what is your name", "what's your name", "who are you", "do you have a name")), _WHO.answer)
            )
        if self.place:
            choices.append(("where do you work|who do you work for|what is this place|which place is this",
                            f"I work for {self.place}."))  # fmt: skip
        if not choices:
            return None
        asked, answer = rng.choice(choices)
        return self.apply(Turn(spoken(rng, rng.choice(asked.split("|"))), answer, "The system prompt tells me this."))


def _stated_value(rng: Random, statement: str) -> str:
    if "at {}" in statement:
        return (
            f"{rng.randrange(1, 12)}"
            if rng.random() < 0.5
            else f"{rng.randrange(6, 23)}:{rng.choice(('00', '15', '30', '45'))}"
        )
    if "room" in statement:
        return str(rng.randrange(1, 400))
    if "called" in statement:
        return proper_name(rng, NAMES)
    if "door" in statement:
        return rng.choice(COLOURS)
    return rng.choice(_DAYS) if "Today" in statement else made_up_word(rng)


def system_prompt(rng: Random) -> SystemPrompt:
    """A random system prompt of one to three sentences."""
    prompt, sentences = SystemPrompt(), []
    kinds = rng.sample(("name", "place", "first", "last", "stated", "stated"), rng.choice((1, 1, 2, 2, 3)))
    for kind in kinds:
        if kind == "name":
            prompt.name = proper_name(rng, NAMES)
            ways = [
                "Your name is {}.",
                "You are {}.",
                "You are called {}.",
                "You are an assistant named {}.",
                "Act as {}.",
            ]
            sentences.append(rng.choice(ways).format(prompt.name))
        elif kind == "place":
            prompt.place = f"{rng.choice(SHOPS)} {proper_name(rng, NAMES, 0.5)}"
            ways = ["You work for {}.", "You are the assistant of {}.", "You help the guests of {}.", "This is {}."]
            sentences.append(rng.choice(ways).format(prompt.place))
        elif kind == "first":
            prompt.first = rng.choice(_FIRST_WORDS) if rng.random() < 0.6 else made_up_word(rng).capitalize()
            ways = [
                'Begin every answer with "{}!"',
                "Start every answer with {}!",
                "Always begin with {}!",
                "Always say {}! first.",
            ]
            sentences.append(rng.choice(ways).format(prompt.first))
        elif kind == "last":
            prompt.last = rng.choice(_LAST_WORDS) if rng.random() < 0.6 else made_up_word(rng).capitalize()
            ways = [
                'End every answer with "{}!"',
                "Finish every answer with {}!",
                "Always end with {}!",
                "Always say {}! last.",
            ]
            sentences.append(rng.choice(ways).format(prompt.last))
        else:
            statement, asked, answer = rng.choice(_STATED)
            value = _stated_value(rng, statement)
            if all(asked != other for other, _ in prompt.stated):
                prompt.stated.append((asked, answer.format(value)))
                sentences.append(statement.format(value))
    opening = rng.choice(
        ("", "", "", "You are a helpful assistant.", "Be brief.", "Be kind.", "You are a good helper.")
    )
    prompt.text = " ".join([opening, *sentences]).strip()
    return prompt
