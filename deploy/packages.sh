#!/bin/sh
# Installs the Debian packages that building Caravan needs; with `test`, those of the test suite too. Does nothing when all are there.
#   usage: sh deploy/packages.sh [test]
set -eu

build="gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libnng-dev libmsgpack-dev libsqlite3-dev libyaml-dev libjansson-dev
libmicrohttpd-dev libpcre2-dev libutf8proc-dev libxxhash-dev libseccomp-dev libflint-dev libflint-arb-dev libgmp-dev
python3 python3-pip"
test="clang-14 libclang-rt-14-dev libcmocka-dev curl sqlite3 procps"

wanted=$build
[ "${1:-}" = test ] && wanted="$wanted $test"

missing=
for p in $wanted; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "packages.sh: run as root, or install sudo; missing:$missing" >&2; exit 1; }
    sudo=sudo
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086  # a list of words on purpose
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
