"""PyTorch's training step of BERT-base on a GPU, in bfloat16 autocast with dropout as ours has it:
eager and compiled, and at the first length compiled with CUDA graphs.  gpu.py runs this; it writes
lines of JSON."""

import argparse

import torch

from gpu_shapes import TOKENS_PER_STEP, TRAIN_LENGTHS
from ours import numbers
from peer_lines import PeerLines, machine
from train import time_peer

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=numbers, default=TRAIN_LENGTHS)
    parser.add_argument("--tokens", type=int, default=TOKENS_PER_STEP, help="of a step")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=600, help="after which no step begins")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    lines = PeerLines(options.output, options.seconds)
    lines.write(machine=machine())
    peers = [("eager", length) for length in options.lengths]
    peers += [("compiled", length) for length in options.lengths]
    peers += [("compiled graphs", options.lengths[0])]
    for peer, length in peers:
        mode = "reduce-overhead" if "graphs" in peer else "default"
        lines.measure(
            lambda: time_peer(length, peer != "eager", torch.bfloat16, attention_dropout=0.1,
                              device=options.device, tokens_per_step=options.tokens, mode=mode),
            peer=peer, length=length, sequences=max(1, options.tokens // length))
