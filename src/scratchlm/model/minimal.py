"""A GPT in one file: tokenizer, decoder, loss, AdamW, training, sampling. Read this file first.

`python -m scratchlm.model.minimal TEXT_FILE [STEPS] [CONTEXT]` trains a small GPT-2 (Radford et al. 2019). A test holds
it equal to the package. Shapes: `B` batch, `T` time (positions), `V` vocabulary, `D` width, `H` heads.
"""

import math
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

PATTERN = r" ?\w+| ?[^\w\s]+|\s+"  # a token never crosses from one match to the next


def merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Replace `pair` by the id `new`, from left to right."""
    out: list[int] = []
    for id in ids:
        out.append(id)
        if tuple(out[-2:]) == pair:
            out[-2:] = [new]
    return out


class Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016): ids 0 to 255 are bytes, each later id joins a pair of earlier ones."""

    def __init__(self, text: str, vocabulary_size: int) -> None:
        self.merges: dict[tuple[int, int], int] = {}
        self.bytes = [bytes([byte]) for byte in range(256)]
        times = Counter(re.findall(PATTERN, text))
        words = {word: list(word.encode()) for word in times}
        for new in range(256, vocabulary_size):
            counts: Counter[tuple[int, int]] = Counter()
            for word, ids in words.items():
                for pair in pairwise(ids):
                    counts[pair] += times[word]
            if not counts:
                break
            best = min(counts, key=lambda pair: (-counts[pair], pair))  # the most frequent; of equals, the smallest ids
            self.merges[best] = new
            self.bytes.append(self.bytes[best[0]] + self.bytes[best[1]])
            words = {word: merge(ids, best, new) for word, ids in words.items()}

    def encode(self, text: str) -> list[int]:
        """Return ids: the bytes of each word, merged in the order in which the merges were learned."""
        out: list[int] = []
        for word in re.findall(PATTERN, text):
            ids = list(word.encode())
            while known := [(self.merges[pair], pair) for pair in pairwise(ids) if pair in self.merges]:
                new, pair = min(known)
                ids = merge(ids, pair, new)
            out += ids
        return out

    def decode(self, ids: list[int]) -> str:
        """Return text; bytes that make no character become U+FFFD."""
        return b"".join(self.bytes[id] for id in ids).decode(errors="replace")


def windows(ids: Tensor, starts: Tensor, context: int) -> Tensor:
    """Return rows (B, T + 1): as many tokens as the context from each start, and the one after them, a target."""
    return torch.stack([ids[start : start + context + 1] for start in starts.tolist()])


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Give each head its share of the channels: (B, T, D) to (B, H, T, D / H)."""
    batch, time, width = x.shape
    return x.view(batch, time, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Put the channels of all heads beside each other again: (B, H, T, d) to (B, T, H * d)."""
    return x.transpose(1, 2).flatten(2)


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """Return how much each position takes from itself and each earlier one: (..., T, d) twice to (..., T, T)."""
    scores = q @ k.mT / math.sqrt(q.size(-1))  # without the root, wide heads would give large scores
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)  # no position sees a later one
    return scores.masked_fill(future, float("-inf")).softmax(-1)  # each row sums to 1


def gelu(x: Tensor) -> Tensor:
    """Return x where it is well above 0, nearly 0 where it is well below (Hendrycks and Gimpel 2016, with tanh)."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class LayerNorm(nn.Module):
    """Each vector with mean 0 and variance 1, then times and plus learned numbers (Ba et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position by itself: (B, T, D) to (B, T, D)."""
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred / (variance + 1e-5).sqrt() * self.weight + self.bias  # the root never divides by 0


class Block(nn.Module):
    """One layer: attention and feed-forward read the normalised residual stream (a vector per position), add to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = LayerNorm(width), LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x: Tensor) -> Tensor:
        """Causal multi-head self-attention (Vaswani et al. 2017): (B, T, D) to (B, T, D)."""
        q, k, v = (split_heads(part(x), self.heads) for part in (self.query, self.key, self.value))
        return self.output(join_heads(attention_weights(q, k) @ v))  # of each head a weighted mean of values

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream after this layer: (B, T, D) to (B, T, D)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(gelu(self.up(self.feed_forward_norm(x))))


class GPT(nn.Module):
    """The decoder: ids in, logits of the next token out."""

    def __init__(self, vocabulary: int, context: int = 64, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.embedding, self.position_embedding = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks, self.final_norm = nn.ModuleList(Block(width, heads) for _ in range(layers)), LayerNorm(width)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # what adds to the stream begins smaller, the more layers add
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * layers) if "output" in name or "down" in name else 1))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits: (B, T) to (B, T, V). Those at position t score each token as the one after it."""
        x = self.embedding(ids) + self.position_embedding.weight[: ids.size(1)]
        for block in self.blocks:
            x = block(x)
        return self.final_norm(x) @ self.embedding.weight.T  # the embedding again, as the output layer


def loss_of(model: GPT, rows: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats, of each next token in rows (B, T + 1)."""
    log_probabilities = model(rows[:, :-1]).log_softmax(-1)  # (B, T, V)
    return -log_probabilities.gather(-1, rows[:, 1:, None]).mean()  # the log-probability of each true next token


def learning_rate(step: int, steps: int, highest: float = 1e-3) -> float:
    """Return the rate of a step, counted from 1: the highest one first, then on a straight line towards 0."""
    return highest * (1 - (step - 1) / steps)


@torch.no_grad()
def adamw(weight: Tensor, mean: Tensor, square: Tensor, gradient: Tensor, step: int, lr: float) -> None:
    """Adam with decoupled weight decay of matrices (Loshchilov and Hutter 2017); `step` counts from 1."""
    mean.mul_(0.9).add_(gradient, alpha=1 - 0.9)  # running averages of the gradient and of its square
    square.mul_(0.95).addcmul_(gradient, gradient, value=1 - 0.95)
    weight.mul_(1 - lr * 0.1 * (weight.dim() == 2))
    weight.sub_(lr * (mean / (1 - 0.9**step)) / ((square / (1 - 0.95**step)).sqrt() + 1e-8))  # bias-corrected


@torch.no_grad()
def sample(model: GPT, ids: list[int], count: int, temperature: float = 0.8) -> list[int]:
    """Return `ids` and `count` tokens more, drawn from the model's probabilities; at temperature 0 the likeliest."""
    for _ in range(count):  # the model reads the last tokens that fit its context and scores the next one
        logits = model(torch.tensor([ids[-model.position_embedding.num_embeddings :]]))[0, -1]  # (V,)
        ids = [*ids, int(torch.multinomial((logits / temperature).softmax(-1), 1) if temperature else logits.argmax())]
    return ids


def main(path: str, steps: int = 500, context: int = 64) -> None:
    """Train on a text file of more tokens than the context, then continue its beginning."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(text := Path(path).read_text(encoding="utf-8"), vocabulary_size=512)
    ids, model = torch.tensor(tokenizer.encode(text)), GPT(len(tokenizer.bytes), context)
    states = [(weight, torch.zeros_like(weight), torch.zeros_like(weight)) for weight in model.parameters()]
    for step in range(1, steps + 1):
        starts = torch.randint(len(ids) - context, (16,))
        loss = loss_of(model, windows(ids, starts, context))
        for state, gradient in zip(states, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            adamw(*state, gradient, step, learning_rate(step, steps))
        if step % 100 == 0 or step == 1:
            print(f"step {step}: loss {loss.item():.3f}")
    print(tokenizer.decode(sample(model, ids[:16].tolist(), 200)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
