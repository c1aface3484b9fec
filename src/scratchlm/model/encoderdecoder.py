"""The other branches of the family, from the same parts: an encoder-decoder, and an encoder that sees both sides.

An encoder-decoder (Vaswani et al. 2017, arXiv 1706.03762) reads a source with attention that looks everywhere, then
writes a target whose every token looks back at the target so far and across at the source. An encoder alone (Devlin et
al. 2018, arXiv 1810.04805) is trained to restore tokens that were hidden: it sees both sides, and has no order in which
to write.

Neither is a decoder: a prediction may have seen what comes later in its row. What trains them needs hidden states of
shape (B, T, D) and a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scratchlm.base.errors import raise_all
from scratchlm.model.attention.base import AttentionContext, project_back
from scratchlm.model.attention.grouped import GroupedQueryAttention, Projections
from scratchlm.model.attention.scaled_dot_product import Keys, fused_attention
from scratchlm.model.cache import KVCache
from scratchlm.model.config import (
    DecoderConfig,
    NoClassesConfig,
    NoMultiTokenPredictionConfig,
    NoNgramsConfig,
    NoX0ResidualConfig,
    RopeConfig,
)
from scratchlm.model.decoder import Block, initialise
from scratchlm.model.dropout import Dropout
from scratchlm.model.feedforward import build_feed_forward
from scratchlm.model.network import Ids, Layer, Stream, Transformer
from scratchlm.model.norms import build_norm

SOURCE, TARGET, FILLING = 0, 1, 2
"""What a position of a row is: of the source, of the target, or behind both."""


@dataclass(frozen=True)
class SourceTargetRows:
    """Rows of sources and targets, taken apart."""

    source: Int[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    """Which positions of the sources are no filling."""
    target: Int[Tensor, "B Y"]
    written: Bool[Tensor, "B Y"]
    """Which positions of the targets are no filling."""
    places: Bool[Tensor, "B T"]
    """Where the targets are in the rows."""

    def put_back(self, states: Float[Tensor, "B Y D"]) -> Float[Tensor, "B T D"]:
        """Return states of targets where they are in the rows; zeros elsewhere."""
        x = states.new_zeros(*self.places.shape, states.size(-1))
        x[self.places] = states[self.written]
        return x


def part(ids: Int[Tensor, "B T"], documents: Int[Tensor, "B T"] | None) -> SourceTargetRows:
    """Take rows apart that begin with a source, behind which its target stands."""
    assert documents is not None, "say by `documents` what is source and what is target"
    of_source, of_target = documents == SOURCE, documents == TARGET
    sources, targets = of_source.sum(1), of_target.sum(1)
    along = torch.arange(int(targets.max()), device=ids.device)
    places = (sources[:, None] + along).clamp(max=ids.size(1) - 1)
    read = slice(0, int(sources.max()))
    return SourceTargetRows(
        ids[:, read], of_source[:, read], ids.gather(1, places), along < targets[:, None], of_target
    )


class CrossAttention(Projections):
    """Queries from one text, keys and values from another.

    Heads and widths are those of the configuration; norms, biases, caps and scales of its attention have no part here.
    """

    def remember(self, memory: Float[Tensor, "B S D"]) -> tuple[Keys, Keys]:
        """Return keys and values of the other text, which serve every step."""
        return self.heads(self.key(memory)).transpose(1, 2), self.heads(self.value(memory)).transpose(1, 2)

    def forward(self, x: Stream, memory: tuple[Keys, Keys], real: Bool[Tensor, "B S"]) -> Stream:
        """Let each position of `x` look at the real positions of the other text."""
        q = self.heads(self.query(x)).transpose(1, 2)
        keys, values = (each.to(q.dtype) for each in memory)
        mask = real[:, None, None, :].expand(-1, -1, x.size(1), -1)
        return project_back(self.output, fused_attention(q, keys, values, mask, causal=False))


class CrossBlock(Layer):
    """One layer of the writing side: look back, look across, feed forward."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = build_norm(config.width, config.norm)
        self.attention = GroupedQueryAttention(config, layer)
        self.cross_norm = build_norm(config.width, config.norm)
        self.cross = CrossAttention(config)
        self.feed_forward_norm = build_norm(config.width, config.norm)
        self.feed_forward = build_feed_forward(config.width, config.feed_forward)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Stream, context: AttentionContext, memory: tuple[Keys, Keys], real: Bool[Tensor, "B S"]
    ) -> Stream:
        """Add what the block computes to the stream; the shape is kept."""
        x = x + self.dropout(self.attention(self.attention_norm(x), context))
        x = x + self.dropout(self.cross(self.cross_norm(x), memory, real))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


