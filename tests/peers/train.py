"""A training step of BERT-base (masked language model, AdamW): treeformer against PyTorch."""

import gc
import os
import statistics

import torch
from torch.nn import functional

from ours import bench_rows, compare_all
from timing import timer_of

LAYERS, WIDTH, HEADS, VOCABULARY, TOKENS_PER_STEP = 12, 768, 12, 30522, 4096


class Layer(torch.nn.Module):
    def __init__(self, attention_dropout):
        super().__init__()
        self.attention_dropout = attention_dropout
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH)
        self.out = torch.nn.Linear(WIDTH, WIDTH)
        self.inner = torch.nn.Linear(WIDTH, 4 * WIDTH)
        self.outer = torch.nn.Linear(4 * WIDTH, WIDTH)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))

    def forward(self, x):
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        o = functional.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attention_dropout)
        o = self.out(o.transpose(1, 2).reshape(x.shape))
        x = self.norms[0](x + functional.dropout(o, 0.1))
        f = self.outer(functional.gelu(self.inner(x)))
        return self.norms[1](x + functional.dropout(f, 0.1))


class Bert(torch.nn.Module):
    def __init__(self, length, attention_dropout):
        super().__init__()
        self.tokens = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.positions = torch.nn.Parameter(0.02 * torch.randn(length, WIDTH))
        self.norm = torch.nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = torch.nn.ModuleList(Layer(attention_dropout) for _ in range(LAYERS))
        self.head = torch.nn.Linear(WIDTH, WIDTH)
        self.head_norm = torch.nn.LayerNorm(WIDTH, eps=1e-12)
        self.bias = torch.nn.Parameter(torch.zeros(VOCABULARY))

    def forward(self, tokens, places, targets):
        x = functional.dropout(self.norm(self.tokens(tokens) + self.positions), 0.1)
        for layer in self.layers:
            x = layer(x)
        masked = x.flatten(0, 1)[places]  # the vocabulary only at masked positions, as ours
        masked = self.head_norm(functional.gelu(self.head(masked)))
        return functional.cross_entropy(
            functional.linear(masked, self.tokens.weight, self.bias), targets)


def time_peer(length, compiled, dtype, attention_dropout, device="cpu",
              tokens_per_step=TOKENS_PER_STEP, mode="default"):
    model = Bert(length, attention_dropout).to(device)
    step_model = torch.compile(model, mode=mode) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    sequences = max(1, tokens_per_step // length)
    count = sequences * (length * 15 // 100)
    tokens = torch.randint(VOCABULARY, (sequences, length), device=device)
    places = torch.randperm(sequences * length, device=device)[:count].sort().values
    targets = torch.randint(VOCABULARY, (count,), device=device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = step_model(tokens, places, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step()  # compiles
    return timer_of(device)(step)


def peers_of(length):
    """Attention dropout keeps PyTorch from its fused kernel, so that it, and ours, are timed with
    and without.  The n x n probabilities of 12 layers limit the length with dropout."""
    dtypes = [torch.float32]
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        dtypes.append(torch.bfloat16)
    else:
        print("PyTorch bfloat16 left out: this processor has no products of it")
    for dtype in dtypes:
        for compiled in (False, True):
            for dropout in (0.1, 0.0) if length <= 1024 else (0.0,):
                name = f"{'compiled' if compiled else 'eager'} {str(dtype).split('.')[1]}"
                yield name + ("" if dropout else " no dropout"), compiled, dtype, dropout


def median_of(rounds, name):
    return statistics.median(seconds[name] for seconds in rounds)


def fastest(rounds, word, no_dropout):
    return min((median_of(rounds, name) for name in rounds[0]
                if name.startswith("PyTorch") and word in name
                and ("no dropout" in name) == no_dropout), default=float("nan"))


def time_round(length, threads, arguments):
    """Seconds of a step, by name: ours, then each peer; printed as they come."""
    seconds = {}
    for row in bench_rows("train", length, threads, arguments):
        name = f"ours {row['attention']} {row['dtype']}"
        seconds[name] = row["seconds"]
        print(f"    {name:<36}{seconds[name]:9.2f} s   density {row['density']:.3f}", flush=True)
    for name, compiled, dtype, dropout in peers_of(length):
        if arguments.peers in name:
            name = "PyTorch " + name
            seconds[name] = time_peer(length, compiled, dtype, dropout)
            print(f"    {name:<36}{seconds[name]:9.2f} s", flush=True)
            gc.collect()
    return seconds


def compare(length, threads, arguments):
    torch.set_num_threads(threads)
    tokens = max(1, TOKENS_PER_STEP // length) * length
    print(f"\nn = {length}, {threads} threads, PyTorch {torch.__version__}; tokens/s, medians of "
          f"{arguments.rounds} rounds; against the fastest peer with the same dropout", flush=True)
    rounds = [time_round(length, threads, arguments) for _ in range(arguments.rounds)]
    for name in rounds[0]:
        line = f"  {name:<36}{tokens / median_of(rounds, name):9.0f}"
        if name.startswith("ours"):
            no_dropout = "no dropout" in name
            for word in "float32", "":
                ratio = fastest(rounds, word, no_dropout) / median_of(rounds, name)
                line += f"   / {word or 'any dtype'} {ratio:.2f}"
            line += f"   without dropout {fastest(rounds, '', True) / median_of(rounds, name):.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    compare_all(compare, __doc__, lengths=[512, 4096], threads=[os.cpu_count()],
                rounds=1)
