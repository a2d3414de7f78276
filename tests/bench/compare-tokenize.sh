#!/bin/sh
# compare-tokenize.sh TOKENIZER.json TEXT [BUILD]: our tokenizer and the `tokenizers` package's, on
# the same text, in turns, on one core each.
#
# Prints the JSON lines of both and a table of medians: megabytes per second of processor time for
# the text line by line, as a whole, and back, and whether all ids agree. From the environment:
# REPEATS (5) turns, and PYTHON, an interpreter that has the package (default: one in a virtual
# environment under $XDG_CACHE_HOME/caravan/tokenize, filled from the Python registry when missing).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 2; }
tokenizer=$1 text=$2 build=${3:-$here/../../build}
peers=${XDG_CACHE_HOME:-$HOME/.cache}/caravan/tokenize

[ -x "$build/bin/tokenizer_bench" ] ||
    { echo "compare-tokenize: no $build/bin/tokenizer_bench: name the build folder" >&2; exit 2; }
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$peers/bin/python
    if [ ! -e "$peers/ready" ]; then
        echo "compare-tokenize: installing the package in $peers" >&2
        python3 -m venv "$peers"
        "$peers/bin/pip" install -q tokenizers
        touch "$peers/ready"
    fi
fi

work=$(mktemp)
trap 'rm -f "$work"' EXIT
for repeat in $(seq "${REPEATS:-5}"); do
    "$build/bin/tokenizer_bench" "$tokenizer" "$text" 3 | tee -a "$work"
    "$PYTHON" "$here/tokenize_peer.py" "$tokenizer" "$text" 1 | tee -a "$work"
done
"$PYTHON" - "$work" <<'PY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(f"\n{'MB/s':20}{'caravan':>10}{'tokenizers':>12}{'ratio':>8}")
for key in ("encode_lines_mb_s", "encode_whole_mb_s", "decode_mb_s"):
    ours, theirs = (statistics.median(r[key] for r in rows if r["who"] == who) for who in ("caravan", "tokenizers"))
    print(f"{key[:-5]:20}{ours:10.2f}{theirs:12.2f}{ours / theirs:8.1f}")
same = len({(r["ids"], r["hash"]) for r in rows}) == 1
print(f"{rows[0]['ids']} ids, {'all equal' if same else 'NOT EQUAL'}")
sys.exit(not same)
PY
