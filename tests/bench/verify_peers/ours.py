#!/usr/bin/env python3
"""ours.py CARAVAN ROWS VERDICTS TIMES: `caravan verify` on the rows, TIMES times over, one worker.

Writes the verdicts of the first pass (1, 0, or - for unscored) and prints the wall and processor
seconds of one pass: all of it, from the start of the processes and the reading of the rows to the
last verdict, divided by TIMES; both processes count.
"""
import json
import resource
import subprocess
import sys
import time


def main():
    caravan, path, out, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    rows = open(path, "rb").read()
    n = rows.count(b"\n")
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([caravan, "verify", "--workers", "1"], input=rows * times, check=True,
                          stdout=subprocess.PIPE)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    replies = done.stdout.split(b"\n")[:n]
    with open(out, "w", encoding="utf-8") as f:
        for reply in map(json.loads, replies):
            f.write({"score": "1", "zero": "0"}.get(reply["outcome"], "-") + "\n")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{wall / times:.6f} {cpu / times:.6f}")


if __name__ == "__main__":
    main()
