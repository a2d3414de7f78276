"""compare.py: Caravan and its peers in turns, on the same shapes; called by ../compare.sh.

    compare.py run RESULTS.jsonl     measure (settings from the environment, see compare.sh) and print the table
    compare.py table RESULTS.jsonl   print the table again

For each row all contestants are started and made ready; then they take turns, one at work while the others wait for a line, in an
order that moves on by one with every turn. A ratio is taken within a turn, so that neighbours on the machine meet both sides alike.
"""
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
LLAMA = ["f32", "f16", "bf16", "q8_0", "q4_1"]
F32_SUMS = {"f32", "f16", "bf16"}    # accumulate in f32, as Caravan does; the others round activations to 8 bits


def as_many_cores_as_threads():
    """For each contestant alike: two daemons of one thread each are not to have two cores where a peer has one."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(os.environ["THREADS"])])


# ---- contestants

class Contestant:
    """figure: what counts in its answers; counts: the ratio to the best of these is the row's."""

    def __init__(self, name, argv, figure, counts=False, env=None):
        self.name, self.argv, self.figure, self.counts = name, argv, figure, counts
        self.env = dict(os.environ, **(env or {}))
        self.isa, self.process = None, None

    def start(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env, cwd=HERE,
                                        preexec_fn=as_many_cores_as_threads)
        ready = self.answer()
        if not ready.get("ready"):
            sys.exit(f"{self.name}: expected to be told that it is ready, got {ready}")
        self.isa = ready.get("isa")

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: ended with status {self.process.wait()}: {' '.join(self.argv)}")
        return json.loads(line)

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def used(self):
        return cpu_of_tree(self.process.pid)

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


class WholeRun(Contestant):
    """A program that is started for each turn and prints a line for each step. The last one does not count: nobody decodes ahead
    for the next any more."""

    def start(self):
        pass

    def turn(self):
        out = subprocess.run(self.argv, stdout=subprocess.PIPE, text=True, env=self.env, check=True, preexec_fn=as_many_cores_as_threads).stdout
        lines = [json.loads(line) for line in out.splitlines()][:-1]
        figures = {key: statistics.median(line[key] for line in lines) for key, value in lines[-1].items() if isinstance(value, (int, float))}
        return figures

    def used(self):
        return sum(os.times()[2:4])

    def stop(self):
        pass


def cpu_of_tree(pid):
    """Seconds of a process, its threads, and its children, ended ones included."""
    try:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        children = open(f"/proc/{pid}/task/{pid}/children").read().split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15])) / TICK + sum(cpu_of_tree(int(c)) for c in children)


def machine_busy():
    t = list(map(int, open("/proc/stat").readline().split()[1:9]))
    return (t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) / TICK


# ---- rows

