"""tokenizer_bench's measurement of the `tokenizers` package, on one core: tokenize_peer.py TOKENIZER.json TEXT [REPEATS]"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402  (reads the variable)


def best(repeats, work):
    least, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result


def main():
    start = time.process_time()
    tokenizer = Tokenizer.from_file(sys.argv[1])
    load = time.process_time() - start
    tokenizer.encode_special_tokens = True
    with open(sys.argv[2], newline="") as file:
        text = file.read()
    repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
    mb = len(text.encode()) / 1e6
    line_s, ids = best(repeats, lambda: [i for line in lines for i in tokenizer.encode(line, add_special_tokens=False).ids])
    whole_s, whole = best(repeats, lambda: tokenizer.encode(text, add_special_tokens=False).ids)
    back_s, _ = best(repeats, lambda: tokenizer.decode(whole, skip_special_tokens=False))
    fnv = 0xCBF29CE484222325
    for i in ids:
        fnv = ((fnv ^ i) * 0x100000001B3) % 2**64
    print(json.dumps({"who": "tokenizers", "bytes": len(text.encode()), "load_s": round(load, 3), "ids": len(ids),
                      "hash": f"{fnv:016x}", "encode_lines_mb_s": round(mb / line_s, 2), "encode_whole_mb_s": round(mb / whole_s, 2),
                      "decode_mb_s": round(mb / back_s, 2)}))


main()
