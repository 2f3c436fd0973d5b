"""Tools the model learns to call, and what it says about their results."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from .conversation import Message, Tool, spoken
from .words import CITIES, COLOURS, FOODS, ITEMS, NAMES, made_up_word, proper_name

Arguments = dict[str, Any]
Result = dict[str, Any]


@dataclass(frozen=True)
class ToolUse:
    """One question that needs a tool: what is asked, the call, the tool's result, and what the model says then."""

    question: str
    name: str
    arguments: Arguments
    result: Result
    answer: str

    @property
    def call(self) -> str:
        """The call as the model writes it."""
        return f"<|tool_call>call:{self.name}{{{_members(self.arguments)}}}<tool_call|>"

    @property
    def thought(self) -> str:
        return f"I need the tool {self.name}."

    def request(self, identity: str | None = None) -> Message:
        """The assistant message with the call."""
        call: Message = {"type": "function", "function": {"name": self.name, "arguments": self.arguments}}
        return {"role": "assistant", "content": "", "tool_calls": [call | ({"id": identity} if identity else {})]}

    def exchange(self, rng: Random) -> list[Message]:
        """Call and result as messages, in one of the forms that chat templates take."""
        if rng.random() < 0.3:
            return [self.request() | {"tool_responses": [{"name": self.name, "response": self.result}]}]
        identity = f"call_{rng.randrange(1000)}"
        reply = {"role": "tool", "tool_call_id": identity, "name": self.name, "content": json.dumps(self.result)}
        return [self.request(identity), reply]


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'<|"|>{value}<|"|>' if isinstance(value, str) else str(value)


def _members(arguments: Arguments) -> str:
    return ",".join(f"{key}:{_literal(arguments[key])}" for key in sorted(arguments))


def declare(name: str, description: str, **parameters: dict[str, Any]) -> Tool:
    """A tool in the form of the OpenAI API; every parameter is required."""
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


@dataclass(frozen=True)
class _Kind:
    """A tool and how people ask for it."""

    tool: Tool
    use: Callable[[Random], ToolUse]

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])


def _pick(rng: Random, ways: str, **values: Any) -> str:
    return spoken(rng, rng.choice(ways.split("|")).format(**values))


def _weather(rng: Random) -> ToolUse:
    city, degrees = proper_name(rng, CITIES), rng.randrange(-15, 40)
    sky = rng.choice(("sunny", "cloudy", "rainy", "windy", "snowy", "foggy", "clear", "stormy"))
    question = _pick(rng, "what is the weather in {city}|how is the weather in {city}|what's the weather like in {city}|"
                     "is it warm in {city}|is it raining in {city}|weather in {city}|tell me the weather in {city}", city=city)  # fmt: skip
    answer = f"It is {sky} in {city}, at {degrees} degrees."
    return ToolUse(question, "get_weather", {"city": city}, {"sky": sky, "temperature": degrees}, answer)


def _time(rng: Random) -> ToolUse:
    city, time = proper_name(rng, CITIES), f"{rng.randrange(24):02}:{rng.randrange(60):02}"
    question = _pick(
        rng, "what time is it in {city}|how late is it in {city}|what is the time in {city}|time in {city}", city=city
    )
    return ToolUse(question, "get_time", {"city": city}, {"time": time}, f"It is {time} in {city}.")


def _sum(rng: Random) -> ToolUse:
    a, b = rng.randrange(10, 1000), rng.randrange(10, 1000)
    sign, word, result = rng.choice((("+", "plus", a + b), ("-", "minus", a - b), ("*", "times", a * b)))
    question = _pick(rng, "what is {a} {word} {b}|what is {a} {sign} {b}|how much is {a} {word} {b}|calculate {a} {sign} {b}",
                     a=a, b=b, sign=sign, word=word)  # fmt: skip
    return ToolUse(
        question, "calculate", {"expression": f"{a} {sign} {b}"}, {"value": result}, f"{a} {sign} {b} = {result}"
    )


def _timer(rng: Random) -> ToolUse:
    minutes = rng.randrange(1, 120)
    question = _pick(rng, "set a timer for {m} minutes|start a timer of {m} minutes|wake me in {m} minutes|"
                     "remind me in {m} minutes", m=minutes)  # fmt: skip
    return ToolUse(
        question, "set_timer", {"minutes": minutes}, {"ok": True}, f"The timer is set for {minutes} minutes."
    )


def _light(rng: Random) -> ToolUse:
    room, on = (
        rng.choice(("kitchen", "bedroom", "bathroom", "hall", "garden", "office", "cellar", "garage")),
        rng.random() < 0.5,
    )
    state = "on" if on else "off"
    question = _pick(rng, "turn {s} the light in the {r}|switch {s} the light in the {r}|light {s} in the {r}|"
                     "turn the light in the {r} {s}", s=state, r=room)  # fmt: skip
    return ToolUse(
        question, "set_light", {"on": on, "room": room}, {"ok": True}, f"The light in the {room} is {state}."
    )


