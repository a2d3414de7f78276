"""trl_step.py FOLDER GROUPS SAMPLES TOKENS THREADS: whole GRPO steps of TRL, f32, paced (turns.py).

The prompts of `caravan bench step`, SAMPLES answers of exactly TOKENS tokens to each of GROUPS prompts, random rewards. The first
step is not reported. A step that waits for its line waits before it begins.
"""
import os
import random
import sys
import tempfile
import time

import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from turns import say


class Turns(transformers.TrainerCallback):
    def __init__(self):
        self.step = 0

    def on_step_begin(self, *args, **kwargs):
        if self.step == 1:
            say(ready=True, isa=torch.backends.cpu.get_cpu_capability())
        if self.step and not sys.stdin.readline():
            os._exit(0)    # nobody asks for more; the trainer would first end its epoch
        self.start = time.perf_counter()

    def on_step_end(self, *args, **kwargs):
        if self.step:
            say(seconds=time.perf_counter() - self.start)
        self.step += 1


def main():
    folder = sys.argv[1]
    groups, samples, tokens, threads = map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    rng = random.Random(1)

    def row():
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        return {"prompt": [{"role": "user", "content": f"What is {a} + {b}? Reply with the number only."}]}

    def reward(completions, **kwargs):
        return [rng.random() for _ in completions]

    per_device = min(2, groups) * samples
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, fp16=False, report_to=[], save_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=per_device, gradient_accumulation_steps=groups * samples // per_device, num_generations=samples,
        max_completion_length=tokens, generation_kwargs={"min_new_tokens": tokens}, temperature=1.0, beta=0.0, learning_rate=1e-6,
        gradient_checkpointing=False, max_steps=10000, logging_steps=10000)
    trainer = GRPOTrainer(model=folder, reward_funcs=reward, args=config, train_dataset=Dataset.from_list([row() for _ in range(256)]))
    trainer.add_callback(Turns())
    sys.stdout = sys.stderr    # what the trainer prints is no answer
    trainer.train()


main()
