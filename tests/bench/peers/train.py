"""train.py FOLDER SEQUENCES TOKENS MICRO_BATCH THREADS: one GRPO step in PyTorch, f32, paced (turns.py).

Forward, the clipped token-level loss over behaviour log-probs that are the model's own (ratio 1), backward in micro-batches,
global-norm clipping, fused AdamW. peak_mib is the most memory that the process ever held.
"""
import re
import sys
import time

import torch
from transformers import AutoModelForCausalLM

from turns import take


def main():
    folder = sys.argv[1]
    n, length, micro, threads = map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    model.train()
    model.config.use_cache = False
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-8, fused=True)
    ids = torch.randint(100, min(40000, model.config.vocab_size), (n, length))
    advantage = torch.where(torch.arange(n) % 2 == 0, -1.0, 1.0)[:, None]

    def log_probs(x):
        logits = model(x).logits[:, :-1].float()
        return torch.log_softmax(logits, -1).gather(-1, x[:, 1:, None]).squeeze(-1)

    def step():
        optimiser.zero_grad(set_to_none=True)
        for first in range(0, n, micro):
            x, a = ids[first:first + micro], advantage[first:first + micro]
            logp = log_probs(x)
            ratio = torch.exp(logp - logp.detach())
            surrogate = torch.minimum(ratio * a, ratio.clamp(1 - 0.2, 1 + 0.272) * a)
            (-surrogate.sum() / (n * (length - 1))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    def measure():
        start, cpu = time.perf_counter(), time.process_time()
        step()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        peak = int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]) / 1024
        return {"tokens_per_s": n * length / seconds, "tokens_per_cpu_s": n * length / cpu_seconds, "peak_mib": peak}

    take(measure, isa=torch.backends.cpu.get_cpu_capability())


main()
