#!/usr/bin/env python3
"""A verifier as a program: do the lines of the response begin with the letters of a word?

Data row: {"checks": [{"id": "example:acrostic", "kwargs": {"word": "tea"}}], "response": ...}
The value is the share of letters that fit. One JSON object a line comes in, one goes out.
"""
import json
import sys


def acrostic(word, response):
    lines = [line.strip() for line in response.splitlines() if line.strip()]
    fits = sum(line[0].lower() == letter for line, letter in zip(lines, word.lower()))
    return fits / max(len(word), len(lines))


def say(message):
    print(json.dumps(message), flush=True)


say({"caravan_plugin": 1,
     "checks": [{"id": "example:acrostic", "version": "1.0",
                 "doc": "the lines begin with the letters of `word`"}]})
for line in sys.stdin:
    ask = json.loads(line)
    word = (ask["kwargs"] or {}).get("word")
    if isinstance(word, str) and word:
        say({"job": ask["job"], "value": acrostic(word, ask["response"])})
    else:
        say({"job": ask["job"], "undecided": "word: expected a string"})
