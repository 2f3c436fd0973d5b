r"""Makes tests/fixtures/templates.json: small templates, and what transformers' environment makes of them.

pytest checks that the file still says what transformers says; vitest checks the tab's template engine against the file.
To write it again:

    python -m tests.input.template_fixture
"""

import json
from pathlib import Path
from typing import Any, TypedDict

from transformers.utils.chat_template_utils import render_jinja_template

FIXTURE = Path(__file__).parents[1] / "fixtures" / "templates.json"

VARIABLES: dict[str, Any] = {
    "s": "  Grüße, Welt!\n",
    "w": "the quick brown fox",
    "e": "😀a\u0301ﬀ",
    "n": 7,
    "f": 2.5,
    "z": -0.0,
    "big": 12345678901234567890,
    "none": None,
    "yes": True,
    "xs": [3, 1, 2, 1],
    "words": ["b", "A", "c", "a"],
    "empty": [],
    "d": {"b": 1, "A": 2, "ß": 3, "😀": 4, "ﬀ": 5, "items": 6, "10": 7, "9": 8, "none": None},
    "people": [
        {"name": "Ada", "age": 36, "role": "user", "job": {"title": "x"}},
        {"name": "bob", "age": 21, "role": "tool"},
        {"name": "Cy", "age": 36, "role": "user"},
    ],
    "floats": [3.0, 1e-07, 1e16, 1e15, 123456.789, 0.1, 1e-05, 0.0001, -1.5, 1e22, 5e-324, 1.7976931348623157e308],
    "texts": ["it's", 'say "hi"', "both ' and \"", "tab\t\\ \x00\x7f\xa0\u200b\ue000 é 😀"],
}

