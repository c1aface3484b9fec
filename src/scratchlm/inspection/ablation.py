"""Ablation: what changes when a part of a model is switched off. Patching: what changes when it is another text's.

Many edited passes are rows of one: a row each, which differ only in their edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError, raise_all
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.heads import Head, require_head
from scratchlm.inspection.points import LAST
from scratchlm.inspection.prediction import Prediction, log_probability
from scratchlm.inspection.trace import trace

ROWS = 16
"""Edited passes that are computed together."""
Way = Literal["zero", "mean"]
Reads = Literal["q", "k", "v"]
"""What a head reads of the stream: for its queries, keys or values."""


@dataclass(frozen=True)
class Ablations:
    """Probability of the token in question without each part."""

    whole: float
    """With all parts."""
    heads: Float[Tensor, "L H"]
    attention: Float[Tensor, " L"]
    feed_forward: Float[Tensor, " L"]


@torch.no_grad()
def edited_logits(prediction: Prediction, edits: Sequence[Sequence[Edit]]) -> Float[Tensor, "E V"]:
    """Return the scores of the next token under each of several sets of edits, some rows of one pass at a time."""
    results = []
    for start in range(0, len(edits), ROWS):
        group = edits[start : start + ROWS]
        rows = [replace(edit, rows=[row]) for row, each in enumerate(group) for edit in each]
        ids = prediction.ids.expand(len(group), -1)
        normed = trace(prediction.model, ids, [LAST], rows)[LAST][:, -1]
        results.append(prediction.decoder.logits(normed).float())
    return torch.cat(results)


def ablate(prediction: Prediction, way: Way = "zero") -> Ablations:
    """Ablate each head, each attention and each feed-forward; return the probability of the token in question.

    `way` says what stands in a part's place: nothing, or its mean over the text, which is closer to what the parts
    behind it are used to. Costs L * (H + 2) passes.
    """
    shape = prediction.decoder.config
    layers, heads = range(shape.layers), shape.attention.heads
    edits = [[Edit(f"blocks.{layer}.attn.hook_z", way, heads=[head])] for layer in layers for head in range(heads)]
    edits += [[Edit(f"blocks.{layer}.{name}", way)] for name in ("hook_attn_out", "hook_mlp_out") for layer in layers]
    chances = log_probability(edited_logits(prediction, edits), prediction.target).exp()
    of_heads, attention, feed_forward = torch.split(chances, [shape.layers * heads, shape.layers, shape.layers])
    return Ablations(prediction.probability, of_heads.view(shape.layers, heads), attention, feed_forward)


@dataclass(frozen=True)
class Patches:
    """How far a patch brings the other text's answer back: 0 as without it, 1 as in the other text."""

    stream: Float[Tensor, "L T"]
    """The stream before each layer, at each position."""
    attention: Float[Tensor, "L T"]
    feed_forward: Float[Tensor, "L T"]
    heads: Float[Tensor, "L H"]
    """Each head, at all positions."""
    base: float
    """The token in question less the other text's own: difference of logits without a patch."""
    source: float
    """The same difference in the other text."""


def require_alike(prediction: Prediction, source: Prediction) -> None:
    """Refuse two texts that cannot be patched, or that say the same. Raises `UserError`."""
    problems = []
    if prediction.ids.shape != source.ids.shape:
        counts = f"{prediction.ids.size(1)} and {source.ids.size(1)}"
        problems.append(f"patching: the texts have {counts} tokens; give two with as many, which differ in a few words")
    elif torch.equal(prediction.ids, source.ids):
        problems.append("patching: the two texts are the same; give two that differ in a few words")
    own, other = (each.piece(each.target) for each in (prediction, source))
    if prediction.target == source.target:
        problems.append(f"patching: both texts go on with {own!r}; give texts that differ in what comes next")
    raise_all(problems)
    first, last = (float(lead(each.logits, prediction, source)) for each in (prediction, source))
    if not first < 0 < last:
        raise UserError(
            f"patching: of {other!r} and {own!r} the first text must prefer {own!r} and the other one {other!r}; the "
            f"score of {other!r} less that of {own!r} is {first:+.2f} and {last:+.2f}; leave --target out"
        )


