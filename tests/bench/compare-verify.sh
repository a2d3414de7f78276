#!/bin/sh
# compare-verify.sh [BUILD]: our verdicts and the Python originals', on the same rows, in one go.
#
#   math      math_equiv            against Math-Verify 0.9
#   ifeval    25 ids of IFEval      against the original's checkers, from lm-evaluation-harness
#   ifeval22  without the language  against the same: langdetect takes most of the time above
#
# Ours is `caravan verify` with one sandboxed worker, everything included, and then the pool of one
# worker by itself (caravan bench verify: what a run uses, without JSON lines); theirs is one process,
# without its imports. All take turns, so that a change of the machine's load hits both. The table
# has medians. From the environment: ROWS (600), REPEATS (5), SUITES, and PEERS, the folder of the
# virtual environment (default $XDG_CACHE_HOME/caravan/peers), which is filled from the Python
# registry when it is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../../build}
rows=${ROWS:-600}
repeats=${REPEATS:-5}
suites=${SUITES:-math ifeval ifeval22}
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/caravan/peers}
caravan=$build/bin/caravan

[ -x "$caravan" ] || { echo "compare-verify: no $caravan: name the build folder" >&2; exit 2; }

if [ ! -e "$peers/ready" ]; then
    echo "compare-verify: installing the originals in $peers" >&2
    python3 -m venv "$peers"
    "$peers/bin/pip" install -q 'math-verify[antlr4-13-2]==0.9.0' nltk==3.9.2 \
        langdetect==1.0.9 immutabledict packaging
    # Only files are wanted of these two: the checkers, and the sentence model in the other.
    "$peers/bin/pip" install -q --no-deps lm-eval==0.4.13 llama-index-core==0.14.25
    touch "$peers/ready"
fi
site=$("$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
NLTK_DATA=$site/llama_index/core/_static/nltk_cache
export NLTK_DATA

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for suite in $suites; do
    "$peers/bin/python" "$here/verify_peers/rows.py" "$suite" "$rows" 1 > "$work/$suite.jsonl"
done
for repeat in $(seq "$repeats"); do
    for suite in $suites; do
        "$peers/bin/python" "$here/verify_peers/ours.py" "$caravan" "$work/$suite.jsonl" \
            "$work/$suite.ours" 50 >> "$work/$suite.ours.times"
        "$peers/bin/python" "$here/verify_peers/theirs.py" "$suite" "$work/$suite.jsonl" \
            "$work/$suite.theirs" >> "$work/$suite.theirs.times"
        "$caravan" bench verify --rows "$work/$suite.jsonl" --workers 1 --seconds 3 --repeats 1 --json |
            sed -n 's/.*"jobs_per_s":\([0-9]*\).*"half_p99_us":\([0-9]*\).*/\1 \2/p' >> "$work/$suite.pool"
    done
    echo "compare-verify: repeat $repeat of $repeats" >&2
done
"$peers/bin/python" "$here/verify_peers/table.py" "$rows" "$work" $suites
