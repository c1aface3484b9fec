"""What the order of a context is worth, and what is only the confusion of a model that never saw shuffled text.

A model trained on ordered text expects order, so its loss on a shuffled context is that of a wrong expectation.
`ContextReader` cannot be confused: it looks at the last `CONTEXT` tokens, and gets how far back each one is only up
to windows of a width. With width 1 it knows their order; with width 4 only that a token is among the last four, the
four before, and so on; with the width of the whole context it has a bag of words. Its state depends on nothing else, so
shuffling tokens within their windows changes nothing. One network is trained on all widths, drawn for each row, and on
every token of the text; its losses differ by what the order is worth to it. `bag_nats` predicts from the bag by counts,
without a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from scratchlm.data.batches import Batch, Order, Tokens, WindowBatches
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.points import LAST
from scratchlm.inspection.trace import trace
from scratchlm.model.attention.grouped import GroupedQueryAttention
from scratchlm.model.config import AttentionConfig, DecoderConfig
from scratchlm.model.decoder import Block, Decoder, initialise
from scratchlm.model.network import CausalLM, Ids, Stream
from scratchlm.model.norms import build_norm
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.training.config import ScheduleConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

CONTEXT = 16
"""Tokens of a context whose order is tested."""
WIDTHS = (1, 2, 4, 8, 16)
"""Widths of the windows within which the order is unknown; 1 keeps it."""
LAYERS, HEADS = 2, 8
"""Layers of the network that reads a context, and heads of each."""
EVALUATED = 64
"""Rows that are evaluated together."""
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Weights of the single tokens' frequencies that `bag_nats` tries."""


class ReaderBlock(Block):
    """A block whose query is the state of a position, and whose keys and values are the tokens before it."""

    attention: GroupedQueryAttention

    def read(self, x: Stream, tokens: Stream, places: Float[Tensor, "B K D"]) -> Stream:
        """Add what the block computes from the last K tokens of each position, the position's own included.

        `places` are added to the keys and values of these tokens, the farthest first.
        """
        q, k, v = (self.attention.heads(part) for part in self._projected(self.attention_norm(x), tokens))
        k_place, v_place = (
            self.attention.heads(matrix(places)) for matrix in (self.attention.key, self.attention.value)
        )
        count = places.size(1)
        k, v = (F.pad(each, (0, 0, 0, 0, count - 1, 0)).unfold(1, count, 1) for each in (k, v))  # (B, T, H, E, K)
        scores = torch.einsum("bthe,bthek->bthk", q, k) + torch.einsum("bthe,bkhe->bthk", q, k_place)
        at = torch.arange(x.size(1), device=x.device)
        exists = at[:, None] + torch.arange(1 - count, 1, device=x.device) >= 0  # (T, K)
        scores = (scores / math.sqrt(q.size(-1))).masked_fill(~exists[:, None], -math.inf)
        weights = scores.softmax(-1)
        mixed = torch.einsum("bthk,bthek->bthe", weights, v) + torch.einsum("bthk,bkhe->bthe", weights, v_place)
        x = x + self.attention.output(mixed.flatten(2))
        return x + self.feed_forward(self.feed_forward_norm(x))

    def _projected(self, x: Stream, tokens: Stream) -> tuple[Stream, Stream, Stream]:
        return self.attention.query(x), self.attention.key(tokens), self.attention.value(tokens)


class ContextReader(CausalLM):
    """Predicts each next token from the last `CONTEXT` tokens, whose places it knows only up to windows of a width.

    `documents` holds the number of the width, in `WIDTHS`, at each position; a row has one width.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.blocks = nn.ModuleList(ReaderBlock(config, layer) for layer in range(config.layers))
        self.token_norm = build_norm(config.width, config.norm)
        self.places = nn.Embedding(CONTEXT, config.width)
        self.widths = nn.Embedding(len(WIDTHS), config.width)
        self.build_end()

    def hidden(self, ids: Ids, *, documents: Ids | None = None) -> Stream:
        """Return the states of all positions."""
        assert documents is not None, "say by `documents` which width each row has"
        kinds = documents[:, 0]
        back = torch.arange(CONTEXT - 1, -1, -1, device=ids.device)  # the farthest token first
        widths = torch.tensor(WIDTHS, device=ids.device)[kinds]
        places = self.token_norm(self.places(back // widths[:, None]))
        tokens = self.token_norm(self.embedding(ids))
        x = self.widths(kinds)[:, None].expand(-1, ids.size(1), -1)
        for block in self.blocks:
            assert isinstance(block, ReaderBlock)
            x = block.read(x, tokens, places)
        return self.final_norm(x)

    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token: 6 for each weight of a matrix product."""
        return 6.0 * self.parameter_count()


@dataclass(frozen=True)
class WidthBatches(WindowBatches):
    """Windows of text, each with a width drawn for it in `documents`."""

    def _batch(self, order: Order) -> Batch:
        before = order.state()
        batch = super()._batch(order)
        draw = np.random.default_rng([self.seed, before["epoch"], before["index"], 1])
        kinds = torch.from_numpy(draw.integers(0, len(WIDTHS), (self.rows, 1)))
        return replace(batch, documents=kinds.expand_as(batch.ids).contiguous())


