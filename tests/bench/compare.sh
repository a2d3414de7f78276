#!/bin/sh
# compare.sh [BUILD]: Caravan and what people use today, in turns, on the same shapes, in one go.
#
#   decode-64, -8, -1   sequences of 64 tokens grow by 32, side by side     against llama.cpp, transformers
#   prefill             64 prompts of 64 tokens, no logits                  against llama.cpp
#   train               8 x 256 tokens: forward, backward, clip, AdamW      against PyTorch
#   step                8 prompts x 8 answers of 64 tokens, all daemons     against TRL
#   sync                optimiser step to first token under new weights     nobody has it; sync_bench, if it is built
#
# Prints Markdown: medians, how many times better than each peer (of rates ours / theirs, of seconds and memory theirs / ours), the
# lower quartile of that over the turns, the same by processor time, and how much of the machine others used meanwhile. The peer
# in bold is the best of those that count: for decode and prefill those that sum in f32 as Caravan does (f16, f32, bf16).
#
# From the environment:
#   N=7            turns of each contestant
#   ROWS="…"       which of the above
#   STEPS=32       tokens that each sequence grows by; fewer for a first look
#   SCALE=1        divides the prompts of prefill, the sequences of train and the groups of step; 4 for a first look
#   ISA=native     or avx2: ours with --device cpu-avx2, llama.cpp built without AVX-512, PyTorch and oneDNN told so, and all checked
#   THREADS        of each contestant, which gets as many cores (default: all)
#   MODEL          GGUF, Q4_1 (default: what deploy/fetch-model.sh fetches)
#   PEERS          folder of virtual environments and converted models (default $XDG_CACHE_HOME/caravan/peers); filled from the
#                  Python registry when something is missing: about 7 GB, and llama.cpp is compiled (ten minutes on two cores)
#   RESULTS        file that the single figures are added to (default: a temporary one); peers/compare.py table RESULTS prints again
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd)
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/caravan/peers}
N=${N:-7}
STEPS=${STEPS:-32}
SCALE=${SCALE:-1}
ISA=${ISA:-native}
ROWS=${ROWS:-decode-64 decode-8 decode-1 prefill train step sync}
THREADS=${THREADS:-$(nproc)}
CARAVAN=$build/bin/caravan

say() { echo "compare: $*" >&2; }
[ -x "$CARAVAN" ] || { say "no $CARAVAN: name the build folder"; exit 2; }
case $ISA in native | avx2) ;; *) say "ISA=$ISA: expected native or avx2"; exit 2 ;; esac

# ---- the peers, once

mkdir -p "$peers/models"
if [ ! -e "$peers/torch.ready" ]; then
    say "installing PyTorch, transformers and TRL in $peers/torch"
    python3 -m venv "$peers/torch"
    "$peers/torch/bin/pip" install -q torch==2.15.0 transformers==5.24.0 trl==1.16.0 accelerate==1.15.0 datasets==5.2.0 gguf==0.19.0 sentencepiece protobuf jinja2
    touch "$peers/torch.ready"
fi

# llama NAME CMAKE_ARGS: from source, and never a wheel that an earlier build with other flags left in pip's cache.
llama() {
    [ -e "$peers/$1.ready" ] && return
    say "compiling llama.cpp in $peers/$1"
    python3 -m venv "$peers/$1"
    "$peers/$1/bin/pip" install -q numpy typing-extensions diskcache jinja2
    CMAKE_ARGS=$2 "$peers/$1/bin/pip" install -q --no-cache-dir --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36
    touch "$peers/$1.ready"
}
if [ "$ISA" = avx2 ]; then
    llama llama-avx2 "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_AVX512=OFF"
    LLAMA_PYTHON=$peers/llama-avx2/bin/python
    export ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
else
    llama llama "-DGGML_NATIVE=ON"
    LLAMA_PYTHON=$peers/llama/bin/python
fi
TORCH_PYTHON=$peers/torch/bin/python

MODEL=${MODEL:-$(sh "$here/../../deploy/fetch-model.sh" "$peers/models")}
MODEL=$(realpath "$MODEL")
MODELS=$peers/models
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false TRANSFORMERS_VERBOSITY=error
if [ ! -e "$MODELS/ready" ]; then
    say "converting the model for the peers"
    "$LLAMA_PYTHON" "$here/peers/to_gguf.py" "$MODEL" "$MODELS"
    "$TORCH_PYTHON" "$here/peers/to_hf.py" "$MODEL" "$MODELS/hf32"
    touch "$MODELS/ready"
fi

# ---- what oneDNN takes cannot be asked, but it says so when it is told to talk; a convolution always goes through it

onednn=$(ONEDNN_VERBOSE=1 "$TORCH_PYTHON" -c 'import torch
torch.nn.functional.conv2d(torch.ones(4, 16, 16, 16), torch.ones(16, 16, 3, 3))' 2>&1 | sed -n 's/.*info,cpu,isa:\(.*\)/\1/p' | head -1)
if [ "$ISA" = avx2 ] && [ "$onednn" != "Intel AVX2" ]; then
    say "oneDNN was told to keep to AVX2, it says '$onednn'"
    exit 1
fi

# ---- measure

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=${RESULTS:-$work/results.jsonl}
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
FACTS="$(date -u +%F), $cpu, $(nproc) cores, ISA=$ISA, threads of each: $THREADS, turns: $N; $("$TORCH_PYTHON" -c 'import torch, transformers, trl
print(f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), transformers {transformers.__version__}, TRL {trl.__version__}")' 2>/dev/null), oneDNN ${onednn:-silent}, $("$LLAMA_PYTHON" -c 'import llama_cpp
print(f"llama-cpp-python {llama_cpp.__version__}:", " ".join(p.split(" = ")[0].split()[-1] for p in llama_cpp.llama_print_system_info().decode().split("|") if "= 1" in p and "AVX" in p))')"
export CARAVAN MODEL MODELS TORCH_PYTHON LLAMA_PYTHON ISA N STEPS SCALE THREADS FACTS
sync=
compared=
for row in $ROWS; do
    if [ "$row" = sync ]; then sync=1; else compared="$compared $row"; fi
done
ROWS=$compared
export ROWS
"$TORCH_PYTHON" "$here/peers/compare.py" run "$results"
if [ "$sync" ] && [ -x "$build/bin/sync_bench" ]; then
    printf '\nSync, by sync_bench:\n\n```\n'
    "$CARAVAN" bench sync --model "$MODEL"
    printf '```\n'
elif [ "$sync" ]; then
    say "sync: no $build/bin/sync_bench, left out"
fi
