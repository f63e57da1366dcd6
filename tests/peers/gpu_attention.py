"""PyTorch's attention on a GPU, in bfloat16: scaled_dot_product_attention by cuDNN and by flash,
alone and in a module with its projections, and FlexAttention inside random balanced leaves.

Passes: forward (no gradients kept; FlexAttention: kept), backward (of one forward pass, again and
again), both, and the module's.  gpu.py runs this; it writes lines of JSON."""

import argparse

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import flex_attention

from attention import PeerModule
from gpu_shapes import GATED, LEAVES, LENGTHS, columns, shapes
from leaf_mask import balanced_leaves, leaf_block_mask
from ours import numbers
from peer_lines import PeerLines, machine
from timing import timer_of

BACKENDS = {"cuDNN": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


def operands(shape, device):
    """q, k, v and dO [B, H, n, e]."""
    B, H, n, e = shape
    return [torch.randn(B, H, n, e, dtype=torch.bfloat16, device=device, requires_grad=i < 3)
            for i in range(4)]


def time_operator(lines, peer, shape, attend, device, inference=True):
    """Three passes; none after one that failed."""
    time = timer_of(device)
    q, k, v, d_o = operands(shape, device)

    def forward():
        with torch.set_grad_enabled(not inference):
            attend(q, k, v)

    def both():
        torch.autograd.grad(attend(q, k, v), (q, k, v), d_o)

    def backward_seconds():
        o = attend(q, k, v)
        return time(lambda: torch.autograd.grad(o, (q, k, v), d_o, retain_graph=True))

    passes = {"forward": lambda: time(forward), "backward": backward_seconds,
              "forward+backward": lambda: time(both)}
    for which, measurement in passes.items():
        line = {"peer": peer, "pass": which, **columns(shape)}
        if not lines.measure(measurement, **line):
            return


def time_layer(lines, peer, shape, attend, device):
    time = timer_of(device)
    B, H, n, e = shape
    module = PeerModule(backend=None, width=H * e, heads=H).to(device, torch.bfloat16)
    module.attend = attend
    x, dy = (torch.randn(B, n, H * e, dtype=torch.bfloat16, device=device) for _ in range(2))
    x.requires_grad_()

    def forward():
        with torch.no_grad():
            module(x)

    def both():
        module.zero_grad(set_to_none=True)
        x.grad = None
        module(x).backward(dy)

    for which, work in {"layer forward": forward, "layer forward+backward": both}.items():
        if not lines.measure(lambda: time(work), peer=peer, **{"pass": which}, **columns(shape)):
            return


def time_dense(lines, arguments):
    attend = torch.nn.functional.scaled_dot_product_attention
    for shape in shapes(arguments.lengths):
        for peer, backend in BACKENDS.items():
            with sdpa_kernel(backend):
                time_operator(lines, peer, shape, attend, arguments.device)
                time_layer(lines, peer, shape, attend, arguments.device)


def attend_flex(shape, in_order, device, compiled):
    _, H, n, _ = shape
    query_leaf, key_leaf = (balanced_leaves(H, n, LEAVES, in_order, device) for _ in range(2))
    mask = leaf_block_mask(query_leaf, key_leaf, LEAVES)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask)


def time_flex(lines, arguments):
    on_gpu = arguments.device == "cuda"
    torch._dynamo.config.recompile_limit = 64
    compiled = torch.compile(flex_attention, dynamic=False) if on_gpu else flex_attention
    for shape in shapes(set(arguments.lengths) & set(GATED) if on_gpu else arguments.lengths):
        if shape[0] != 1 or shape[3] != 64:
            continue
        for in_order, peer in ((True, "flex sorted"), (False, "flex unsorted")):
            attend = attend_flex(shape, in_order, arguments.device, compiled)
            time_operator(lines, peer, shape, attend, arguments.device, inference=not on_gpu)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("dense", "flex"), required=True)
    parser.add_argument("--lengths", type=numbers, default=LENGTHS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=600, help="after which no pass begins")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    output = PeerLines(options.output, options.seconds)
    output.write(machine=machine())
    {"dense": time_dense, "flex": time_flex}[options.part](output, options)
