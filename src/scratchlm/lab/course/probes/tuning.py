"""Probes of chapters 6, 7, D and E: classes, replies, learning rates, LoRA."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from scratchlm.lab.course.probing import Outputs, differentiated, filled, numbers

LENGTHS = torch.tensor([3, 5, 1])


def padded(mine: ModuleType) -> Outputs:
    """Rows of different and of equal length; the id that fills up occurs in a text too."""
    for rows, pad in (([[5, 7, 2], [1], [9, 4, 4, 8]], 3), ([[6, 0], [0, 6]], 0), ([[2, 9, 9, 2, 1]], 9)):
        copies = [list(row) for row in rows]
        ids, lengths = mine.padded(copies, pad)
        yield f"ids of padded({rows}, {pad})", ids
        yield f"lengths of padded({rows}, {pad})", lengths
        yield f"padded({rows}, {pad}): inputs that were changed", [] if copies == rows else ["rows"]


def last_states(mine: ModuleType) -> Outputs:
    """States of three texts, of which one has a single token and one fills the table."""
    yield from differentiated(
        "states (3, 5, 4), lengths 3, 5, 1",
        lambda states: mine.last_states(states, LENGTHS),
        [numbers(3, 5, 4)],
        ["states"],
    )


def mean_states(mine: ModuleType) -> Outputs:
    """The same; what fills up holds large numbers."""
    states = numbers(3, 5, 4)
    states[0, 3:], states[2, 1:] = 50.0, -30.0
    yield from differentiated(
        "states (3, 5, 4), lengths 3, 5, 1", lambda states: mine.mean_states(states, LENGTHS), [states], ["states"]
    )


def f1(mine: ModuleType) -> Outputs:
    """Few and many right, none right, nothing predicted, no positive text."""
    truth = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    for predictions in ([1, 1, 0, 1, 0, 0, 0, 0, 0, 0], [1] * 10, truth, [0, 0, 0, 1, 1, 0, 0, 0, 0, 0], [0] * 10):
        yield f"f1({predictions}, {truth})", float(mine.f1(predictions, truth))
    yield "f1([1, 0], [0, 0])", float(mine.f1([1, 0], [0, 0]))


def _encode(text: str) -> list[int]:
    """Return a number for each character."""
    return [ord(character) for character in text]


def conversation(mine: ModuleType) -> Outputs:
    """One question, two, a system text, and an empty reply."""
    for turns in (
        [("user", "Hi?"), ("assistant", "Hello.")],
        [("system", "Be brief."), ("user", "A"), ("assistant", "B"), ("user", "C"), ("assistant", "D")],
        [("user", "?"), ("assistant", "")],
    ):
        ids, mask = mine.conversation(turns, _encode, 1001, 1002)
        yield f"ids of {turns}", ids
        yield f"mask of {turns}", mask


def masked_loss(mine: ModuleType) -> Outputs:
    """Two texts, of which one has many learned tokens, the other few."""
    ids = torch.tensor([[3, 1, 4, 1, 0, 2], [2, 4, 0, 3, 3, 1]])
    mask = torch.tensor([[0, 1, 1, 1, 0, 1], [0, 0, 0, 0, 1, 0]])
    yield from differentiated(
        "logits (2, 6, 5)",
        lambda logits: mine.masked_loss(logits, ids, mask),
        [numbers(2, 6, 5, scale=2.0)],
        ["logits"],
    )


def reply(mine: ModuleType) -> Outputs:
    """A model that counts upwards, by ones or by twos as its first id says: it comes to the end, or is stopped."""

    def scores(ids: list[int]) -> Tensor:
        logits = numbers(12, seed=len(ids))
        logits[min(11, ids[-1] + 1 + ids[0] % 2)] += 20.0
        return logits

    for ids, most in (([2], 20), ([2, 7], 3), ([10], 5), ([5], 9), ([4], 0)):
        copy = list(ids)
        yield f"reply(scores, {ids}, 11, {most})", list(mine.reply(scores, copy, 11, most))
        yield f"reply(scores, {ids}, 11, {most}): inputs that were changed", [] if copy == ids else ["ids"]


def rate_at(mine: ModuleType) -> Outputs:
    """Warming up, at the highest, in the middle, at the end."""
    for step in (1, 3, 5, 6, 9, 15, 24, 25):
        yield f"rate_at({step}, 25, 5, 0.02)", float(mine.rate_at(step, 25, 5, 0.02))
    yield "rate_at(10, 12, 2, 1.0, 0.1)", float(mine.rate_at(10, 12, 2, 1.0, 0.1))
    yield "rate_at(12, 12, 2, 1.0, 0.1)", float(mine.rate_at(12, 12, 2, 1.0, 0.1))


def clipped(mine: ModuleType) -> Outputs:
    """Gradients that are too long together, though none is alone; and short ones."""
    for scale, limit in ((1.0, 2.0), (0.01, 2.0), (30.0, 1.0)):
        gradients = [numbers(3, 2, seed=1, scale=scale), numbers(4, seed=2, scale=scale)]
        copies = [each.clone() for each in gradients]
        for place, each in enumerate(mine.clipped(gradients, limit)):
            yield f"gradient {place} of size {scale}, limit {limit}", each
        changed = [
            f"gradient {at}"
            for at, (one, copy) in enumerate(zip(gradients, copies, strict=True))
            if not one.equal(copy)
        ]
        yield f"size {scale}, limit {limit}: inputs that were changed", changed


def accumulated(mine: ModuleType) -> Outputs:
    """Parts of equal and of different size."""
    for counts in ((4, 4), (10, 2, 1), (7,)):
        parts = [(numbers(3, 2, seed=place), count) for place, count in enumerate(counts)]
        yield f"parts with {', '.join(map(str, counts))} targets", mine.accumulated(parts)


def lora_forward(mine: ModuleType) -> Outputs:
    """A matrix from 5 to 4 with rank 2, whose change is no longer zero."""
    network = filled(mine.LoRALinear(numbers(4, 5, seed=7), 2, 6.0))
    yield from differentiated("x (2, 3, 5), rank 2, alpha 6", network, [numbers(2, 3, 5, seed=8)], ["x"], network)
    fresh = mine.LoRALinear(numbers(4, 5, seed=7), 2, 6.0)
    yield "a fresh one, x (3, 5)", fresh(numbers(3, 5, seed=9))


def lora_merged(mine: ModuleType) -> Outputs:
    """The same matrix."""
    network = filled(mine.LoRALinear(numbers(4, 5, seed=7), 2, 6.0))
    before = network.weight.detach().clone()
    yield "merged, rank 2, alpha 6", network.merged()
    yield "merged: inputs that were changed", [] if network.weight.equal(before) else ["weight"]


def lora_parameters(mine: ModuleType) -> Outputs:
    """Square and oblong matrices."""
    for shapes, rank in (([(768, 768), (768, 768)], 8), ([(3072, 768), (768, 3072), (768, 768)], 16), ([], 4)):
        yield f"lora_parameters({shapes}, {rank})", int(mine.lora_parameters(shapes, rank))


PROBES = {
    "padded": padded,
    "last_states": last_states,
    "mean_states": mean_states,
    "f1": f1,
    "conversation": conversation,
    "masked_loss": masked_loss,
    "reply": reply,
    "rate_at": rate_at,
    "clipped": clipped,
    "accumulated": accumulated,
    "LoRALinear.forward": lora_forward,
    "LoRALinear.merged": lora_merged,
    "lora_parameters": lora_parameters,
}
