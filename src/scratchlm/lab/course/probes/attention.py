"""Probes of chapter 3: heads and attention."""

from __future__ import annotations

from types import ModuleType

from scratchlm.lab.course.probing import Outputs, differentiated, filled, numbers, shape_of


def split_heads(mine: ModuleType) -> Outputs:
    """Channels are given to heads; no number changes."""
    for shape, heads in (((2, 5, 12), 3), ((1, 4, 8), 4)):
        x = numbers(*shape)
        label = f"x of {shape_of(x)} in {heads} heads"
        yield from differentiated(label, lambda x, heads=heads: mine.split_heads(x, heads), [x], ["x"])


def join_heads(mine: ModuleType) -> Outputs:
    """The inverse of `split_heads`."""
    for shape in ((2, 3, 5, 4), (1, 4, 4, 2)):
        x = numbers(*shape)
        yield from differentiated(f"x of {shape_of(x)}", mine.join_heads, [x], ["x"])


def attention_weights(mine: ModuleType) -> Outputs:
    """One head, several heads in a batch, and scores so large that only a stable softmax survives."""
    for shape, scale in (((5, 8), 1.0), ((2, 3, 6, 4), 1.0), ((1, 2, 4, 16), 30.0), ((1, 1, 1, 4), 1.0)):
        q, k = numbers(*shape, scale=scale), numbers(*shape, seed=1, scale=scale)
        yield from differentiated(f"q and k of {shape}", mine.attention_weights, [q, k], ["q", "k"])


def block_attention(mine: ModuleType) -> Outputs:
    """The whole attention of a block, with its four linear maps."""
    for batch, time, width, heads in ((2, 5, 12, 3), (1, 7, 8, 1), (2, 4, 8, 4)):
        block = filled(mine.Block(width, heads))
        x = numbers(batch, time, width, seed=2)
        yield from differentiated(f"x of {shape_of(x)}, {heads} heads", block.attention, [x], ["x"], block)


PROBES = {
    "split_heads": split_heads,
    "join_heads": join_heads,
    "attention_weights": attention_weights,
    "Block.attention": block_attention,
}
