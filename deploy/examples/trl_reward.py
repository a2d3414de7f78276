"""A reward function for TRL's GRPOTrainer that asks a Caravan verifier over HTTP.

    caravan-verifier --http 127.0.0.1:8300 &
    trainer = GRPOTrainer(model=..., reward_funcs=reward, train_dataset=rows, ...)

Rows need the columns "dataset" or "checks" (or both) and, where a verifier compares, "ground_truth".
CARAVAN_VERIFIER is the address, CARAVAN_TOKEN the token where one is asked for. An answer that could
not be scored earns None, which TRL leaves out of the sum.
"""
import json
import os
import time
import urllib.error
import urllib.request

COLUMNS = ("dataset", "checks", "ground_truth", "finish")
BATCH = 4096  # items in one request, at most


def text_of(messages):
    """A completion (or prompt) is a text, or the messages of a conversation: the last one counts."""
    return messages if isinstance(messages, str) else (messages[-1].get("content") or "") if messages else ""


def score(items, tries=60):
    request = urllib.request.Request("http://%s/score" % os.environ.get("CARAVAN_VERIFIER", "127.0.0.1:8300"),
                                     json.dumps({"items": items}).encode(), {"Content-Type": "application/json"})
    if os.environ.get("CARAVAN_TOKEN"):
        request.add_header("Authorization", "Bearer " + os.environ["CARAVAN_TOKEN"])
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=600) as reply:
                return json.load(reply)["results"]
        except urllib.error.HTTPError as e:
            if e.code != 503 or not left:
                raise RuntimeError("verifier: %s %s" % (e.code, e.read().decode(errors="replace"))) from e
            time.sleep(float(e.headers.get("Retry-After") or 1))


def reward(prompts, completions, **columns):
    items = [{"prompt": text_of(p), "response": text_of(c)} for p, c in zip(prompts, completions)]
    for name in COLUMNS:
        for item, value in zip(items, columns.get(name) or []):
            item[name] = value
    results = [r for at in range(0, len(items), BATCH) for r in score(items[at:at + BATCH])]
    return [r["reward"] for r in results]  # unscored: null, so None
