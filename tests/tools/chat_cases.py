#!/usr/bin/env python3
"""Renders the cases of tests/data/chat with the peer: jinja2 in the environment that transformers
compiles chat templates in. Run it where both are installed:

    python3 tests/tools/chat_cases.py tests/data/chat

One line a case: {"template", "vars", "text"}, or "error": true where the peer raises. Expressions
stand alone in {{ }}; whole templates are written in the style of the models that ship such ones.
The cases were made with jinja2 3.1.6 and transformers 5.24 under Python 3.11.
"""
import datetime
import json
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

MESSAGES = [
    {"role": "system", "content": "Be brief. "},
    {"role": "user", "content": " What is 6*7?\n"},
    {"role": "assistant", "content": "<think>\nsix sevens\n</think>\n\n42"},
    {"role": "user", "content": "Sure? \u00e9\u4e2d\U0001f600 <b>\"q\"</b> & 'r'\\"},
]
VARS = {
    "messages": MESSAGES, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
    "tools": None, "documents": None, "n": 7, "x": 2.5, "neg": -3, "yes": True, "no": False, "empty": "",
    "s": "Hello, World", "u": "\u00c4pfel \u00df \u00e9t\u00e9 \u4e2d\u6587 \U0001f600", "blank": " \t\n a b \u00a0\u3000",
    "l": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "mixed": [1, "1", True, None, 2.0, [1], {"a": 1}],
    "d": {"b": 2, "a": 1, "C": [1, 2, {"k": None}], "items": "key", "z z": "\u00e9\"\\\n\t\u0001"},
    "rows": [{"name": "x", "v": 3, "on": True, "in": {"deep": "p"}}, {"name": "Y", "v": 1, "on": False},
             {"name": "z", "v": 2}],
    "multi": "one\n  two\n\nthree\n",
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
7 // -2
7 % 3
-7 % 3
7 % -3
7 / 2
6 / 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
0.1 + 0.2
1e16
1e15
123456789.0
1e-5
0.0001
1.5e300 * 1e10
-7.5 // 2
-7.5 % 2
7.5 % -2
5.0 // 1
1_000 + 1
1.0
100 * 1.1
3 == 3.0
True + 1
true and none
0 or 'x'
'' or 0
not 1
not not 'a'
1 < 2 < 3
1 < 2 > 3
1 < 2 == true
'a' < 'b'
'Z' < 'a'
[1, 2] < [1, 3]
(1, 2) == (1, 2)
[1] == (1,)
1 < 'a'
none < 1
'a' ~ 1 ~ none ~ true ~ 1.5
'a' + 'b' ~ 'c' * 2
'a' * 3
3 * 'ab'
[1, 2] * 2
[1] + [2, 3]
(1,) + (2,)
[1] + (2,)
'a' + 1
1 + none
missing
missing.attr
missing['x']
missing + 1
missing ~ 'x'
missing == none
missing == other
missing is defined
missing is undefined
missing or 'fallback'
missing | length
missing | list
missing()
missing | upper
missing in [1]
1 in missing
'a' in 'cat'
'' in 'cat'
1 in 'cat'
2 in l
2 not in l
'a' in d
'zz' not in d
not 1 in l
d.a
d['a']
d.nothing
d.nothing is defined
d.nothing.more
d['z z']
d.items is callable
d.items()
d.items() | list
d['items']
d.keys() | list
d.keys()
d.values()
d.get('a')
d.get('q')
d.get('q', 5)
d.get('q').x
d | length
d
d.C[2].k
d.C[-1]
d.C[9]
d.C[9] is defined
l[0]
l[-1]
l[true]
l['0']
l.0
l[5]
l[1:]
l[:-1]
l[::-1]
l[::2]
l[5:1:-1]
l[-2:]
l[10:]
l[0:2:1]
l[::0]
(1, 2, 3)[1:]
s[0]
s[-1]
s[1:4]
s[::-1]
u[::-1]
u[2:6]
u | length
s[20]
s[20] is defined
range(5)
range(5) | list
range(2, 10, 3) | list
range(5, 0, -2) | list
range(1, 4)
range(0, 10, 2)
range(3)[1]
range(5)[1:3]
range(0, 20, 3)[1:-1:2]
range(5)[::-1]
range(5)[3:1] | list
range(3) | length
range(3) == range(3)
range(0)
range(200000)
[1, 'a', none, true, 1.5, [2], (3,), {'k': 'v'}]
(1, 2)
(1,)
()
[]
{}
{'a': 1, 'a': 2}
{1: 'x', none: 'y', true: 'z'}
{'a': {'b': {}}}
{[1]: 2}
'it\'s'
['it\'s', "say \"hi\"", 'b\\s', 'n\nl', 't\tb', "both ' and \""]
['é', '中', '\x00\x1f\x7f', '\xa0', '\u200b', '\ud7ff']
'tab\tnew\nquote\' back\\ x\x41 u\u00e9 oct\101 \q'
'line \
continued'
'a' 'b' "c"
"caf\u00e9"
1 if true else 2
1 if false
(1 if false) is defined
'a' if 0 else 'b' if 0 else 'c'
1 if 1 if 1 else 0 else 2
x | round
3.5 | round
2.675 | round(2)
1234.5 | round(-2)
7 | round
7 | round(2)
2.1 | round(0, 'ceil')
2.19 | round(1, 'floor')
-2.5 | round
-1 | abs
-1.5 | abs
true | abs
'a' | abs
'42' | int
' 42 ' | int
'4_2' | int
'4.7' | int
'abc' | int
'abc' | int(5)
'abc' | int(default=-1)
'ff' | int(base=16)
'0x1F' | int(0, 16)
'0b101' | int(base=2)
'-0o17' | int(base=8)
'0o-7' | int(7, base=8)
'12' | int(base=2)
'- 5' | int(3)
'+5' | int
'_1' | int(2)
'1__0' | int(2)
4.9 | int
-4.9 | int
none | int
true | int
missing | int
'3.5' | float
'x' | float
'x' | float(1.5)
3 | float
'1e3' | float
'inf' | float
'nan' | float
none | float
s | upper
s | lower
u | upper
u | lower
u | capitalize
'hELLO wORLD' | capitalize
'hello-big world (of) o\'neil' | title
'hello big o\'neil'.title()
42 | upper
blank | trim
blank.strip()
blank.lstrip() ~ '|'
blank.rstrip() ~ '|'
'xxaxbxx' | trim('x')
'xxaxbxx'.strip('x')
'xyaxy'.lstrip('yx')
'ab'.rstrip('ba')
s | replace('l', 'L')
s | replace('l', 'L', 1)
s | replace('', '-')
s.replace('o', '0')
s.replace('o', '0', 1)
s.replace('', '.')
'aaa'.replace('aa', 'b')
'abc'.replace('b', 1)
s.split(', ')
s.split()
'a b  c '.split()
'a b  c '.split(' ')
'a b  c'.split(none, 1)
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'a b c '.rsplit(none, 1)
'a,b,c'.split(',')[-1]
'</think>x</think>y'.split('</think>')[-1]
''.split()
''.split(',')
'abc'.split('')
multi.splitlines()
multi.splitlines(true)
'a=b=c'.partition('=')
'abc'.partition('=')
'a=b=c'.rpartition('=')
'abc'.rpartition('=')
s.startswith('Hell')
s.startswith('x')
s.startswith(('x', 'H'))
s.endswith('ld')
s.endswith('')
s.startswith(1)
s.find('o')
s.find('o', 5)
s.find('zz')
s.rfind('o')
u.find('\u4e2d')
s.index('zz')
s.count('l')
'aaaa'.count('aa')
'abc'.count('')
', '.join(['a', 'b'])
', '.join([1])
'-'.join('abc')
'abc'.isdigit()
'123'.isdigit()
'abc'.isalpha()
'ab1'.isalnum()
' \t'.isspace()
''.isdigit()
'aB'.islower()
'AB1'.isupper()
'a'.ljust(3) ~ '|'
'a'.rjust(3, '.')
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'aBc'.swapcase()
s.nothing
s.nothing()
s.__class__
s._x is defined
l.append(1)
l.append is defined
d.update({})
d.pop('a')
l.index(1)
l.count(1)
words | join(', ')
l | join
l | join('-')
rows | join(', ', attribute='name')
[1, none, 'a'] | join('|')
s | join('.')
l | first
l | last
[] | first
[] | last
[] | first is defined
s | first
s | last
d | first
l | length
l | count
5 | length
l | list
s | list
d | list
5 | list
l | sort
words | sort
words | sort(case_sensitive=true)
words | sort(reverse=true)
rows | sort(attribute='v') | map(attribute='name') | list
rows | sort(attribute='name', reverse=true) | map(attribute='name') | join
[1, 'a'] | sort
words | unique | list
words | unique(true) | list
[1, 1.0, true, 2] | unique | list
l | reverse | list
s | reverse
l | sum
rows | sum(attribute='v')
[1.5, 2] | sum
['a'] | sum
l | min
l | max
words | min
rows | max(attribute='v')
[] | max
d | dictsort | map('first') | list
{'b': 1, 'a': 2, 'C': 0} | dictsort
{'b': 1, 'a': 2, 'C': 0} | dictsort(true)
{'b': 1, 'a': 2, 'C': 0} | dictsort(by='value')
{'b': 1, 'a': 2, 'C': 0} | dictsort(reverse=true)
d | items | list | length
missing | items | list
5 | items | list
words | map('upper') | list
words | map('length') | list
words | map('replace', 'p', 'P') | join(' ')
rows | map(attribute='in.deep') | list
rows | map(attribute='in.deep', default='-') | list
rows | map(attribute='v') | sum
[[1, 2], [3]] | map(attribute=0) | list
rows | selectattr('on') | map(attribute='name') | list
rows | selectattr('on', 'defined') | list | length
rows | selectattr('v', 'gt', 1) | map(attribute='name') | join(',')
rows | selectattr('name', 'equalto', 'x') | list | length
rows | selectattr('name', 'in', ['x', 'z']) | map(attribute='v') | list
rows | rejectattr('on') | map(attribute='name') | list
rows | rejectattr('name', '==', 'x') | map(attribute='name') | list
l | select('odd') | list
l | reject('odd') | list
l | select('>', 1) | list
[0, 1, '', 'a', none] | select | list
[0, 1, '', 'a', none] | reject | list
l | select('nonsense') | list
(l | map('string') | list)[0]
l | map('string') | length
(words | select) | first
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first
messages | map(attribute='role') | unique | join(' ')
none | default('x')
missing | default('x')
missing | default
'' | default('x')
'' | default('x', true)
none | default('x', boolean=true)
missing | d('y')
5 | string ~ 'x'
none | string
[1] | string
'<a> & "b"' | e
'<a>' | safe
multi | indent
multi | indent(2, true)
multi | indent(2, blank=true)
multi | indent('> ')
'' | indent ~ '|'
multi | wordcount
'%s and %s' | format('a', 2)
'%(a)s %(b)05.1f' | format(a='x', b=2)
'%d%% %5.2f|%-5s|%5s|%x|%r' % (7, x, 'a', 'b', 255, 'q')
'%s' % 'one'
'%s %s' % 'one'
'%d' % 'one'
'%s' % none
'%s' % (l,)
'%.2s' % s
'%+d % d %05d' % (1, 2, 3)
'%e %g' % (12345.678, 0.0001)
d | tojson
d | tojson(indent=2)
d | tojson(indent=0)
l | tojson
[] | tojson
{} | tojson(indent=4)
[[], {}] | tojson(indent=1)
u | tojson
u | tojson(ensure_ascii=true)
u | tojson(true)
'</script>\'"\\\u2028\x7f' | tojson
none | tojson
true | tojson
1.0 | tojson
1e20 | tojson
'nan' | float | tojson
(1, 2) | tojson
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
{'b': 1, 'a': 2} | tojson(sort_keys=true)
{'b': 1, 'a': 2} | tojson(separators=(',', ':'))
{'b': [1, 2]} | tojson(indent='\t')
missing | tojson
range(3) | tojson
messages | tojson
1 is number
1.5 is number
true is number
'1' is number
1 is integer
true is integer
1.0 is integer
1.0 is float
true is boolean
true is true
1 is true
false is false
0 is false
none is none
missing is none
'a' is string
1 is not string
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
5 is sequence
missing is sequence
l is iterable
5 is iterable
missing is iterable
range(3) is sequence
range is callable
s.upper is callable
s is callable
3 is odd
4 is even
'a' is odd
9 is divisibleby 3
9 is divisibleby(2)
1 is eq 1
1 is equalto(1.0)
1 is ne 2
1 is lt 2
2 is ge 2
2 is in [1, 2]
'a' is in 'cat'
none is sameas none
1 is sameas true
'abc' is lower
'ABC' is upper
'aBc' is lower
'' is lower
'trim' is filter
'nope' is filter
'odd' is test
x is defined and x is number
x is defined or y
not x is defined
x is not defined
(x is defined) == true
-1 | abs
(-1) | abs
1 + 2 | string
(1 + 2) | string ~ '!'
'a' ~ 'b' | upper
[1, 2, 3] | length > 2
messages[0].role == 'system' and messages[1:] | length == 3
messages[-1].content | length
messages | length
messages[0]
dict(a=1, b='x')
dict({'a': 1}, b=2)
dict([('k', 'v')])
dict(**{'q': 1})
dict(d).a
namespace(a=1).a
namespace(a=1).b is defined
namespace(a=1)
namespace(_a=1)
raise_exception('no way')
strftime_now('%d %B %Y')
strftime_now('%Y-%m-%d %a %j')
bos_token ~ eos_token ~ pad_token
tools is none
tools is defined
tools is not none
documents
yes and no
[yes, no]
n * x
neg // 2
neg % 2
9223372036854775807
9223372036854775807 - 1
'a' == "a"
'é' == '\u00e9'
{'a': 1} == {'a': 1.0}
[1, [2]] == [1, [2]]
mixed
mixed | string | length
l is in [l]
(1, 2) in [(1, 2)]
'abc'[1:][::-1]
('a', 'b') | join
1, 2
'a',
{'a': [1, {'b': 2}]}.a[1].b
[[1, 2], [3, 4]][1][0]
('x' if n > 5 else 'y') ~ n
- 3 + + 4
1.5 | string ~ 2
[1, 2,]
{'a': 1,}
s.upper().lower().title()
(s | upper).lower()
s[:5] ~ s[-5:]
'a\nb' ~ '\r\n' | length
loop
loop is defined
self is defined
self.title is defined
true == True and false == False and none == None
none is none and None is none
5 is divisibleby
1 | nonsense
1 is nonsense
1 +
(1
[1, 2
{'a' 1}
1 2
'abc
a.b.c.
foo(
x.1.2
@
a = 1
x is defined is none
"""

TEMPLATES = [
    # blanks
    "a{% if true %} b {% endif %}c", "a\n{% if true %}\nb\n{% endif %}\nc\n", "  {% if true %}\n  x\n  {% endif %}\n  y",
    "a  {%- if true -%}  b  {%- endif -%}  c", "a \n {{- 1 -}} \n b", "a {{ 1 }} b\n", "a\n\n", "a\n\n\n", "\n", "", " ",
    "  {%+ if true %}x{% endif %}", "{% if true +%}\nx{% endif %}", "x {# comment #} y", "x\n  {# comment #}\ny",
    "x {#- c -#} y", "{#\n multi\n#}\nz", "{# a #}{# b #}c", "a\r\nb\rc\n{{ 1 }}\r\n", "{% raw %}{{ x }} {% if %}{% endraw %}!",
    "{% raw %}\n a {% endraw %}\nb", " {%- raw -%} \n a \n {%- endraw -%} b", "  {% raw %}x{% endraw %}", "{{ '{{' }}{{ '%}' }}",
    "{{ {'a': {'b': 1}}.a.b }}", "{{ {} }}", "{%if true%}x{%endif%}", "{{1}}{{-1}}{{ -1}}", "{{ 'a\nb' }}", "\t{% set a = 1 %}\n\tb",
    "x\u00a0{% if 1 %}y{% endif %}", "\u00a0{% if 1 %}y{% endif %}", "a{{+1}}", "a\n  {{- 'b' }}", "{% if 1 %}\n\n\na{% endif %}",
    "a {%- set x = 1 %} b", "a\n    {%- if true %}\n        {{- 'b' }}\n    {%- endif %}\n c", "{ {{ 1 }} }", "{", "{%", "{{", "{# x", "}}", "%}",
    "  {# c #}  {# d #}\n", "a\n {% set x = 1 %} {% set y = 2 %}\nb", "\n{% if 1 %}\n{% endif %}\n",
    # set and scope
    "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [3, 4] %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}",
    "{% set a %}x{{ 1 }}y{% endset %}[{{ a }}]", "{% set a | upper | trim %} x {% endset %}[{{ a }}]", "{% set a = [] %}{{ a is defined }}",
    "{% set a = 1 %}{% for i in [1, 2] %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}",
    "{% set ns = namespace(a=0) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}",
    "{% set ns = namespace() %}{% set ns.t %}x{% endset %}{{ ns.t }}", "{% set d = {} %}{% set d.x = 1 %}", "{% set q.x = 1 %}",
    "{% set ns = namespace(d) %}{{ ns.b }}{{ ns.items is callable }}", "{% if true %}{% set a = 5 %}{% endif %}{{ a }}",
    "{% for i in [1] %}{% set z = 1 %}{% endfor %}{{ z is defined }}", "{% set a = b = 1 %}", "{% set true = 1 %}", "{% set a, b = [1] %}",
    "{% set a, b = 'xy' %}{{ b }}{{ a }}", "{% set x = x + 1 %}{{ x }}", "{% for i in [1, 2] %}{% if loop.first %}{% set q = 1 %}{% endif %}{{ q is defined }}{% endfor %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set a = 1 %}{% endwith %}{{ a is defined }}",
    "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}",
    # if
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "{% if 0 %}a{% endif %}",
    "{% if x is defined and x > 2 %}y{% endif %}", "{% if not tools %}n{% endif %}", "{% if missing %}a{% else %}b{% endif %}",
    "{% if 1, 2 %}t{% endif %}", "{% if true %}", "{% endif %}", "{% if %}{% endif %}", "{% else %}", "{% if 1 %}{% else %}{% elif 1 %}{% endif %}",
    "{% if 1 %}{% endfor %}", "{% if 1 %}a{% else %}b{% else %}c{% endif %}",
    # for
    "{% for i in l %}{{ i }},{% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }} {% endfor %}", "{% for c in 'añb' %}[{{ c }}]{% endfor %}", "{% for i in missing %}x{% else %}e{% endfor %}", "{% for i in 5 %}{% endfor %}",
    "{% for i in none %}{% endfor %}", "{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for i in l if i > 9 %}x{% else %}none{% endfor %}",
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in l %}{{ loop.previtem.x }}{% endfor %}", "{% for i in range(4) %}{{ loop.cycle('a', 'b', 'c') }}{% endfor %}", "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in l %}{% for j in [1, 2] %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% for i in l %}{% set outer = loop %}{% for j in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% else %}e{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [1, 2, 3] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}", "{% break %}", "{% continue %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a + b }} {% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a + b + c }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}",
    "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}", "{% for (k, v) in d | dictsort %}{{ k }}{% endfor %}", "{% for i in l | sort %}{{ i }}{% endfor %}", "{% for i in l[::-1] %}{{ i }}{% endfor %}",
    "{% for m in messages | reverse %}{{ m.role }} {% endfor %}", "{% set g = l | map('string') %}{% for i in g %}{{ i }}{% endfor %}{% for i in g %}{{ i }}{% else %}spent{% endfor %}",
    "{% for i in l %}", "{% for in l %}{% endfor %}", "{% for i l %}{% endfor %}", "{% for i in l %}{% endif %}", "{% for i in x if true else y %}{% endfor %}",
    "{% for i in (l if yes else []) %}{{ i }}{% endfor %}", "{% for i in l %}{{ loop }}{% break %}{% endfor %}",
    # macros and blocks
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}",
    "{% macro m(a=x) %}{{ a }}{% endmacro %}{% set x = 9 %}{{ m() }}", "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro m() %}{{ n }}{% endmacro %}{% for n in [1] %}{{ m() }}{% endfor %}", "{% macro m() %} x {% endmacro %}[{{ m() | trim }}]{{ m.name }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(3) }}", "{% macro m(*a) %}{% endmacro %}", "{% macro m(a) %}{% set a = a ~ '!' %}{{ a }}{% endmacro %}{{ m('x') }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}", "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aXa{% endfilter %}",
    "{% generation %}x{% set a = 1 %}{{ a }}{% endgeneration %}{{ a is defined }}", "{% for m in messages %}{% generation %}{{ m.role }}{{ loop.index }}{% endgeneration %} {% endfor %}",
    "{% generation %}", "{% for i in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% print 1, 2 %}", "{% do 1 %}", "{% nonsense %}", "{% %}",
    "{% macro m() %}{% break %}{% endmacro %}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro a() %}[{{ caller() }}]{% endmacro %}{% macro b() %}{% call a() %}{{ n }}{% endcall %}{% endmacro %}{{ b() }}",
    "{% set f = range %}{{ f(3) | list }}", "{% set up = s.upper %}{{ up() }}",
    "{{ raise_exception('bad ' ~ n) }}", "{% if messages[0].role != 'user' %}{{ raise_exception('first') }}{% endif %}",
    "{% for i in l %}{% set a %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endset %}[{{ a }}]{% endfor %}",
]

# Whole templates, each in the style of a family of models.
FAMILIES = {
    "turns": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "default-system": "{%- if messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content'] %}\n    {%- set rest = messages[1:] %}\n{%- else %}\n"
                      "    {%- set system = 'Help.' %}\n    {%- set rest = messages %}\n{%- endif %}\n{{- '<sys>' + system | trim + '</sys>\\n' }}\n"
                      "{%- for m in rest %}\n    {{- '<' ~ m.role ~ '>' }}\n    {{- m.content | trim }}\n    {{- '</' ~ m.role ~ '>\\n' }}\n{%- endfor %}\n"
                      "{%- if add_generation_prompt %}\n    {{- '<assistant>' }}\n{%- endif %}\n",
    "alternating": "{{ bos_token }}{% set ns = namespace(i=0) %}{% for m in messages %}{% if m['role'] == 'system' %}{% set ns.sys = m['content'] %}{% continue %}{% endif %}"
                   "{% if (m['role'] == 'user') != (ns.i % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
                   "{% if m['role'] == 'user' %}{{ '[INST] ' + (ns.sys + '\\n\\n' if ns.i == 0 and ns.sys is defined else '') + m['content'].strip() + ' [/INST]' }}"
                   "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% set ns.i = ns.i + 1 %}{% endfor %}",
    "header": "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n        {%- set date_string = strftime_now('%d %b %Y') %}\n    {%- else %}\n"
              "        {%- set date_string = '26 Jul 2024' %}\n    {%- endif %}\n{%- endif %}\n{%- if not tools is defined %}\n    {%- set tools = none %}\n{%- endif %}\n"
              "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] | trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n"
              "    {%- set system_message = '' %}\n{%- endif %}\n{{- '<|h|>system<|/h|>\\n\\n' }}\n{%- if tools is not none %}\n    {{- 'Environment: tools\\n' }}\n{%- endif %}\n"
              "{{- 'Today Date: ' + date_string + '\\n\\n' }}\n{{- system_message }}\n{{- '<|eot|>' }}\n{%- for message in messages %}\n"
              "    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}\n        {{- '<|h|>' + message['role'] + '<|/h|>\\n\\n' + message['content'] | trim + '<|eot|>' }}\n"
              "    {%- elif 'tool_calls' in message %}\n        {%- for call in message.tool_calls %}\n            {{- call.function | tojson(indent=2) }}\n        {%- endfor %}\n    {%- endif %}\n"
              "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|h|>assistant<|/h|>\\n\\n' }}\n{%- endif %}\n",
    "thinking": "{%- set ns = namespace(last=messages | length - 1, open=true) %}\n{%- for message in messages[::-1] %}\n    {%- set index = (messages | length - 1) - loop.index0 %}\n"
                "    {%- if ns.open and message.role == 'user' and message.content is string and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}\n"
                "        {%- set ns.open = false %}\n        {%- set ns.last = index %}\n    {%- endif %}\n{%- endfor %}\n{%- for message in messages %}\n    {%- if message.content is string %}\n"
                "        {%- set content = message.content %}\n    {%- else %}\n        {%- set content = '' %}\n    {%- endif %}\n    {%- if message.role == 'assistant' %}\n        {%- set thought = '' %}\n"
                "        {%- if '</think>' in content %}\n            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\n"
                "            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n        {%- endif %}\n        {%- if loop.index0 > ns.last %}\n"
                "            {{- '<a>[' + thought.strip('\\n') + ']' + content }}\n        {%- else %}\n            {{- '<a>' + content }}\n        {%- endif %}\n    {%- else %}\n"
                "        {{- '<' + message.role + '>' + content + '\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<a>' }}\n"
                "    {%- if enable_thinking is defined and enable_thinking is false %}\n        {{- '<think></think>' }}\n    {%- endif %}\n{%- endif %}",
    "parts": "{%- macro render(content) -%}\n{%- if content is string -%}\n{{- content -}}\n{%- elif content is sequence -%}\n{%- for item in content -%}\n"
             "{%- if item['type'] == 'image' -%}<img>{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}\n{%- endfor -%}\n{%- else -%}\n{{ raise_exception('Invalid content type') }}\n"
             "{%- endif -%}\n{%- endmacro -%}\n{{ bos_token }}\n{%- for message in messages -%}\n{%- set role = 'model' if message.role == 'assistant' else message.role -%}\n"
             "{{ '<start>' + role + '\\n' }}{{ render(message['content']) }}{{ '<end>\\n' }}\n{%- endfor -%}\n{%- if add_generation_prompt -%}{{ '<start>model\\n' }}{%- endif -%}",
    "tools": "{%- if tools %}\n    {{- '# Tools\\n' }}\n    {%- for tool in tools %}\n        {{- '\\n' }}\n        {{- tool | tojson }}\n    {%- endfor %}\n{%- endif %}\n"
             "{%- for message in messages %}\n{%- if message.role == 'tool' %}\n{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}\n{{- '<user>' }}\n{%- endif %}\n"
             "{{- '\\n<r>' + message.content + '</r>' }}\n{%- if loop.last or loop.nextitem.role != 'tool' %}\n{{- '</user>\\n' }}\n{%- endif %}\n{%- else %}\n"
             "{{- '<' + message.role + '>' ~ (message.content or '') }}\n{%- for tc in message.tool_calls or [] %}\n{%- set f = tc.function if tc.function else tc %}\n"
             "{{- '\\n{\"name\": \"' + f.name + '\", \"arguments\": ' }}\n{{- f.arguments | tojson }}\n{{- '}' }}\n{%- endfor %}\n{{- '</' + message.role + '>\\n' }}\n{%- endif %}\n{%- endfor %}",
    "generation": "{% for message in messages %}\n{% if message.role == 'assistant' %}\n{{ '<|assistant|>\\n' }}{% generation %}{{ message.content ~ eos_token }}{% endgeneration %}\n{% else %}\n"
                  "{{ '<|' ~ message.role ~ '|>\\n' ~ message.content ~ '\\n' }}\n{% endif %}\n{% endfor %}",
    "pieces": "{{ bos_token }}{% for message in messages %}{% if loop.index0 == 0 and message['role'] == 'system' %}{% set first_user_prefix = message['content'] + '\\n\\n' %}{% endif %}"
              "{{ '<start_of_turn>' + message['role'] ~ '\\n' ~ (first_user_prefix if loop.first else '') + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
              "{{ '<start_of_turn>model\\n' if add_generation_prompt else '' }}",
}
CHATS = [
    MESSAGES, MESSAGES[1:2], MESSAGES[1:3], [],
    [{"role": "user", "content": "weather?"},
     {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "get", "arguments": {"city": "Z\u00fcrich", "n": 2}}}]},
     {"role": "tool", "content": "{\"t\": 3}"}, {"role": "tool", "content": "ok"}, {"role": "assistant", "content": "cold"}],
    [{"role": "user", "content": [{"type": "text", "text": " look "}, {"type": "image"}]}],
    [{"role": "assistant", "content": "out of turn"}, {"role": "assistant", "content": "again"}],
]
TOOLS = [{"type": "function", "function": {"name": "get", "description": "Gets \u2026 <it>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def render(source, variables):
    template = _compile_jinja_template(source)
    template.environment.globals["strftime_now"] = lambda f: datetime.datetime(2024, 7, 26).strftime(f)
    template.globals["strftime_now"] = template.environment.globals["strftime_now"]
    return template.render(**variables)


def case(source, variables, shown=None):
    out = {"template": source}
    if shown is not None:
        out["vars"] = shown
    try:
        out["text"] = render(source, variables)
    except Exception as why:  # every exception of the peer is a failed case, whatever its class
        out["error"] = type(why).__name__
    return json.dumps(out, ensure_ascii=True)


def expressions():
    text = EXPRESSIONS.replace("\\\n", "\\\0")
    for line in text.split("\n"):
        if line:
            yield "{{ " + line.replace("\\\0", "\\\n") + " }}"


def main(folder):
    with open(folder + "/expressions.jsonl", "w") as out:
        print(json.dumps({"vars": VARS}), file=out)
        for source in list(expressions()) + TEMPLATES:
            print(case(source, VARS), file=out)
    with open(folder + "/families.jsonl", "w") as out:
        for source in FAMILIES.values():
            for chat in CHATS:
                for prompt in (True, False):
                    variables = {"messages": chat, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>",
                                 "tools": TOOLS if prompt and len(chat) == 5 else None, "documents": None}
                    print(case(source, variables, variables), file=out)


if __name__ == "__main__":
    main(sys.argv[1])
