"""chat_template.jinja; the manifest has its digest."""

from random import Random

from tests.hard.hostile import damage_text
from tests.hard.kind import either
from tests.hard.mutant import Mutant

NAME = "chat_template.jinja"

ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in 'abc' %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% set x = a %}{% endfor %}{% endfor %}x",
    "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% for a in range(10 ** 12) %}{% endfor %}",
    "{{ 9 ** 9 ** 9 ** 9 }}",
    "{{ 7 ** 90000000 }}",
    "{{ (range(99999) | list * 9999) | sum }}",
    "{% set ns = namespace(a=1) %}{% for i in range(99999) %}{% set ns.a = ns.a * 3 + ns.a %}{% endfor %}{{ ns.a }}",
    "{% for a in range(99999) %}{{ range(99999) | list | sort | length }}{% endfor %}",
    "{{ (range(99999) | map('string') | join('a') * 200) | replace('a', 'bb') | length }}",
    "{% for i in range(99999) %}{{ ('a' * 100000) | replace('a', 'b') | length }}{% endfor %}",
)
GROWTH = (
    "{% set ns = namespace(t='lol') %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}",
    "{% set ns = namespace(t='lol') %}{% for i in range(40) %}{% set ns.t = ns.t * 2 %}{% endfor %}{{ ns.t }}",
    "{{ 'a' * 3000000000 }}",
    "{{ '%3000000000d' % 5 }}",
    "{{ '{:>3000000000}'.format(1) }}",
    "{{ 'a'.ljust(3000000000) }}{{ 'a' | center(3000000000) }}",
    "{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}",
    "{{ ['a' * 10000] * 300000 | list }}{{ (['a' * 10000] * 300000) | join }}",
    "{% set ns = namespace(t=[0]) %}{% for i in range(40) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}",
    "{{ messages[0].content | replace('', 'x' * 1000000) | replace('x', 'x' * 10000) }}",
    "{{ 'a' | indent(2000000000, true) }}{{ 'a' | replace('a', 'b' * 100000000) | replace('b', 'c' * 1000) }}",
)
RAISING = (
    "{{ raise_exception('no') }}",
    "{{ raise_exception() }}",
    "{{ raise_exception('x' * 100000) }}",
    "{{ raise_exception('[/]\u001b]0;title\u0007') }}",
    "{{ nothing.at.all }}",
    "{{ 1 / 0 }}",
    "{{ 'a' + 1 }}",
    "{{ messages[99].content }}",
    "{{ messages() }}",
    "{{ 'abc' | nothing }}",
    "{{ 3 | int('x', 1) }}{{ 'a' | int(0, 99) }}",
    "{{ {}['a']['b'] }}",
    "{% set messages = 3 %}{% for m in messages %}{% endfor %}",
    "{{ namespace(a=1).b.c }}",
    "{{ [1, 2] | sort(attribute='a.b') | first }}",
    "{{ 'é'.encode('ascii') }}",
    "{{ '%d' % 'a' }}{{ '%' % 1 }}",
    "{{ '{a.b.c}'.format(a=1) }}",
    "{{ strftime_now('%Y' * 100000) }}",
    "{{ strftime_now(3) }}",
    "{{ '\\ud800' }}",
    "{{ [messages] | tojson(indent=-5) }}{{ namespace() | tojson }}",
    "{% generation %}x",
    "{{ loop.index }}{{ caller() }}{{ self.x() }}{{ super() }}",
)
FORBIDDEN = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__init__.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends 'base.html' %}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ messages.append(1) }}{{ messages.clear() }}",
    "{{ [].constructor }}{{ messages.constructor.constructor('return 1')() }}",
    "{{ {}.__proto__ }}{% set x.__proto__.y = 1 %}",
    "{{ lipsum(n=1000000) }}",
    "{{ ''|attr('__class__') }}",
    "{% set __proto__ = 1 %}{{ __proto__ }}{{ toString }}{{ hasOwnProperty('a') }}",
)


def _signed(mutant: Mutant, text: str) -> None:
    mutant.put(NAME, text.encode("utf-8", "surrogatepass"))


def _mixed(mutant: Mutant, rng: Random, part: str) -> None:
    whole = mutant.read(NAME).decode()
    _signed(mutant, rng.choice([part, part + whole, whole + part, "{{ bos_token }}" + part + "hi"]))


def endless(mutant: Mutant, rng: Random) -> None:
    _mixed(mutant, rng, rng.choice(ENDLESS))


def growth(mutant: Mutant, rng: Random) -> None:
    _mixed(mutant, rng, rng.choice(GROWTH))


def raising(mutant: Mutant, rng: Random) -> None:
    _mixed(mutant, rng, rng.choice(RAISING))


def forbidden(mutant: Mutant, rng: Random) -> None:
    _mixed(mutant, rng, rng.choice(FORBIDDEN))


def syntax(mutant: Mutant, rng: Random) -> None:
    text = mutant.read(NAME).decode()
    depth = rng.choice([100, 3000, 100_000])
    cut = rng.randrange(len(text))
    made = rng.choice(
        [
            text[:cut],
            text[:cut] + "{%" + text[cut:],
            text[:cut] + "}}" + text[cut:],
            "{{ " + "(" * depth + "1" + ")" * depth + " }}",
            "{{ " + "[" * depth + "]" * depth + " }}",
            "{{ " + "not " * depth + "1 }}",
            "{{ " + "-" * depth + "1 }}",
            "{{ 1" + " + 1" * depth + " }}",
            "{{ a" + ".a" * depth + " }}",
            "{{ 1" + " | int" * depth + " }}",
            "{% if 1 %}" * depth + "{% endif %}" * depth,
            "{% for a in [1] %}" * 200 + "x" + "{% endfor %}" * 200,
            "{{ " + "9" * depth + " }}",
            "{{ '" + "\\" * depth + "' }}",
            "{#" * depth,
            "{{ 'a' if 1 else " * depth + "1 }}",
            "{% set " + "a, " * depth + "b = messages %}",
        ]
    )
    _signed(mutant, made)


def text(mutant: Mutant, rng: Random) -> None:
    mutant.put(NAME, damage_text(mutant.read(NAME), rng))


KINDS = {
    "endless": endless,
    "growth": growth,
    "raising and forbidden": either(raising, forbidden),
    "syntax": either(syntax, text),
}
