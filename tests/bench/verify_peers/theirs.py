#!/usr/bin/env python3
"""theirs.py SUITE ROWS VERDICTS: the Python originals on the rows of rows.py, one process.

Writes a verdict a line (1, 0, or - where the original raises) and prints the wall and processor
seconds of the checks alone: imports, models and the reading of the rows come before the clock.
"""
import importlib.util
import json
import os
import sys
import time
import types


def ifeval_registry():
    """The checkers of the harness, as the files they are: its package would import much more."""
    spec = importlib.util.find_spec("lm_eval")
    folder = os.path.join(os.path.dirname(spec.origin), "tasks", "ifeval")
    for name in ("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval"):
        package = types.ModuleType(name)
        package.__path__ = [folder] if name.endswith("ifeval") else []
        sys.modules[name] = package
    return importlib.import_module("lm_eval.tasks.ifeval.instructions_registry").INSTRUCTION_DICT


def ifeval_check(rows):
    registry = ifeval_registry()

    def check(row):
        one = row["checks"][0]
        instruction = registry[one["id"]](one["id"])
        instruction.build_description(**one["kwargs"])
        return bool(row["response"].strip()) and bool(instruction.check_following(row["response"]))

    for row in {row["checks"][0]["id"]: row for row in rows}.values():
        check(row)      # sentence and language models are loaded at their first use
    return check


def math_check(rows):
    from math_verify import LatexExtractionConfig, parse, verify

    def check(row):
        gold = parse("$" + row["ground_truth"] + "$", extraction_config=[LatexExtractionConfig()])
        return verify(gold, parse(row["response"]))

    for row in rows[:20]:
        check(row)
    return check


def main():
    suite, path, out = sys.argv[1:4]
    rows = [json.loads(line) for line in open(path, encoding="utf-8").read().split("\n") if line]
    check = (math_check if suite == "math" else ifeval_check)(rows)
    verdicts = []
    wall, cpu = time.perf_counter(), time.process_time()
    for row in rows:
        try:
            verdicts.append("1" if check(row) else "0")
        except Exception:
            verdicts.append("-")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    with open(out, "w", encoding="utf-8") as f:
        f.write("\n".join(verdicts) + "\n")
    print(f"{wall:.6f} {cpu:.6f}")


if __name__ == "__main__":
    main()