class Settings:
    def __init__(self):
        e = os.environ
        self.caravan, self.model, self.models = e["CARAVAN"], e["MODEL"], e["MODELS"]
        self.torch, self.llama, self.isa = e["TORCH_PYTHON"], e["LLAMA_PYTHON"], e["ISA"]
        self.n, self.threads = int(e["N"]), e["THREADS"]
        self.rows, self.steps = e["ROWS"].split(), e["STEPS"]
        scale = int(e["SCALE"])
        self.prompts, self.sequences, self.groups = max(1, 64 // scale), max(1, 8 // scale), max(1, 8 // scale)
        self.device = "cpu-avx2" if self.isa == "avx2" else "cpu"

    def ours(self, what, *more):
        return [self.caravan, "bench", what, "--model", self.model, "--device", self.device, *more]

    def peer(self, python, script, *more):
        return [python, f"{HERE}/{script}", *map(str, more)]

    def gguf(self, kind):
        return self.model if kind == "q4_1" else f"{self.models}/{kind}.gguf"


def title(s, row):
    kind, _, width = row.partition("-")
    return {"decode": f"decode, {width} sequence" + "s" * (width != "1"), "prefill": f"prefill, {s.prompts} prompts of 64",
            "train": f"training step, {s.sequences} × 256", "step": f"GRPO step, {s.groups} × 8 answers of 64"}[kind]


def contestants(s, row):
    """Ours first."""
    hf = f"{s.models}/hf32"
    kind, _, width = row.partition("-")
    if kind == "decode":
        roofline = ["--roofline"] if width == "64" else []
        ours = s.ours("decode", "--paced", "--threads", s.threads, "--repeats", "10000", "--sequences", width, "--prompt", "64", "--steps", s.steps, *roofline)
        return [Contestant("caravan", ours, "tokens_per_s")] + [
            Contestant(f"llama.cpp {k}", s.peer(s.llama, "llama.py", "decode", s.gguf(k), width, 64, s.steps, s.threads), "tokens_per_s", k in F32_SUMS)
            for k in LLAMA] + [
            Contestant("transformers f32", s.peer(s.torch, "generate.py", hf, width, 64, s.steps, s.threads), "tokens_per_s")]
    if kind == "prefill":
        ours = s.ours("prefill", "--paced", "--threads", s.threads, "--repeats", "10000", "--sequences", str(s.prompts), "--prompt", "64", "--rows", "512", "--roofline")
        return [Contestant("caravan", ours, "tokens_per_s")] + [
            Contestant(f"llama.cpp {k}", s.peer(s.llama, "llama.py", "prefill", s.gguf(k), s.prompts, 64, 0, s.threads), "tokens_per_s", k in F32_SUMS)
            for k in LLAMA]
    if kind == "train":
        ours = s.ours("train", "--paced", "--threads", s.threads, "--repeats", "10000", "--sequences", str(s.sequences), "--tokens", "256", "--roofline")
        return [Contestant("caravan", ours, "tokens_per_s")] + [
            Contestant(f"PyTorch f32, micro-batch {m}", s.peer(s.torch, "train.py", hf, s.sequences, 256, m, s.threads), "tokens_per_s", True) for m in (1, 4)]
    if kind == "step":
        ours = s.ours("step", "--json", "--repeats", "3", "--skip", "1", "--groups", str(s.groups), "--samples", "8", "--tokens", "64",
                      "--actor-threads", s.threads, "--learner-threads", s.threads)
        return [WholeRun("caravan", ours, "seconds"), Contestant("TRL f32", s.peer(s.torch, "trl_step.py", hf, s.groups, 8, 64, s.threads), "seconds", True)]
    sys.exit(f"ROWS: {row}: expected decode-64, decode-8, decode-1, prefill, train or step")


def check_isa(s, c):
    """avx2: nobody may use more than that."""
    if s.isa == "avx2" and c.isa and ("AVX512" in c.isa.upper().replace("_", "").replace("-", "")):
        sys.exit(f"{c.name}: AVX2 was asked for, it uses {c.isa}")


def measure(s, row, out):
    cast = contestants(s, row)
    try:
        for c in cast:
            c.start()
        for turn in range(s.n):
            for k in range(len(cast)):
                c = cast[(turn + k) % len(cast)]
                busy, used, start = machine_busy(), c.used(), time.perf_counter()
                figures = c.turn()
                c.isa = c.isa or figures.get("isa")
                check_isa(s, c)
                wall, own = time.perf_counter() - start, c.used() - used
                others = max(0.0, machine_busy() - busy - own) / (wall * os.cpu_count())
                out.write(json.dumps({"row": row, "title": title(s, row), "who": c.name, "counts": c.counts, "figure": c.figure, "isa": c.isa, "turn": turn,
                                      "others": min(1.0, others), "figures": figures}) + "\n")
                out.flush()
            print(f"compare: {row}: turn {turn + 1} of {s.n}", file=sys.stderr)
    finally:
        for c in cast:
            c.stop()


# ---- the table

def quartile(values):
    return statistics.quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def number(x):
    return f"{x:,.0f}" if x >= 1000 else f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def spread(values):
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


class Rows:
    def __init__(self, records):
        self.records = records
        self.names = list(dict.fromkeys(r["row"] for r in records))

    def cast(self, row):
        return list(dict.fromkeys(r["who"] for r in self.records if r["row"] == row))

    def of(self, row, who):
        return sorted((r for r in self.records if r["row"] == row and r["who"] == who), key=lambda r: r["turn"])

    def values(self, row, who, figure=None):
        return [r["figures"][figure or r["figure"]] for r in self.of(row, who)]


UNITS = {"tokens_per_s": ("tokens/s", False), "seconds": ("s", True), "peak_mib": ("MiB", True)}


def by_cpu(rows, row, who, figure):
    """The ratio of tokens per processor second, where both say it."""
    key = "tokens_per_cpu_s"
    if figure != "tokens_per_s" or key not in rows.of(row, who)[0]["figures"]:
        return ""
    return f"{statistics.median(o / t for o, t in zip(rows.values(row, 'caravan', key), rows.values(row, who, key))):.2f}"


def print_figure(rows, row, figure, title):
    unit, less = UNITS[figure]
    ours = rows.values(row, "caravan", figure)
    peers = [w for w in rows.cast(row) if w != "caravan"]
    middle = {w: statistics.median(rows.values(row, w, figure)) for w in peers}
    counted = [w for w in peers if rows.of(row, w)[0]["counts"]]
    best = (min if less else max)(counted, key=middle.get)
    for who in ["caravan", *peers]:
        values = rows.values(row, who, figure)
        others = statistics.median(r["others"] for r in rows.of(row, who))
        cells = ["", "", ""]
        if who != "caravan":
            ratios = [t / o if less else o / t for o, t in zip(ours, values)]
            cells = [f"{statistics.median(ratios):.2f}", f"{quartile(ratios):.2f}", by_cpu(rows, row, who, figure)]
        name, title_cell = (f"**{who}**" if who == best else who), (title if who == "caravan" else "")
        print(f"| {title_cell} | {name} | {spread(values)} {unit} | {cells[0]} | {cells[1]} | {cells[2]} | {others:.0%} |")


def print_table(records):
    rows = Rows([r for r in records if "row" in r])
    for facts in (r for r in records if "facts" in r):
        print(facts["facts"] + "\n")
    print("| what | who | median (least–most) | times better | lower quartile | by processor time | others |\n|---|---|---|---|---|---|---|")
    for row in rows.names:
        ours = rows.of(row, "caravan")[0]
        print_figure(rows, row, ours["figure"], ours["title"])
        if row == "train":
            print_figure(rows, row, "peak_mib", "its peak memory")
    shares = [(row, rows.of(row, "caravan")) for row in rows.names if "products_share" in rows.of(row, "caravan")[0]["figures"]]
    if shares:
        print("\n| matrix products alone / whole | wall time | processor time | GFLOP/s of the products |\n|---|---|---|---|")
    for row, turns in shares:
        cells = [statistics.median(r["figures"][key] for r in turns) for key in ("products_share", "products_cpu_share", "products_gflops")]
        print(f"| {turns[0]['title']} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[2]:.0f} |")
    for isa in dict.fromkeys((r["who"], r["isa"]) for r in rows.records if r["who"].startswith("llama.cpp") and r["isa"]):
        if "BF16" in isa[1] and isa[0] == "llama.cpp bf16":
            print("\nThis llama.cpp uses AVX512_BF16 instructions for bf16: products of bf16 pairs, activations rounded to bf16, summed in f32.")


def main():
    what, path = sys.argv[1:]
    if what == "run":
        s = Settings()
        with open(path, "a") as out:
            out.write(json.dumps({"facts": os.environ["FACTS"]}) + "\n")
            for row in s.rows:
                measure(s, row, out)
    print_table([json.loads(line) for line in open(path)])


main()
