"""FlexAttention's mask of attention inside leaves."""

import torch
from torch.nn.attention.flex_attention import BlockMask

BLOCK = 128


def balanced_leaves(heads, length, leaves, in_order, device):
    """[heads, length]: as many rows in every leaf, in the order of the leaves or at random places,
    others for each head."""
    leaf = torch.arange(length, device=device) * leaves // length
    if in_order:
        return leaf.expand(heads, length).contiguous()
    return torch.stack([leaf[torch.randperm(length, device=device)] for _ in range(heads)])


def leaf_mask(query_leaf, key_leaf):
    def same_leaf(b, h, i, j):
        return query_leaf[h, i] == key_leaf[h, j]

    return same_leaf


def leaf_block_mask(query_leaf, key_leaf, leaves):
    """What create_block_mask makes of leaf_mask, without its [heads, n, n] booleans."""
    in_query, in_key = (leaves_of_blocks(leaf, leaves) for leaf in (query_leaf, key_leaf))
    meets = in_query.float() @ in_key.float().transpose(1, 2) > 0
    of_one_leaf = (in_query.sum(2) == 1).unsqueeze(2) & (in_key.sum(2) == 1).unsqueeze(1)
    full = meets & of_one_leaf
    return BlockMask.from_kv_blocks(*block_lists(meets & ~full), *block_lists(full),
                                    BLOCK_SIZE=BLOCK, mask_mod=leaf_mask(query_leaf, key_leaf))


def leaves_of_blocks(leaf, leaves):
    """[heads, blocks, leaves]: which leaves a block of rows has."""
    heads, length = leaf.shape
    blocks = leaf.view(heads, length // BLOCK, BLOCK)
    present = torch.zeros(heads, length // BLOCK, leaves, dtype=torch.bool, device=leaf.device)
    return present.scatter_(2, blocks, True)


def block_lists(blocks):
    """Of [heads, query blocks, key blocks]: numbers and indices of key blocks, with batch 1."""
    ordered = torch.argsort(blocks.int(), dim=2, descending=True, stable=True)
    return blocks.sum(2, dtype=torch.int32).unsqueeze(0), ordered.int().unsqueeze(0)
