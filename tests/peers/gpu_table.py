"""One page of Markdown from the lines of JSON that gpu.py gathers: gates, operators, peers, training
steps.  Needs no PyTorch.

  ours     rows of `treeformer bench --device=cuda` (launcher/bench/timing/operator_suite.h)
  train    the same of --suite=train
  peers    lines of gpu_attention.py and gpu_train.py"""

DENSE = ("cuDNN", "flash")
SHAPE = ("sequences", "heads", "length", "head_width")
BALANCED, SKEWED = "TF h=6 balanced", "TF h=6 density .3"

# Times that the best dense kernel takes over ours, at B 1, H 16, e 64.
RATIOS = [(BALANCED, 8192, "forward", 6, 12), (BALANCED, 8192, "backward", 5, 10),
          (BALANCED, 32768, "forward", 15, 30), (BALANCED, 32768, "backward", 10, 25),
          (BALANCED, 131072, "forward", 20, 45), (BALANCED, 131072, "backward", 13, 40),
          *((SKEWED, n, which, gate, 2.4) for n in (8192, 32768, 131072)
            for which, gate in (("forward", 1.3), ("backward", 1.0)))]
# Shares of the copy rate, where the operands are larger than a cache.
BANDWIDTHS = [("TC h=7", n, "forward", 0.6, 0.8) for n in (32768, 131072)] + [
    (BALANCED, n, "route", 0.6, 0.6) for n in (32768, 131072)]
LARGEST_STEP = 0.93      # of our step over PyTorch's best, n = 512
LARGEST_MEMORY = 1.1     # of bytes a token at 131,072 over those at 32,768


def shape_of(row):
    return tuple(row[name] for name in SHAPE)


def verdict(value, gate, goal, larger_is_better=True):
    if value is None:
        return "not measured"
    if value >= goal if larger_is_better else value <= goal:
        return "goal met"
    return "gate met" if (value >= gate if larger_is_better else value <= gate) else "**missed**"


def number(value, digits=2):
    return "-" if value is None else f"{value:,.{digits}f}"