def lead(logits: Float[Tensor, "*batch V"], prediction: Prediction, source: Prediction) -> Float[Tensor, "*batch"]:
    """Return by how much the score of the source's token exceeds that of the own token."""
    return logits[..., source.target] - logits[..., prediction.target]


def recovered(logits: Float[Tensor, "*batch V"], prediction: Prediction, source: Prediction) -> Float[Tensor, "*batch"]:
    """Return how much of the source's answer is recovered: 0 where logits stay, 1 where they are as in the source."""
    first, last = (lead(each.logits, prediction, source) for each in (prediction, source))
    return (lead(logits, prediction, source) - first) / (last - first)


@torch.no_grad()
def patch(prediction: Prediction, source: Prediction) -> Patches:
    """Put values of the `source` text into this one, one at a time, and see whose answer comes out.

    The texts must have as many tokens, and go on differently. What is measured is the logit of the source's token less
    that of this text's own, from 0 without a patch to 1 as in the source. Costs L * (3 T + H) passes. Source: Wang et
    al. 2022, "Interpretability in the Wild" (arXiv 2211.00593).
    """
    require_alike(prediction, source)
    names = {"stream": "hook_resid_pre", "attention": "hook_attn_out", "feed_forward": "hook_mlp_out"}
    values = trace(source.model, source.ids, [*names.values(), "attn.hook_z"])
    shape, length = prediction.decoder.config, prediction.ids.size(1)
    layers = range(shape.layers)
    first, last = (float(lead(each.logits, prediction, source)) for each in (prediction, source))

    def shares(edits: Sequence[Sequence[Edit]]) -> Tensor:
        return recovered(edited_logits(prediction, edits), prediction, source).view(shape.layers, -1)

    of_places = {
        part: shares([
            [Edit.patch(values, f"blocks.{layer}.{name}", positions=[place])]
            for layer in layers for place in range(length)
        ])
        for part, name in names.items()
    }  # fmt: skip
    of_heads = shares([
        [Edit.patch(values, f"blocks.{layer}.attn.hook_z", heads=[head])]
        for layer in layers for head in range(shape.attention.heads)
    ])  # fmt: skip
    return Patches(**of_places, heads=of_heads, base=first, source=last)


@torch.no_grad()
def patch_path(prediction: Prediction, source: Prediction, sender: Head, receiver: Head, reads: Reads = "q") -> float:
    """Return how far the direct path from one head to another brings the other text's answer back.

    The receiver alone reads a stream in which the sender's part is that of the source; what lies between them, and all
    other readers, see the text's own. `reads` is which of the receiver's inputs gets it; of keys and values that
    several heads share, the other heads keep their own. 0 is no effect, 1 the source's answer. Source: Goldowsky-Dill
    et al. 2023, "Localizing model behavior with path patching" (arXiv 2304.05969).
    """
    require_alike(prediction, source)
    if sender[0] >= receiver[0]:
        raise UserError(f"path patching: layer {sender[0]} is not before layer {receiver[0]}; a path goes upwards")
    model, ids, shape = prediction.model, prediction.ids, prediction.decoder.config.attention
    for head in (sender, receiver):
        require_head(prediction.decoder, head)
    result, between = f"blocks.{sender[0]}.attn.hook_result", range(sender[0], receiver[0])
    frozen = [f"blocks.{layer}.hook_mlp_out" for layer in between]
    frozen += [f"blocks.{layer}.hook_attn_out" for layer in between[1:]]
    own, other = prediction.watch(*frozen), source.watch(result)
    edits = [Edit.patch(own, name) for name in frozen] + [Edit.patch(other, result, heads=[sender[1]])]
    name, output = (f"blocks.{receiver[0]}.attn.hook_{each}" for each in (reads, "z"))
    read = trace(model, ids, [name], edits)[name]
    group = receiver[1] * read.size(2) // shape.heads  # several heads share keys and values
    mixed = trace(model, ids, [output], Edit.replace(name, read, heads=[group]))[output]
    logits = trace(model, ids, edit=Edit.replace(output, mixed, heads=[receiver[1]])).logits[0, -1].float()
    return float(recovered(logits, prediction, source))