EXPRESSIONS = r"""
s|trim ~ '|' ~ s|length ~ e|length ~ e[0] ~ e[1:] ~ e[::-1] ~ e|reverse
'\x1c\x85\ufeffx\ufeff\u2029\x1f' | trim | tojson(ensure_ascii=true)
[1, 2.0, 'a', none, true, (1,), (1, 2), {'k': [1]}, {}]
(), (1,), [], {}, {1: 'a', true: 'b', none: 'c', 2.5: 'd'}
floats
floats | tojson
texts
texts | tojson
texts | tojson(ensure_ascii=true)
d | tojson(indent=2)
d | tojson(sort_keys=true, separators=(',', ':'))
[] | tojson(indent=2) ~ {} | tojson(indent=0) ~ {'a': [], 'b': {}} | tojson(indent=1) ~ [1, [2]] | tojson(indent='--')
{1: 2, none: 3, true: 4, 2.5: 5} | tojson
people | tojson
z, -z, z + 1, big, big + 1, -big, big * big, big // 7, big % 1000, big / 2
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3, 7.5 // 2, -7.5 % 2, 7 / 2, 6 / 2, 2 ** 10, 2 ** -1, 2.0 ** 3, 1 + 2.0, 3.0 * 2
1 == 1.0, true == 1, 'a' < 'b', 'a' < 'B', [1, 2] < [1, 3], (1,) == [1], {'a': 1} == {'a': 1.0}, none == false, 1 < 2 < 3, 1 < 3 < 2
'😀' > '\uffff', '😀' < '\uffff'
not none and yes or 'x', none or 'x', 0 or '' or [] , 1 and 2, not 1 == 2
'a' in 'cat', 'q' not in 'cat', 1 in xs, 5 in xs, 'b' in d, 'q' in d, 1.0 in xs
1 if yes else 2, (1 if none), 'a' ~ (1 if none else 'b') ~ 3
xs[0], xs[-1], xs[1:3], xs[:-1], xs[::2], xs[::-1], xs[5:], xs[-100:2], w[4:9], w[-3:]
d.items is callable, d['items'], d.b, d['b'], d.get('b'), d.get('q'), d.get('q', 5), d.get('none', 5), d.q is defined, d['q'] is undefined
d.items() | list, d.keys() | list, d.values() | list
d | dictsort
d | dictsort(true)
d | dictsort(reverse=true) | map('first') | join
{'a': 2, 'b': 1} | dictsort(by='value')
d | items | list | length, d | list, d | length, d | first, people | length
w | upper, w | title, w | capitalize, w | lower, 'ǆab ß ŉ' | capitalize, 'ß' | upper, 'İI' | lower, e | upper
['a', 'b'] | upper, none | upper, 5 | string | upper, yes | lower, nothing | upper
w.title(), "they're bill's".title(), w.upper(), 'aßc'.swapcase(), 'ABC'.casefold()
w.split(), w.split(' ', 1), w.rsplit(' ', 1), ' a  b '.split(), ' a  b '.split(' '), 'a,b,,c'.split(','), 'a b  c '.split(none, 1), 'abc'.split('b')
'a\nb\r\nc\x85d\n'.splitlines(), 'a\nb'.splitlines(true), ''.splitlines()
w.replace('o', '0'), w.replace('o', '0', 1), 'abc'.replace('', '-'), 'abc'.replace('', '-', 2), w | replace('the', 'a'), w | replace('o', '0', 1)
w.startswith('the'), w.endswith(('x', 'y')), w.find('quick'), w.find('zzz'), w.rfind('o'), w.count('o'), w.index('b'), e.find('ﬀ')
w.partition(' '), w.rpartition(' '), 'x'.partition('-'), 'abc'.removeprefix('a'), 'abc'.removesuffix('c'), 'abc'.removeprefix('z')
'x'.center(6) ~ '|' ~ 'xy'.center(5, '*') ~ '|' ~ 'x'.ljust(3) ~ '|' ~ 'x'.rjust(3, '0') ~ '|' ~ '-5'.zfill(4) ~ 'abc'.center(6)
'xxabxx'.strip('x'), 'xxabxx'.lstrip('x'), 'xxabxx'.rstrip('x'), '\u00a0a\u3000'.strip(), 'abca'.strip('ac')
'5'.isdigit(), '²'.isdigit(), '²'.isdecimal(), '½'.isnumeric(), 'ab1'.isalnum(), 'ab'.isalpha(), ''.isalpha(), ' \x1c'.isspace(), 'A1'.isupper(), 'a'.islower(), 'Ab Cd'.istitle(), 'é'.isascii(), 'a_1'.isidentifier()
', '.join(words), '-'.join(w), ''.join([]), 'a\tb'.expandtabs(4)
words | sort, words | sort(case_sensitive=true), words | sort(reverse=true), xs | sort, people | sort(attribute='age,name') | map(attribute='name') | list
words | unique | list, xs | unique | list, xs | min, xs | max, words | max, empty | min, people | max(attribute='age')
xs | sum, people | sum(attribute='age'), [0.5, 1] | sum, empty | sum, xs | sum(start=10)
xs | first, xs | last, empty | first, 'abc' | last, words | join(', '), people | join(', ', attribute='name'), [1, none, 2.0] | join('-')
people | map(attribute='name') | list, people | map(attribute='job', default=5) | list, words | map('upper') | list, xs | map('string') | join('+')
people | selectattr('role', 'equalto', 'user') | map(attribute='name') | list, people | rejectattr('role', 'in', ['user']) | list | length, people | selectattr('job') | list | length
xs | select('odd') | list, xs | reject('odd') | list, xs | select('>', 1) | list, [0, '', 'a', none] | select | list, words | select('in', ['a', 'b']) | list
people | groupby('age') | map('first') | list, people | groupby('age')
xs | batch(3) | list, xs | batch(3, 0) | list, xs | slice(3) | list, xs | slice(3, 0) | list
xs | reverse | list, 'abc' | reverse, xs | list, 'abc' | list, xs | length, nothing | length, nothing | list
nothing | default('x'), none | default('x'), none | default('x', true), '' | default('x', boolean=true), nothing | default, nothing | d(none) is none
f | round, 3.5 | round, 2.675 | round(2), 0.125 | round(2), 7 | round(2), 2.1 | round(0, 'ceil'), 2.9 | round(method='floor'), 1234 | round(-2), 1.15 | round(1), -2.5 | round
'42' | int, '4.7' | int, 'x' | int, 'x' | int(5), '0x1f' | int(base=16), 4.9 | int, -4.9 | int, ' 7 ' | int, '1_000' | int, none | int, '3.5' | float, 'x' | float, 'x' | float(1.5), '1e3' | float, true | int
-5 | abs, -2.5 | abs, true | abs
'%s and %d and %.2f and %5s|%-5s|%05d %x %r %%' | format('a', 7, 3.14159, 'b', 'c', 42, 255, 'q')
'%s' % 'x', '%s-%s' % (1, 2), '%(a)s' % {'a': 5}, '%.3e' % 12345.678, '%g' % 0.00001234, '%+d' % 5, '%.0f' % 2.5, '%.0f' % 0.5, '%5.1f|' % 2.25
'{} {}'.format(1, 'a'), '{1}{0}'.format(1, 2), '{a}'.format(a=5), '{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}|{:x}|{!r}'.format('a', 'b', 'c', 42, 3.14159, 1234567, 255, 'q'), '{{}}'.format(), '{0[a]}'.format({'a': 1})
w | truncate(9), w | truncate(9, true), w | truncate(9, false, '…'), w | truncate(100), w | truncate(14, leeway=0)
'a\nb\n\nc' | indent, 'a\nb\n\nc' | indent(2, true), 'a\n\nb' | indent(1, blank=true), 'a\nb' | indent('> ')
w | wordcount, 'a-b c_d é' | wordcount, 'x' | center(5), '<a b="c">\'&' | e | string | length, '<b>bold</b> &' | striptags, 'a b/c?ü~\'' | urlencode, {'a': 1, 'b': 'x y'} | urlencode
yes is boolean, 1 is boolean, 1 is integer, true is integer, 1.0 is float, true is number, 'a' is string, none is none, nothing is undefined, s is defined
d is mapping, xs is mapping, xs is sequence, 'a' is sequence, d is sequence, 5 is sequence, none is sequence, nothing is sequence, d.items() is sequence, xs | map('string') is sequence, range(2) is sequence
xs is iterable, 'a' is iterable, 5 is iterable, none is iterable, nothing is iterable, d.items() is iterable
4 is even, 3 is odd, 9 is divisibleby 3, 9 is divisibleby(2), 'A' is upper, 'a' is lower, 1 is eq 1, 1 is sameas 1, true is sameas true, 1 is in [1, 2], 3 is not in [1], 5 is gt 4, 5 is lt(4), 5 is ge 5, 5 is le 4, 5 is ne 4, 'upper' is filter, 'odd' is test, true is true, false is false, range is callable
not nothing is defined, nothing is not defined and true, 'x' is string and 'y' is not mapping
range(3), range(1, 4) | list, range(5, 0, -2) | list, range(3) | length, range(10)[2:5] | list, 2 in range(3), range(0), range(3)[-1]
people[0].name, people[0]['job']['title'], people[1].job is defined, people.0.name, people[9] is undefined
'a' 'b' "c", "\t\x41\u00e9\\n\'", 'it\'s', 1_000, 0x1f, 0o17, 0b11, 1e3, 1.5e-3, 1E2
-1 | abs, -f, +f, 2 - -1, (1, 2) + (3,), [1] + [2], 'a' * 3, [0] * 2, 2 * 'ab'
dict(a=1, b=2), dict([('x', 1)]), dict({'q': 1}, r=2), namespace(a=1).a, namespace(a=1).b is defined, namespace(a=1)['a']
'%s' | format(xs), '' ~ none ~ true ~ 1.0 ~ nothing, none ~ '', (1, 'a') ~ ''
xs.index(2), xs.count(1), (1, 2).count(2), d.copy() == d, xs.copy(), f.is_integer(), 2.0.is_integer()
xs | map('string') | first, d.items(), d.keys(), (xs | select('odd')) and 'true'
w | upper | replace('O', '0') | length, (w | length) > 5, w | length > 5
[people | length, xs[0] + xs[1] * 2, 'x' ~ 1 + 2]
'é\u0065\u0301' | length, '\U0001f600' | length, e | list, e | upper | length
'a' if none is defined else 'b', [1, 2,], {'a': 1,}, (1), (1,)
""".strip().splitlines()
"""Each is printed."""

