#!/usr/bin/env python3
"""table.py N FOLDER SUITE…: the medians of compare-verify.sh and their ratios.

FOLDER holds, for each suite, SUITE.ours.times and SUITE.theirs.times (a line for each repeat: wall
and processor seconds), SUITE.pool (jobs a second, and p99 at half load in microseconds), and SUITE.ours and
SUITE.theirs (a verdict a line).
"""
import statistics
import sys


def column(path, k):
    return statistics.median(float(line.split()[k]) for line in open(path))


def main():
    n, folder, suites = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    print("suite      rows   original/s   caravan/s   ratio    original us   caravan us   ratio   "
          "same verdict   unscored")
    print("                  (wall, one process or worker)     (processor time for a row)")
    for suite in suites:
        name = f"{folder}/{suite}"
        verdicts = [open(f"{name}.{who}").read().split() for who in ("theirs", "ours")]
        same = sum(a == b for a, b in zip(*verdicts)) / n
        unscored = verdicts[1].count("-") / n
        if unscored == 1:
            print(f"{suite:<10} {n:>4}   not compared: this build scores none of the rows")
            continue
        theirs, ours = (column(f"{name}.{who}.times", 0) for who in ("theirs", "ours"))
        theirs_cpu, ours_cpu = (column(f"{name}.{who}.times", 1) for who in ("theirs", "ours"))
        print(f"{suite:<10} {n:>4} {n / theirs:>12.0f} {n / ours:>11.0f} {theirs / ours:>6.1f}x "
              f"{theirs_cpu / n * 1e6:>14.1f} {ours_cpu / n * 1e6:>12.1f} "
              f"{theirs_cpu / ours_cpu:>6.1f}x {same:>13.1%} {unscored:>10.1%}")
    print("the pool by itself   jobs/s    ratio   p99 at half load")
    for suite in suites:
        theirs = column(f"{folder}/{suite}.theirs.times", 0)
        pool = column(f"{folder}/{suite}.pool", 0)
        p99 = column(f"{folder}/{suite}.pool", 1)
        print(f"{suite:<16} {pool:>10.0f} {pool * theirs / n:>7.1f}x {p99 / 1000:>10.2f} ms")


if __name__ == "__main__":
    main()
