"""Holds an exported folder against transformers: that it loads unchanged, that both tokenise alike, and that log-probs agree.

    python -m venv venv && venv/bin/pip install torch transformers
    build/bin/caravan export RUN --out FOLDER
    venv/bin/python tests/tools/export_check.py FOLDER [--caravan build/bin/caravan] [--tolerance 3e-4]

Not part of the tests: it needs packages that Caravan does not. The weights are computed with in float32 on both sides, whatever
type the folder holds them in. Exit status 1 when something differs.
"""
import argparse
import json
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "What is 12 * 34? Show  your work:\n\t12 * 34 = 408",
    "naïve façade, 北京, 👩‍🚀 and \"quotes\" — it's all we'll need\r\n",
]


def ask(caravan, command, model, rows):
    done = subprocess.run([caravan, command, "--model", model], input="".join(json.dumps(r) + "\n" for r in rows),
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("caravan %s: %s%s" % (command, done.stdout, done.stderr))
    return [json.loads(line) for line in done.stdout.splitlines()]


def log_probs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--caravan", default="build/bin/caravan")
    p.add_argument("--tolerance", type=float, default=3e-4)
    a = p.parse_args()
    model, report = AutoModelForCausalLM.from_pretrained(a.folder, dtype=torch.float32, attn_implementation="eager",
                                                         output_loading_info=True)
    wrong = {k: v for k, v in report.items() if v}
    print("loaded %s: %.2f M parameters, %s" % (type(model).__name__, sum(x.numel() for x in model.parameters()) / 1e6,
                                                wrong or "nothing missing, nothing unexpected"))
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(a.folder)
    theirs = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in TEXTS]
    ours = [r["ids"] for r in ask(a.caravan, "tokenize", a.folder, [{"text": t} for t in TEXTS])]
    print("ids of %d texts: %s" % (len(TEXTS), "equal" if ours == theirs else "DIFFERENT"))
    worst = 0.0
    for ids, row in zip(theirs, ask(a.caravan, "logprobs", a.folder, [{"ids": i} for i in theirs])):
        worst = max([worst] + [abs(x - y) for x, y in zip(log_probs(model, ids), row["logprobs"])])
    print("log-probs of %d tokens: largest difference %.2e" % (sum(map(len, theirs)), worst))
    sys.exit(bool(wrong) or ours != theirs or worst > a.tolerance)


main()
