"""Fine-tuning in the plainest code: rows of a batch, a class head, F1, masked losses, replies, rates, LoRA.

The exercises of chapters 6, 7, D and E are functions of this file. A test holds each equal to the package. Shapes: `B`
batch, `T` time (positions), `V` vocabulary, `D` width, `I` inputs and `O` outputs of a matrix, `R` rank.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Put texts of different length into one table: ids (B, T), filled up at the end with `pad`; lengths (B)."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), pad)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids, lengths


def last_states(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the state of each text's last token, which has read all of it: (B, T, D) to (B, D)."""
    return states[torch.arange(len(states)), lengths - 1]


def mean_states(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean state of each text's tokens, without what fills up: (B, T, D) to (B, D)."""
    real = torch.arange(states.size(1)) < lengths[:, None]  # (B, T)
    return (states * real[..., None]).sum(1) / lengths[:, None]


def f1(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """Return F1 of class 1: the harmonic mean of precision and recall, and 0 where nothing is right."""
    right = sum(predicted == label == 1 for predicted, label in zip(predictions, labels, strict=True))
    return 2 * right / (sum(predictions) + sum(labels)) if right else 0.0


def conversation(
    turns: Sequence[tuple[str, str]], encode: Callable[[str], list[int]], start: int, end: int
) -> tuple[list[int], list[int]]:
    """Return the ids of turns (role, text), and for each id 1 where the model shall learn to write it, else 0.

    A turn is `start`, the role, a newline, the text, `end`. The assistant's texts are learned, each with its `end`.
    """
    ids: list[int] = []
    mask: list[int] = []
    for role, text in turns:
        head, body = [start, *encode(role), *encode("\n")], [*encode(text), end]
        ids += head + body
        mask += [0] * len(head) + [int(role == "assistant")] * len(body)
    return ids, mask


def masked_loss(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the mean loss of the tokens that are learned: logits (B, T, V) of ids (B, T), mask (B, T) of 0 and 1.

    Logits at a position score the token after it.
    """
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    learned = mask[:, 1:].flatten().float()
    return (losses * learned).sum() / learned.sum()


def reply(scores: Callable[[list[int]], Tensor], ids: list[int], end: int, most: int) -> list[int]:
    """Return the likeliest reply to ids, up to `end`, which is left out, and at most so many tokens.

    `scores(ids)` returns the logits (V) of the next token.
    """
    written: list[int] = []
    while len(written) < most:
        token = int(scores(ids + written).argmax())
        if token == end:
            break
        written.append(token)
    return written


def rate_at(step: int, steps: int, warmup: int, highest: float, lowest: float = 0.0) -> float:
    """Return the learning rate of a step, counted from 1: up on a straight line, then down on half a cosine."""
    if step <= warmup:
        return highest * step / warmup
    done = (step - warmup) / (steps - warmup)
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * done)) / 2


def clipped(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return gradients with the same direction; all together they are no longer than the limit."""
    length = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    return [gradient * min(1.0, limit / (length.item() + 1e-6)) for gradient in gradients]


def accumulated(parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Return the gradient of a batch from those of its parts: (gradient of the mean loss, number of targets) each."""
    total = sum(count for _, count in parts)
    return torch.stack([gradient * (count / total) for gradient, count in parts]).sum(0)


class LoRALinear(nn.Module):
    """A frozen matrix with a learned change of low rank (Hu et al. 2021, arXiv 2106.09685)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)  # (O, I)
        self.down = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))  # (R, I)
        self.up = nn.Parameter(torch.zeros(outputs, rank))  # (O, R); zero, so that nothing changes at first
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """Return what the matrix makes of x, and the change: (..., I) to (..., O)."""
        return x @ self.weight.T + self.scale * (x @ self.down.T) @ self.up.T

    def merged(self) -> Tensor:
        """Return one matrix (O, I) that does the same."""
        return self.weight + self.scale * self.up @ self.down


def lora_parameters(shapes: Sequence[tuple[int, int]], rank: int) -> int:
    """Return how many numbers are learned beside matrices of these shapes (O, I)."""
    return sum(rank * (outputs + inputs) for outputs, inputs in shapes)