@dataclass(frozen=True)
class SourceMemory:
    """A source as the writing side sees it: keys and values of each layer, and which positions are real."""

    layers: list[tuple[Keys, Keys]]
    real: Bool[Tensor, "B S"]


def _refuse_idle(config: DecoderConfig) -> None:
    """Raise `UserError` with all settings that an encoder-decoder would pass over."""
    usual: dict[str, object] = {"ngrams": NoNgramsConfig(), "x0_residual": NoX0ResidualConfig()}
    usual |= {"multi_token_prediction": NoMultiTokenPredictionConfig(), "attention.window": None}
    usual |= {"classes": NoClassesConfig(), "norm_places": "before"}
    usual |= {"positions.local_theta": None} if isinstance(config.positions, RopeConfig) else {}
    other = [name for name, value in usual.items() if attrgetter(name)(config) != value]
    raise_all([f"model.{name}: has no part in an encoder-decoder; leave it at its default" for name in other])


class EncoderDecoder(Transformer):
    """Reads a source, writes a target. A row holds both, and `documents` says which is which (`SOURCE`, `TARGET`).

    As deep on each side as `config.layers`; embedding and head are shared. Positions count anew in each text. Raises
    `UserError` for settings that only a decoder has a use for.
    """

    def __init__(self, config: DecoderConfig) -> None:
        _refuse_idle(config)
        super().__init__(config)
        self.blocks = nn.ModuleList(CrossBlock(config, layer) for layer in range(config.layers))
        self.build_end()
        self.encoder_blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.encoder_norm = build_norm(config.width, config.norm)

    def encode(self, ids: Int[Tensor, "B S"], real: Bool[Tensor, "B S"]) -> SourceMemory:
        """Read sources, filled up behind where `real` is false."""
        mask = real[:, None, None, :] | torch.eye(ids.size(1), dtype=torch.bool, device=ids.device)
        places = torch.arange(ids.size(1), device=ids.device).expand(len(ids), -1)  # the mask has rows of its own too
        context = AttentionContext(ids, self.rotation(places), mask, False)
        x = self.placed(self.embedding(ids), places)
        for block in self.encoder_blocks:
            x = block(x, context)
        x = self.encoder_norm(x)
        return SourceMemory([block.cross.remember(x) for block in self._crossing()], real)

    def decode(self, ids: Ids, memory: SourceMemory, cache: KVCache | None = None) -> Stream:
        """Return the states of targets after `memory`; with a cache the new ids continue what it holds."""
        new, start = ids.size(1), 0 if cache is None else cache.length
        assert start == 0 or new == 1, "after the first, tokens come one by one"
        places = torch.arange(start, start + new, device=ids.device)
        context = AttentionContext(ids, self.rotation(places), None, new > 1, cache)
        x = self.placed(self.embedding(ids), places)
        for block, remembered in zip(self._crossing(), memory.layers, strict=True):
            x = block(x, context, remembered, memory.real)
        if cache is not None:
            cache.advance(new)
        return self.final_norm(x)

    def hidden(self, ids: Ids, *, documents: Ids | None = None) -> Stream:
        """Return the states at the targets of rows that hold a source, then its target; zeros elsewhere."""
        parts = part(ids, documents)
        return parts.put_back(self.decode(parts.target, self.encode(parts.source, parts.real)))

    def _crossing(self) -> list[CrossBlock]:
        return [block for block in self.blocks if isinstance(block, CrossBlock)]


def build_encoder_decoder(config: DecoderConfig, seed: int = 0) -> EncoderDecoder:
    """Build an encoder-decoder with weights drawn from `seed`."""
    return initialise(EncoderDecoder(config), seed)
