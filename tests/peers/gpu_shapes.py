"""The problems that the suites of `treeformer bench --device=cuda` have (B, H, n, e)."""

LEAVES = 64             # of the trees of height 6 beside FlexAttention
GATED = (8192, 32768, 131072)
LENGTHS = (512, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
TRAIN_LENGTHS = (512, 4096)
TOKENS_PER_STEP = 16384


def shapes(lengths):
    """Those with gates first: time may be up."""
    found = []
    for length in sorted(lengths, key=lambda n: (n not in GATED, n)):
        found.append((16, 12, 512, 64) if length == 512 else (1, 16, length, 64))
        if length == 8192:
            found.append((1, 8, 8192, 96))
    return found


def columns(shape):
    return dict(zip(("sequences", "heads", "length", "head_width"), shape))