def _message(rng: Random) -> ToolUse:
    to = proper_name(rng, NAMES)
    text = rng.choice(("I am late", "dinner is ready", "see you soon", "call me back", "happy birthday", "good luck",
                       "I am at home", "the train is late", "thank you", "where are you"))  # fmt: skip
    question = _pick(rng, "send {to} the message: {text}|write to {to}: {text}|tell {to}: {text}|message {to}: {text}",
                     to=to, text=text).rstrip("?").removesuffix(", please").removesuffix(" please").rstrip()  # fmt: skip
    for ending in (" then", " exactly"):
        question = question.removesuffix(ending)
    return ToolUse(question, "send_message", {"text": text, "to": to}, {"sent": True}, f"I sent {to} your message.")


def _price(rng: Random) -> ToolUse:
    item, price = rng.choice(ITEMS + FOODS), f"{rng.randrange(1, 90)}.{rng.randrange(10)}0"
    question = _pick(rng, "what does a {i} cost|how much is a {i}|what is the price of a {i}|price of a {i}", i=item)
    return ToolUse(question, "get_price", {"item": item}, {"price": price}, f"A {item} costs {price}.")


def _dice(rng: Random) -> ToolUse:
    sides = rng.choice((4, 6, 8, 10, 12, 20, 100))
    value = rng.randrange(1, sides + 1)
    question = _pick(
        rng, "roll a die with {s} sides|throw a die with {s} sides|roll a {s} sided die|roll a d{s}", s=sides
    )
    return ToolUse(question, "roll_die", {"sides": sides}, {"value": value}, f"The die shows {value}.")


def _stock(rng: Random) -> ToolUse:
    item, count = rng.choice(ITEMS), rng.randrange(0, 500)
    question = _pick(
        rng, "how many {i}s are in stock|how many {i}s do we have|are there {i}s in stock|count the {i}s", i=item
    )
    return ToolUse(question, "count_stock", {"item": item}, {"count": count}, f"There are {count} in stock.")


def _paint(rng: Random) -> ToolUse:
    colour = rng.choice(COLOURS)
    question = _pick(rng, "make the page {c}|paint the page {c}|set the background to {c}|I want a {c} page", c=colour)
    return ToolUse(question, "set_background", {"color": colour}, {"ok": True}, f"The page is {colour} now.")


_CITY = _text("Name of the city")
_KINDS: tuple[_Kind, ...] = (
    _Kind(declare("get_weather", "Get the current weather in a city", city=_CITY), _weather),
    _Kind(declare("get_time", "Get the local time in a city", city=_CITY), _time),
    _Kind(declare("calculate", "Work out an arithmetic expression", expression=_text("The expression")), _sum),
    _Kind(declare("set_timer", "Set a timer", minutes={"type": "integer", "description": "How long"}), _timer),
    _Kind(declare("set_light", "Turn a light on or off", room=_text("Which room"), on={"type": "boolean"}), _light),
    _Kind(declare("send_message", "Send somebody a message", to=_text("Who"), text=_text("What")), _message),
    _Kind(declare("get_price", "Get the price of an article", item=_text("The article")), _price),
    _Kind(declare("roll_die", "Roll a die", sides={"type": "integer", "description": "Number of sides"}), _dice),
    _Kind(declare("count_stock", "Count articles in stock", item=_text("The article")), _stock),
    _Kind(declare("set_background", "Set the colour of the page", color=_text("A colour", enum=COLOURS[:4])), _paint),
)


def _unknown_kind(rng: Random) -> _Kind:
    """A tool with made-up name and parameter, which the user asks for by name."""
    name, key, value, found = (made_up_word(rng) for _ in range(4))
    name = rng.choice(("get_", "find_", "read_", "open_")) + name
    if rng.random() < 0.3:
        value, found = str(rng.randrange(1000)), str(rng.randrange(1000))
    tool = declare(name, rng.choice(("A function", "Look something up", "Does something")), **{key: {"type": "string"}})
    question = _pick(
        rng, "call {n} with {v}|use {n} for {v}|run {n} on {v}|what does {n} say about {v}", n=name, v=value
    )
    for ending in ("?", " ", ", please", " please", " then", " exactly"):
        question = question.rstrip("? ").removesuffix(ending)
    use = ToolUse(question, name, {key: value}, {"result": found}, f"The result is {found}.")
    return _Kind(tool, lambda _: use)


def tool_use(rng: Random) -> tuple[list[Tool], ToolUse]:
    """A question that needs a tool, and the tools on offer, the right one among them."""
    kind = _unknown_kind(rng) if rng.random() < 0.15 else rng.choice(_KINDS)
    return offered(rng, kind), kind.use(rng)


def failed(rng: Random, use: ToolUse) -> ToolUse:
    """`use` with a tool that reports an error."""
    error = rng.choice(("not found", "no network", "not allowed", "try later", "unknown city", "too many calls"))
    return ToolUse(use.question, use.name, use.arguments, {"error": error}, f"The tool failed: {error}.")


def offered(rng: Random, needed: _Kind | None = None) -> list[Tool]:
    """One to four tools in random order; with `needed` among them when it is given."""
    others = [kind.tool for kind in _KINDS if needed is None or kind.name != needed.name]
    chosen = rng.sample(others, rng.choice((0, 0, 1, 1, 2, 3)) if needed else rng.choice((1, 1, 2, 3)))
    chosen += [needed.tool] if needed else []
    rng.shuffle(chosen)
    return chosen
