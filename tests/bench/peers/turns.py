"""turns.py: a program that measures when it is told.

The protocol of `caravan bench … --paced`: one line of JSON when everything is ready, then one for each line on stdin. What a
program says when it is ready must hold "isa": the instructions that it uses, as far as it can tell.
"""
import json
import sys


answers = sys.stdout    # kept, so that a program can send what its libraries print elsewhere


def say(**figures):
    print(json.dumps(figures), file=answers, flush=True)


def take(measure, **facts):
    """measure() -> dict of figures; called once to touch memory, then for each line."""
    measure()
    say(ready=True, **facts)
    for _ in sys.stdin:
        say(**measure())