def train_reader(decoder: Decoder, tokens: Tokens, steps: int, seed: int) -> ContextReader:
    """Train a network that reads contexts on all widths; it begins with the embedding of a pretrained decoder."""
    config = decoder.config
    attention = AttentionConfig(heads=HEADS, kv_heads=HEADS, head_dim=config.width // HEADS, qk_norm=False)
    reader = initialise(ContextReader(replace(config, layers=LAYERS, attention=attention)), seed)
    reader.embedding.weight.data.copy_(decoder.embedding.weight.data)
    recipe = load_recipe("default", config.layers).training
    training = replace(recipe, steps=steps, schedule=ScheduleConfig("linear", warmup_steps=10))
    batches = WidthBatches(tokens, training.batch_size, training.sequence_length, seed)
    fit(Loop(reader, batches, training, runtime=RuntimeConfig(seed=seed)))
    return reader


@torch.no_grad()
def reader_nats(reader: ContextReader, windows: Int[Tensor, "N T"]) -> dict[str, Float[ndarray, " N"]]:
    """Return the loss in nats of each window's last token, by the width of windows of unknown order."""
    reader.eval()
    rows = windows[:, -CONTEXT - 1 :]
    nats = {}
    for kind, width in enumerate(WIDTHS):
        hidden = reader.hidden(rows[:, :-1], documents=torch.full_like(rows[:, :-1], kind))[:, -1]
        nats[str(width)] = _nats(reader.logits(hidden), rows[:, -1])
    return nats


@torch.no_grad()
def last_nats(decoder: Decoder, windows: Int[Tensor, "N T"], edit: Sequence[Edit] = ()) -> Float[ndarray, " N"]:
    """Return the loss in nats of each window's last token given the others."""
    nats = []
    for start in range(0, len(windows), EVALUATED):
        rows = windows[start : start + EVALUATED]
        hidden = trace(decoder, rows[:, :-1], [LAST], edit)[LAST]
        nats.append(_nats(decoder.logits(hidden[:, -1]), rows[:, -1]))
    return np.concatenate(nats)


def _nats(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[ndarray, " N"]:
    return F.cross_entropy(logits.float(), targets, reduction="none").double().numpy()


def shuffled(contexts: Int[Tensor, "N K"], width: int, draw: np.random.Generator) -> Int[Tensor, "N K"]:
    """Shuffle each row within consecutive windows of `width` tokens, which divides K."""
    rows, length = contexts.shape
    order = draw.random((rows, length // width, width)).argsort(-1)
    places = order + np.arange(0, length, width)[None, :, None]
    return contexts.gather(1, torch.from_numpy(places.reshape(rows, length)))


def shuffled_nats(decoder: Decoder, windows: Int[Tensor, "N T"]) -> dict[str, Float[ndarray, " N"]]:
    """Return a decoder's loss of each window's last token, by the width of windows within which tokens are shuffled."""
    nats = {}
    for width in WIDTHS:
        context = shuffled(windows[:, -CONTEXT - 1 : -1], width, np.random.default_rng(width))
        nats[str(width)] = last_nats(decoder, torch.cat([context, windows[:, -1:]], 1))
    return nats


def bag_nats(tokens: ndarray, windows: Int[Tensor, "N T"], size: int) -> Float[ndarray, " N"]:
    """Return the loss of each window's last token from the bag of the tokens before it, by counts of training tokens.

    The probability is a mixture: the frequency of the token, and the mean over the tokens of the bag of how often it
    occurred within the next `CONTEXT` tokens of them. The last tenth of the training tokens chooses its weight. Needs
    about 16 bytes for each pair of the `size` tokens of the vocabulary.
    """
    ids = np.asarray(tokens, np.int64)
    cut = len(ids) - max(CONTEXT + 1, len(ids) // 10)
    learned, held_out = ids[:cut], ids[cut:]
    single = (np.bincount(learned, minlength=size) + 0.5) / (len(learned) + 0.5 * size)
    after = np.zeros(size * size, np.float32)
    for distance in range(1, CONTEXT + 1):
        after += np.bincount(learned[:-distance] * size + learned[distance:], minlength=size * size)
    table = after.reshape(size, size)
    table /= np.maximum(table.sum(1, keepdims=True), 1)
    starts = np.arange(0, len(held_out) - CONTEXT, max(1, (len(held_out) - CONTEXT) // 2000))
    trial = np.stack([held_out[at : at + CONTEXT + 1] for at in starts])
    losses = {weight: _mixed(trial, single, table, weight) for weight in WEIGHTS}
    weight = min(losses, key=lambda weight: float(losses[weight].mean()))
    return _mixed(windows[:, -CONTEXT - 1 :].numpy(), single, table, weight)


def _mixed(
    rows: Int[ndarray, "N T"], single: Float[ndarray, " V"], table: Float[ndarray, "V V"], weight: float
) -> Float[ndarray, " N"]:
    bag = table[rows[:, :-1], rows[:, -1:]].mean(1)
    nats: Float[ndarray, " N"] = -np.log(weight * single[rows[:, -1]] + (1 - weight) * bag)
    return nats