STATEMENTS = [
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}"
    "{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}"
    "{{ loop.changed(x) }}{{ loop.depth }};{% else %}none{% endfor %}",
    "{% for x in empty %}x{% else %}none{% endfor %}{% for x in nothing %}x{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}",
    "{% for x in xs %}{% if x == 2 %}{% break %}{% endif %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in [[1, [2]], [3]] recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}{{ loop.depth }}"
    "{% endif %}{% endfor %}",
    "{% set x = 0 %}{% for i in xs %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(a=0, b='') %}{% for i in xs %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}|",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}block {{ a }}{% endset %}{{ c }}{% set u | upper %}x{% endset %}{{ u }}",
    "{% if none %}a{% elif yes %}b{% else %}c{% endif %}{% if not yes %}a{% else %}d{% endif %}",
    "{% if true %}{% set inside = 1 %}{% endif %}{{ inside }}",
    "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='y') }}{{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}",
    "{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% call(x) m(5) %}<{{ x }}>{% endcall %}",
    "{% macro m(v) %}{% if v > 0 %}{{ v }}{{ m(v - 1) }}{% endif %}{% endmacro %}{{ m(3) }}{{ m.name }}{{ m.arguments }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% set q = 5 %}{% endwith %}{{ q is defined }}",
    "{% filter upper %}ab{{ n }}c{% endfilter %}{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% generation %}said {{ n }}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }}|",
    "a  {%- if yes -%}  b  {%- endif -%}  c{{- n -}}  d {#- note -#} e",
    "  {% if yes %}\n  x\n  {% endif %}\ny\n",
    "  {%+ if yes %}\n  x\n  {%+ endif +%}\ny\n\n",
    "a\n  {# note #}\nb {# note #} c\n  {{ n }}\n{% raw %} {{ not }} {% if %} {% endraw %}\n  {%- raw -%}  x  {%- endraw -%}  y",
    "\r\na\rb\n{% set x = 'p\r\nq' %}{{ x | tojson }}",
    "x {%- for c in w.split() -%} {{ c }}{{ ',' if not loop.last }} {%- endfor %}\n\nend\n\n",
    "{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}{{ '%}' }}{{ \"{#\" }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}"
    "{{ j() }}x{{ j() }}y",
    "{{ messages[0].role }}{{ messages[0]['content'] }}{{ tools is none }}{{ documents is none }}"
    "{{ add_generation_prompt }}{{ messages | length }}",
    "{% autoescape false %}<{{ w }}>{% endautoescape %}",
    "{{ raise_exception('refused') }}",
    "{{ nothing.member }}",
    "{{ nothing + 1 }}",
    "{{ 1 + 'a' }}",
    "{{ 'a' + xs }}",
    "{{ [1] < 1 }}",
    "{{ xs() }}",
    "{% for x in 5 %}{% endfor %}",
    "{{ 1 // 0 }}",
    "{% if %}",
    "{{ x",
    "{% for x in xs %}",
    "{{ 1 | nofilter }}",
    "{{ 1 is notest }}",
    "{% unknown %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set x.y = 1 %}",
    "{{ d.__class__ }}|{{ ''.__class__ }}|{{ xs.append(1) }}",
    "{{ {'a': 1}.update({'b': 2}) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
    "{% set a, b = [1, 2, 3] %}",
    "{{ none.x is defined }}{{ none | length }}",
    "{{ {[1]: 2} }}",
    "{{ 'x' in 5 }}",
    "{{ xs | tojson(indent=none) }}{{ nothing | tojson }}",
    "{{ (xs | map('string')) | length }}",
    "{{ '%d' % 'x' }}",
    "{{ 5 | trim(none) }}{{ [1, 2] | trim }}{{ none | trim }}",
]
"""Each is rendered."""


class Rendered(TypedDict):
    """result: the text, or None where transformers raises an error."""

    template: str
    result: str | None


class Fixture(TypedDict):
    variables: dict[str, Any]
    templates: list[Rendered]


def rendered(template: str) -> str | None:
    """What transformers makes of a template, with one message beside the variables."""
    messages = [[{"role": "user", "content": "hi"}]]
    try:
        texts: Any = render_jinja_template(messages, chat_template=template, add_generation_prompt=True, **VARIABLES)
    except Exception:  # whatever a template can raise
        return None
    return str(texts[0][0])


def templates() -> list[str]:
    """Expressions one by one, so that one that fails does not hide its neighbours, then statements."""
    return [*(f"{{{{ ({expression}) }}}}" for expression in EXPRESSIONS), *STATEMENTS]


def make() -> Fixture:
    """What transformers says today."""
    return Fixture(variables=VARIABLES, templates=[Rendered(template=t, result=rendered(t)) for t in templates()])


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(make(), ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")
