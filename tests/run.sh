#!/bin/sh
# Installs what the tests need, builds, runs all tests and prints ctest's summary.
#   usage: sh tests/run.sh [--long] [--only gcc|clang]
# Two builds: gcc Release, and clang with AddressSanitizer and UndefinedBehaviorSanitizer, whose fuzz targets replay their corpora and then search for
# some seconds each (--long: ten minutes each, and the full figures on the real model).
set -eu
cd "$(dirname "$0")/.."

long= only=
while [ $# -gt 0 ]; do
    case $1 in
        --long) long=1; shift ;;
        --only) only=$2; shift 2 ;;
        *) sed -n '3p' "$0" >&2; exit 2 ;;
    esac
done

sh deploy/packages.sh test
CARAVAN_FUZZ_SECONDS=${long:+600}
export CARAVAN_FUZZ_SECONDS="${CARAVAN_FUZZ_SECONDS:-5}"
if [ -n "$long" ]; then
    CARAVAN_MODEL=$(sh deploy/fetch-model.sh models)
    case $CARAVAN_MODEL in /*) ;; *) CARAVAN_MODEL=$PWD/$CARAVAN_MODEL ;; esac
    export CARAVAN_MODEL CARAVAN_LONG=1
fi

status=0
check() {    # check NAME CC CMAKE-OPTIONS…
    name=$1 cc=$2
    shift 2
    echo "== $name: build"
    CC=$cc cmake -S . -B "build-$name" -G Ninja "$@" >/dev/null
    ninja -C "build-$name" --quiet
    echo "== $name: tests"
    ctest --test-dir "build-$name" --output-on-failure -j 2 ${long:+--timeout 7200} || status=1
}

[ "$only" = clang ] || check gcc gcc -DCMAKE_BUILD_TYPE=Release
[ "$only" = gcc ] || check asan clang-14 -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCARAVAN_SANITIZE=ON -DCARAVAN_FUZZ=ON
exit $status
