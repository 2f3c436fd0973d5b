"""Examples of every text task: what is trained on, and what is held out to measure."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from . import memory, smalltalk, systems, thinking, tools
from .conversation import Example, Message, Tool, Turn, assistant, history, user
from .systems import SystemPrompt
from .words import TOPICS, UNSEEN_TOPICS

#: Share of each task in training. The first eight are measured; the others keep their neighbours honest.
TASKS: dict[str, float] = {
    "greeting": 0.8,
    "fact": 1.5,
    "system": 3.0,
    "memory": 5.0,
    "off_subject": 1.2,
    "tool_call": 2.5,
    "tool_answer": 1.5,
    "thinking": 5.0,
    "tiny_sum": 2.0,
    "needs_thinking": 0.4,
    "unused_tools": 0.6,
}


@dataclass(frozen=True)
class Setting:
    """Settings of examples. topics: subjects that the model declines. short: leave out turns beside the task."""

    topics: list[str]
    short: bool = False


USUAL, SHORT, NEW_TOPICS = Setting(TOPICS), Setting(TOPICS, short=True), Setting(UNSEEN_TOPICS)
_NEUTRAL = ("You are a helpful assistant.", "You are a good helper.", "Be brief.", "Be kind.", "Answer the user.")


def _neutral_prompt(rng: Random) -> SystemPrompt:
    return SystemPrompt(text=rng.choice(_NEUTRAL) if rng.random() < 0.15 else "")


def _filler(rng: Random, prompt: SystemPrompt, setting: Setting) -> Turn:
    """A turn that has nothing to do with the task."""
    kind = rng.random()
    if kind < 0.3:
        turn = smalltalk.greeting(rng)
    elif kind < 0.75:
        turn = smalltalk.fact(rng, plain=prompt.plain_only)
    else:
        turn = smalltalk.off_subject(rng, setting.topics)
    if "what day" in turn.user.lower() and "Today" in prompt.text:
        return _filler(rng, prompt, setting)
    return prompt.apply(turn)


def _length(rng: Random, setting: Setting) -> int:
    """How many turns go before the one that matters: often none, now and then many."""
    if setting.short:
        return 0
    return rng.choice((0, 0, 0, 0, 1, 1, 2, 3, rng.randrange(4, 9), rng.randrange(8, 15)))


def _tool_length(rng: Random, setting: Setting) -> int:
    return 0 if setting.short else rng.choice((0, 0, 0, 1, 2, 4))


def _conversation(task: str, rng: Random, prompt: SystemPrompt, turns: list[Turn], think: float = 0.25) -> Example:
    """The example that asks for the answer of the last turn."""
    opening: list[Message] = [{"role": "system", "content": prompt.text}] if prompt.text else []
    *before, last = turns
    messages = [*opening, *history(before), user(last.user)]
    return Example(task, messages, last.answer, last.thought, thinking=rng.random() < think)


def _simple(task: str, rng: Random, setting: Setting) -> Example:
    prompt = _neutral_prompt(rng)
    makers = {
        "greeting": lambda: smalltalk.greeting(rng),
        "fact": lambda: smalltalk.fact(rng),
        "off_subject": lambda: smalltalk.off_subject(rng, setting.topics),
        "thinking": lambda: thinking.task(rng),
        "tiny_sum": lambda: thinking.tiny_sum(rng),
        "needs_thinking": lambda: thinking.task(rng),
    }
    turns = [_filler(rng, prompt, setting) for _ in range(_length(rng, setting))] + [makers[task]()]
    example = _conversation(
        task, rng, prompt, turns, think=float(task == "thinking") or 0.25 * (task != "needs_thinking")
    )
    if task == "needs_thinking":
        example.target = thinking.NEEDS_THINKING
    if task == "off_subject":
        example.contains = smalltalk.DECLINE
    return example


def _system(rng: Random, setting: Setting) -> Example:
    prompt = systems.system_prompt(rng)
    last = prompt.question(rng) if rng.random() < 0.6 else None
    turns = [_filler(rng, prompt, setting) for _ in range(_length(rng, setting))] + [
        last or _filler(rng, prompt, setting)
    ]
    return _conversation("system", rng, prompt, turns)


def _memory(rng: Random, setting: Setting) -> Example:
    prompt = systems.system_prompt(rng) if rng.random() < 0.2 else _neutral_prompt(rng)
    if "The user is called" in prompt.text:
        prompt = SystemPrompt()
    keys = rng.sample(list(memory.ATTRIBUTES), rng.choice((1, 1, 2, 2, 3, 4)))
    if rng.random() < 0.3 and "name" not in keys:
        keys[0] = "name"
    told = {key: memory.value_of(rng, key) for key in keys}
    turns = [memory.ATTRIBUTES[key].told(rng, value) for key, value in told.items()]
    if rng.random() < 0.15:
        told[keys[0]] = memory.value_of(rng, keys[0])
        turns.append(memory.ATTRIBUTES[keys[0]].told(rng, told[keys[0]]))
    asked = rng.choice(keys) if rng.random() < 0.55 else rng.choice(list(memory.ATTRIBUTES))
    if rng.random() < 0.3:
        key = rng.choice(keys)
        turns.append(memory.ATTRIBUTES[key].asked(rng, told[key]))
    turns = [prompt.apply(turn) for turn in turns]
    for _ in range(_length(rng, setting)):
        turns.insert(rng.randrange(len(turns) + 1), _filler(rng, prompt, setting))
    question = memory.ATTRIBUTES[asked].asked(rng, told.get(asked))
    return _conversation("memory", rng, prompt, [*turns, prompt.apply(question)])


def _tool_example(task: str, rng: Random, setting: Setting) -> Example:
    prompt = _neutral_prompt(rng)
    offer, use = tools.tool_use(rng)
    think = rng.random() < 0.25
    before: list[Message] = [{"role": "system", "content": prompt.text}] if prompt.text else []
    before += history([_filler(rng, prompt, setting) for _ in range(_tool_length(rng, setting))])
    if not setting.short and rng.random() < 0.25:
        before += _earlier_use(rng, offer)
    before.append(user(use.question))
    if task == "tool_call":
        return Example(task, before, use.call, use.thought, offer, think, end="<|tool_response>")
    if rng.random() < 0.1:
        use = tools.failed(rng, use)
    exchange = use.exchange(rng)
    if think:
        exchange[0]["reasoning_content"] = use.thought
    return Example(task, before + exchange, use.answer, tools=offer, thinking=think)


def _earlier_use(rng: Random, offer: list[Tool]) -> list[Message]:
    """A finished exchange with one of the tools on offer, if one is known."""
    names = {tool["function"]["name"] for tool in offer}
    for _ in range(20):
        _, use = tools.tool_use(rng)
        if use.name in names:
            return [user(use.question), *use.exchange(rng), assistant(use.answer)]
    return []


def _unused_tools(rng: Random, setting: Setting) -> Example:
    prompt = _neutral_prompt(rng)
    turns = [_filler(rng, prompt, setting) for _ in range(rng.choice((1, 1, 2, 3)))]
    example = _conversation("unused_tools", rng, prompt, turns)
    example.tools = tools.offered(rng)
    return example


def example(task: str, rng: Random, setting: Setting = USUAL) -> Example:
    """A random example of `task`."""
    if task == "system":
        return _system(rng, setting)
    if task == "memory":
        return _memory(rng, setting)
    if task in ("tool_call", "tool_answer"):
        return _tool_example(task, rng, setting)
    if task == "unused_tools":
        return _unused_tools(rng, setting)
    return _simple(task, rng, setting)


def is_held_out(one: Example) -> bool:
    """A tenth of all conversations, by a checksum of what the model reads. Training never sees them."""
    read = json.dumps([one.messages, one.tools, one.thinking], sort_keys=True)
    return zlib.crc32(read.encode()) % 10 == 0


def training_examples(seed: int, setting: Setting = USUAL) -> Iterator[Example]:
    """An endless stream of training examples, without the held-out ones."""
    rng = Random(seed)
    names, shares = list(TASKS), list(TASKS.values())
    while True:
        one = example(rng.choices(names, shares)[0], rng, setting)
        if not is_held_out(one):
            yield one


def held_out_examples(task: str, count: int, seed: int = 1) -> list[Example]:
    """`count` different examples of `task` that training cannot have seen; half of what is off subject is about new topics."""
    rng = Random(f"{task} {seed}")
    found: dict[str, Example] = {}
    while len(found) < count:
        setting = NEW_TOPICS if task == "off_subject" and rng.random() < 0.5 else USUAL
        one = example(task, rng, setting)
        if is_held_out(one):
            found[json.dumps([one.messages, one.tools, one.thinking])] = one
    return list(found.values())
