"""llama.py WHAT MODEL.gguf SEQUENCES PROMPT STEPS THREADS: llama.cpp, paced (turns.py).

WHAT is decode (all sequences grow by one token a pass; the rate is by the median pass, each with its greedy choice from the logits)
or prefill (prompts of PROMPT tokens, no logits). Through the C interface, so that no sequence is padded or copied in Python.
"""
import ctypes
import statistics
import sys
import time

import llama_cpp as ll
import numpy

from turns import take

BATCH = 2048


class Peer:
    def __init__(self, path, sequences, prompt, steps, threads):
        self.n, self.prompt, self.steps = sequences, prompt, steps
        ll.llama_backend_init()
        self.model = ll.llama_model_load_from_file(path.encode(), ll.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.py: cannot load {path}")
        p = ll.llama_context_default_params()
        p.n_ctx = sequences * (prompt + steps + 8)
        p.n_batch, p.n_ubatch, p.n_seq_max = BATCH, 512, sequences
        p.n_threads = p.n_threads_batch = threads
        p.kv_unified = False
        self.context = ll.llama_init_from_model(self.model, p)
        if not self.context:
            sys.exit(f"llama.py: no context for {sequences} sequences")
        self.vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))
        self.batch = ll.llama_batch_init(BATCH, 0, 1)

    def run(self, rows, logits):
        """rows: (token, position, sequence)…; at most BATCH of them."""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (token, position, sequence) in enumerate(rows):
            b.token[i], b.pos[i], b.logits[i] = token, position, logits
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = sequence
        if ll.llama_decode(self.context, b) != 0:
            sys.exit("llama.py: llama_decode failed")

    def fill(self):
        ll.llama_memory_clear(ll.llama_get_memory(self.context), True)
        rows = [(100 + (i * 7 + s) % 900, i, s) for s in range(self.n) for i in range(self.prompt)]
        per = BATCH // self.prompt * self.prompt
        for first in range(0, len(rows), per):
            self.run(rows[first:first + per], 0)
        ll.llama_synchronize(self.context)

    def prefill(self):
        start, cpu = time.perf_counter(), time.process_time()
        self.fill()
        tokens = self.n * self.prompt
        return {"tokens_per_s": tokens / (time.perf_counter() - start), "tokens_per_cpu_s": tokens / (time.process_time() - cpu)}

    def decode(self):
        self.fill()
        cpu, passes, next_token = time.process_time(), [], [100 + s % 900 for s in range(self.n)]
        for step in range(self.steps):
            start = time.perf_counter()
            self.run([(next_token[s], self.prompt + step, s) for s in range(self.n)], 1)
            ll.llama_synchronize(self.context)
            logits = numpy.ctypeslib.as_array(ll.llama_get_logits(self.context), shape=(self.n, self.vocab))
            next_token = logits.argmax(1).tolist()
            passes.append(time.perf_counter() - start)
        tokens = self.n * self.steps
        return {"tokens_per_s": self.n / statistics.median(passes), "mean_tokens_per_s": tokens / sum(passes),
                "tokens_per_cpu_s": tokens / (time.process_time() - cpu)}


@ll.llama_log_callback
def silent(level, text, data):
    pass


def main():
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    what, path = sys.argv[1:3]
    peer = Peer(path, *map(int, sys.argv[3:]))
    has = [part.split(" = ")[0].split()[-1] for part in ll.llama_print_system_info().decode().split("|") if "= 1" in part]
    take({"decode": peer.decode, "prefill": peer.prefill}[what], isa=" ".join(x for x in has if x.startswith("AVX")))


main()
