#!/bin/sh
# From a fresh clone to a rising reward: installs packages, builds, fetches the model, trains it for some minutes and shows what changed.
#   usage: sh deploy/quickstart.sh [--model PATH] [--minutes N] [--seed N] [--run DIR]
# Running it again reuses packages, build and model; a finished or interrupted run in DIR is continued, not overwritten.
set -eu
cd "$(dirname "$0")/.."

model= minutes= seed= run=runs/quickstart
while [ $# -gt 0 ]; do
    case $1 in
        --model) model=$2; shift 2 ;;
        --minutes) minutes=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        --run) run=$2; shift 2 ;;
        *) sed -n '3,4p' "$0" >&2; exit 2 ;;
    esac
done

echo "== packages"
sh deploy/packages.sh
echo "== build"
cmake -S . -B build -G Ninja -DCARAVAN_TESTS=OFF >/dev/null
ninja -C build
if [ -z "$model" ]; then
    echo "== model"
    model=$(sh deploy/fetch-model.sh models)
    echo "$model"
fi

echo "== run"
if [ -f "$run/ledger.db" ]; then
    exec build/bin/caravan run --resume "$run" ${minutes:+--set stop.minutes="$minutes"}
fi
exec build/bin/caravan run deploy/quickstart.yaml --set model.path="$model" --set run_dir="$run" \
    ${minutes:+--set stop.minutes="$minutes"} ${seed:+--set seed="$seed"}