def markdown(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


class Results:
    def __init__(self, ours, train, peers):
        self.rates = next((row for row in ours if "copy_bytes_per_second" in row), {})
        self.operators = [row for row in ours if "pass" in row]
        self.steps = [row for row in train if "tokens_per_second" in row]
        self.machine = next((line["machine"] for line in peers if "machine" in line), {})
        self.peers = [line for line in peers if "pass" in line and "seconds" in line]
        self.peer_steps = [line for line in peers if "seconds" in line and "pass" not in line]
        self.failures = [line for line in peers if "error" in line]

    def best_dense(self, shape, which):
        """The fastest line of a dense peer, or None."""
        found = [line for line in self.peers if line["peer"] in DENSE and line["pass"] == which
                 and shape_of(line) == shape]
        return min(found, key=lambda line: line["seconds"], default=None)

    def operator(self, attention, length, which):
        shape = (1, 16, length, 64)
        return next((row for row in self.operators if row["attention"] == attention
                     and row["pass"] == which and shape_of(row) == shape), None)

    def ratio(self, row):
        best = self.best_dense(shape_of(row), row["pass"]) if row else None
        return best["seconds"] / row["seconds"] if best else None

    def copy_share(self, row):
        copy = self.rates.get("copy_bytes_per_second")
        if not row or not copy or not row["bytes"]:
            return None
        return row["bytes"] / row["seconds"] / copy

    def bytes_a_token(self, length):
        row = self.operator(BALANCED, length, "layer forward+backward")
        return row["held_bytes"] / length if row else None


def gate_rows(results):
    for attention, length, which, gate, goal in RATIOS:
        row = results.operator(attention, length, which)
        best = results.best_dense((1, 16, length, 64), which)
        ratio = results.ratio(row)
        yield (f"best dense / {attention}", f"{length:,}", which,
               number(1e3 * row["seconds"], 3) if row else "-",
               f"{number(1e3 * best['seconds'], 3)} {best['peer']}" if best else "-",
               number(ratio), gate, goal, verdict(ratio, gate, goal))
    for attention, length, which, gate, goal in BANDWIDTHS:
        row = results.operator(attention, length, which)
        share = results.copy_share(row)
        yield (f"{attention}: share of the copy rate", f"{length:,}", which,
               number(1e3 * row["seconds"], 3) if row else "-", "-", number(share), gate, goal,
               verdict(share, gate, goal))
    yield step_gate(results)
    small, large = results.bytes_a_token(32768), results.bytes_a_token(131072)
    growth = large / small if small and large else None
    yield (f"{BALANCED}: bytes a token, over those at 32,768", "131,072", "layer", "-", "-",
           number(growth), LARGEST_MEMORY, 1,
           verdict(growth, LARGEST_MEMORY, 1, larger_is_better=False))


def gates_not_measured(results):
    return sum(row[-1] == verdict(None, 0, 0) for row in gate_rows(results))


def best_step(results, length, sequences):
    found = [line for line in results.peer_steps
             if line["length"] == length and line["sequences"] == sequences]
    return min(found, key=lambda line: line["seconds"], default=None)


def step_gate(results):
    rows = [row for row in results.steps
            if row["length"] == 512 and row["attention"].startswith("TF")]
    row = min(rows, key=lambda row: row["seconds"], default=None)
    best = best_step(results, 512, row["sequences"]) if row else None
    share = row["seconds"] / best["seconds"] if best else None
    return ("BERT-base step, ours / PyTorch's best", "512", "step",
            f"{number(1e3 * row['seconds'], 1)} {row['attention']}" if row else "-",
            f"{number(1e3 * best['seconds'], 1)} {best['peer']}" if best else "-", number(share),
            LARGEST_STEP, LARGEST_STEP,
            verdict(share, LARGEST_STEP, LARGEST_STEP, larger_is_better=False))


def problem(row):
    return " x ".join(f"{row[name]:,}" for name in SHAPE)


def operator_rows(results):
    matmul = results.rates.get("matmul_flops_per_second")
    for row in results.operators:
        flops = row["flops"] / row["seconds"] if row["flops"] else None
        yield (problem(row), row["attention"], row["pass"], number(1e3 * row["seconds"], 3),
               number(flops and flops * 1e-12, 1), number(flops and matmul and flops / matmul),
               number(row["useful_share"]),
               number(row["bytes"] / row["seconds"] * 1e-9 if row["bytes"] else None, 0),
               number(results.copy_share(row)), number(row["density"], 4),
               number(results.ratio(row)), f"{row['held_bytes'] / 2**20:,.0f}")


def peer_flops(line):
    """Of dense attention; None for others."""
    if line["peer"] not in DENSE or line["pass"].startswith("layer"):
        return None
    times = {"forward": 1, "backward": 2.5, "forward+backward": 3.5}[line["pass"]]
    B, H, n, e = shape_of(line)
    return times * 4 * B * H * n * n * e


def peer_rows(results):
    for line in results.peers:
        flops = peer_flops(line)
        yield (problem(line), line["peer"], line["pass"], number(1e3 * line["seconds"], 3),
               number(flops and flops / line["seconds"] * 1e-12, 1))


def step_rows(results):
    for row in results.steps:
        best = best_step(results, row["length"], row["sequences"])
        yield (f"{row['length']:,}", row["sequences"], "ours, " + row["attention"],
               number(1e3 * row["seconds"], 1), number(row["tokens_per_second"], 0),
               number(row["density"], 3), number(row["seconds"] / best["seconds"] if best else None))
    for line in results.peer_steps:
        tokens = line["length"] * line["sequences"]
        yield (f"{line['length']:,}", line["sequences"], "PyTorch " + line["peer"],
               number(1e3 * line["seconds"], 1), number(tokens / line["seconds"], 0), "-", "-")


def failure(line):
    where = problem(line) if "head_width" in line else f"n = {line.get('length', '?')}"
    return f"* {line.get('peer', 'ours')}, {where}, {line.get('pass', 'step')}: {line['error']}"


def page(ours, train, peers, notes=()):
    results = Results(ours, train, peers)
    copy = results.rates.get("copy_bytes_per_second")
    matmul = results.rates.get("matmul_flops_per_second")
    parts = [
        ", ".join(f"{name} {value}" for name, value in results.machine.items()),
        f"Copy {number(copy and copy * 1e-12)} TB/s (read and written), bfloat16 matrix product"
        f" {number(matmul and matmul * 1e-12, 0)} TFLOP/s.  All in bfloat16; ours: route, sort and"
        " attention, backward with the tree's gradient; shares and ratios of this run.",
        "### Gates and goals",
        markdown(("what", "n", "pass", "ours, ms", "best dense or PyTorch, ms", "value", "gate",
                  "goal", "verdict"), gate_rows(results)),
        "### Operators",
        markdown(("B x H x n x e", "attention", "pass", "ms", "TFLOP/s of useful work",
                  "share of matrix product", "useful share of scores", "GB/s", "share of copy",
                  "density", "best dense / ours", "held MiB"), operator_rows(results)),
        "### PyTorch's attention",
        markdown(("B x H x n x e", "peer", "pass", "ms", "TFLOP/s"), peer_rows(results)),
        "### Training steps of BERT-base",
        markdown(("n", "sequences", "model", "ms a step", "tokens/s", "density",
                  "ours / PyTorch's best"), step_rows(results))]
    missing = [failure(line) for line in results.failures] + [f"* {note}" for note in notes]
    if missing:
        parts += ["### Not measured", "\n".join(missing)]
    return "\n\n".join(part for part in parts if part) + "\n"
