"""One self-attention module (8 heads, width 768, batch 1): treeformer against PyTorch on this CPU."""

import os

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ours import bench_rows, compare_all
from timing import median_seconds

WIDTH, HEADS = 768, 8
PASSES = ["forward", "forward+backward", "attention only"]


class PeerModule(torch.nn.Module):
    """The three projections as one product, which is the faster way."""

    def __init__(self, backend, width=WIDTH, heads=HEADS):
        super().__init__()
        self.qkv = torch.nn.Linear(width, 3 * width)
        self.out = torch.nn.Linear(width, width)
        self.backend = backend
        self.head_count = heads

    def heads(self, x):
        shape = (x.shape[0], x.shape[1], 3, self.head_count, -1)
        return self.qkv(x).view(shape).permute(2, 0, 3, 1, 4)

    def attend(self, q, k, v):
        with sdpa_kernel(self.backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    def forward(self, x):
        o = self.attend(*self.heads(x))
        return self.out(o.transpose(1, 2).reshape(x.shape))


def time_peer(length, backend, dtype, passes):
    module = PeerModule(backend).to(dtype)
    x = torch.randn(1, length, WIDTH, dtype=dtype, requires_grad=True)
    gradient = torch.randn(1, length, WIDTH, dtype=dtype)
    with torch.no_grad():
        q, k, v = (part.contiguous() for part in module.heads(x))

    def forward():
        with torch.no_grad():
            module(x)

    def attention():
        with torch.no_grad():
            module.attend(q, k, v)

    def both():
        module.zero_grad(set_to_none=True)
        module(x).backward(gradient)

    works = dict(zip(PASSES, (forward, both, attention)))
    return {which: median_seconds(works[which]) for which in passes}


PEERS = {"fused float32": (SDPBackend.FLASH_ATTENTION, torch.float32),
         "fused bfloat16": (SDPBackend.FLASH_ATTENTION, torch.bfloat16),
         "math float32": (SDPBackend.MATH, torch.float32),
         "math bfloat16": (SDPBackend.MATH, torch.bfloat16)}
LONGEST_MATH = 8192  # n x n scores for every head
HOPELESS = 4         # times slower than the fastest: left out at greater lengths
hopeless = {}        # (peer, threads) -> the length that showed it


def time_peers(length, threads, arguments):
    times = {}
    for name, (backend, dtype) in PEERS.items():
        if arguments.peers not in name or backend == SDPBackend.MATH and length > LONGEST_MATH:
            continue
        if length > hopeless.get((name, threads), length):
            print(f"PyTorch {name} left out: over {HOPELESS} times slower than the fastest at"
                  f" n = {hopeless[name, threads]}")
            continue
        times[name] = time_peer(length, backend, dtype, arguments.passes)
    totals = {name: sum(seconds.values()) for name, seconds in times.items()}
    for name, total in totals.items():
        if total > HOPELESS * min(totals.values()):
            hopeless.setdefault((name, threads), length)
    return times


def compare(length, threads, arguments):
    torch.set_num_threads(threads)
    ours = bench_rows("attention", length, threads, arguments)
    peers = time_peers(length, threads, arguments)
    for which in arguments.passes:
        seconds = {name: times[which] for name, times in peers.items()}
        best32 = min((time for name, time in seconds.items() if "float32" in name),
                     default=float("nan"))
        best = min(seconds.values())
        listed = ", ".join(f"{name} {1e3 * time:.1f}" for name, time in seconds.items())
        print(f"\nn = {length}, {threads} threads, {which}: PyTorch {torch.__version__} {listed} ms")
        for row in ours:
            if row["pass"] != which:
                continue
            time = row["seconds"]
            print(f"  {row['attention']:<22} {1e3 * time:9.2f} ms   fastest float32 peer / ours"
                  f" {best32 / time:6.2f}   any dtype {best / time:6.2f}"
                  f"   ours / floor {time / row['floor_seconds']:.2f}", flush=True)


if __name__ == "__main__":
    compare_all(compare, __doc__, lengths=[512, 1024, 2048, 4096, 8192],
                threads=[1, os.cpu_count()], passes=PASSES)
