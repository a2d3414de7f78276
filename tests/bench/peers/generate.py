"""generate.py FOLDER SEQUENCES PROMPT STEPS THREADS: batched generation of transformers in f32, paced (turns.py).

A turn generates one token and STEPS + 1 tokens for the same prompts: the first is the prefill, the difference the decoding.
"""
import sys
import time

import torch
from transformers import AutoModelForCausalLM

from turns import take


def main():
    folder = sys.argv[1]
    n, prompt, steps, threads = map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    ids = torch.randint(100, min(40000, model.config.vocab_size), (n, prompt))
    mask = torch.ones_like(ids)

    def seconds(tokens):
        start, cpu = time.perf_counter(), time.process_time()
        out = model.generate(ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, temperature=1.0, top_k=0)
        assert out.shape[1] == prompt + tokens
        return time.perf_counter() - start, time.process_time() - cpu

    def measure():
        (first, first_cpu), (whole, whole_cpu) = seconds(1), seconds(steps + 1)
        return {"tokens_per_s": n * steps / max(whole - first, 1e-9), "tokens_per_cpu_s": n * steps / max(whole_cpu - first_cpu, 1e-9)}

    with torch.no_grad():
        take(measure, isa=torch.backends.cpu.get_cpu_capability())


main()
