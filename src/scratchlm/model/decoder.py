"""The decoder-only transformer: ids in, logits out (Radford et al. 2019; parts by configuration)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scratchlm.model.attention.base import Attention, AttentionContext
from scratchlm.model.attention.grouped import GroupedQueryAttention, ValueEmbedding
from scratchlm.model.attention.latent import LatentAttention
from scratchlm.model.cache import Cache
from scratchlm.model.config import (
    AttentionConfig,
    DecoderConfig,
    LatentAttentionConfig,
    NgramEmbeddingConfig,
    X0ResidualConfig,
)
from scratchlm.model.dropout import Dropout
from scratchlm.model.feedforward import FeedForward, build_feed_forward
from scratchlm.model.hook import ForwardHook, LayerHook
from scratchlm.model.masks import causal_mask
from scratchlm.model.network import CausalLM, Ids, Layer, SequenceModel, Stream, Transformer
from scratchlm.model.ngrams import NgramEmbedding
from scratchlm.model.norms import Norm, build_norm
from scratchlm.model.positions import positions_within

N = TypeVar("N", bound=SequenceModel)


@runtime_checkable
class Branch(Protocol):
    """What a block adds to the residual stream: attention, attention to another text, a feed-forward."""

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added; a mixture's are stacked."""


def build_attention(config: DecoderConfig, layer: int) -> Attention:
    """Build the attention of a layer, numbered from 0, by the type of its config."""
    match config.attention:
        case LatentAttentionConfig():
            return LatentAttention(config, config.attention)
        case AttentionConfig():
            return GroupedQueryAttention(config, layer)


class Block(Layer):
    """One layer: attention and feed-forward, each normalised and added to the residual stream."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        before, after = config.norm_places != "after", config.norm_places != "before"
        self.attention_norm = build_norm(config.width, config.norm) if before else nn.Identity()
        self.attention = build_attention(config, layer)
        self.attention_out_norm = build_norm(config.width, config.norm) if after else nn.Identity()
        self.feed_forward_norm = build_norm(config.width, config.norm) if before else nn.Identity()
        self.feed_forward = build_feed_forward(config.width, config.feed_forward)
        self.feed_forward_out_norm = build_norm(config.width, config.norm) if after else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Stream, context: AttentionContext) -> Stream:
        """Add what the block computes to the stream; the shape is kept."""
        show = context.show
        x = show("hook_resid_pre", x)
        mixed = self.attention_out_norm(self.attention(show("ln1.hook_out", self.attention_norm(x)), context))
        x = show("hook_resid_mid", x + self.dropout(show("hook_attn_out", mixed)))
        normed = show("ln2.hook_out", self.feed_forward_norm(x))
        own = context.hook is None or not isinstance(self.feed_forward, FeedForward)
        added = self.feed_forward(normed) if own else self.feed_forward(normed, context.hook)
        added = show("hook_mlp_out", self.feed_forward_out_norm(added))
        return show("hook_resid_post", x + self.dropout(added))


class X0Residual(nn.Module):
    """Before each layer, scale the stream and mix the normalised embedding in (see `X0ResidualConfig`)."""

    def __init__(self, layers: int, initial: float) -> None:
        super().__init__()
        self.initial = initial
        self.stream_scale = nn.Parameter(torch.empty(layers))
        self.embedding_scale = nn.Parameter(torch.empty(layers))

    def forward(self, x: Stream, embedded: Stream, layer: int) -> Stream:
        """Return what the layer reads; the shape is kept."""
        return self.stream_scale[layer] * x + self.embedding_scale[layer] * embedded


class Decoder(Transformer, CausalLM):
    """A language model: `decoder(ids) -> logits`, where logits at t score the token at t + 1.

    Changing token t never changes logits before t, but where all is read `bidirectional`. Does no I/O and holds no
    position: with a `cache`, the new ids continue what the cache holds.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        ngrams = config.ngrams
        self.ngrams = NgramEmbedding(config, ngrams) if isinstance(ngrams, NgramEmbeddingConfig) else None
        x0 = config.x0_residual
        self.x0_residual = X0Residual(config.layers, x0.initial) if isinstance(x0, X0ResidualConfig) else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.build_end()

    @property
    def attentions(self) -> list[Attention]:
        """The attention of each layer."""
        return [block.attention for block in self.blocks if isinstance(block, Block)]

    def forward(self, ids: Ids, cache: Cache | None = None, documents: Ids | None = None) -> Float[Tensor, "B T V"]:
        """Return logits for every position.

        `documents` numbers the document of each token of a packed row: attention and positions then stay within a
        document. It is for training and scoring whole rows and excludes a cache.
        """
        return self.logits(self.hidden(ids, cache, documents))

    def hidden(
        self, ids: Ids, cache: Cache | None = None, documents: Ids | None = None, *,
        bidirectional: bool = False, hook: ForwardHook | None = None,
    ) -> Stream:  # fmt: skip
        """Return the residual stream after the final norm: all of the model but the head.

        Read `bidirectional`, each position sees those after it too, in its window and document; this excludes a cache.
        A `hook` sees the named values of this pass, and may change them.
        """
        embedded, contexts = self.entering(ids, cache, documents, hook)
        if bidirectional:
            assert cache is None, "a cache holds what is before alone"
            contexts = [_seeing_both_ways(context) for context in contexts]
        x = embedded
        for number, context in enumerate(contexts):
            of_layer = context if hook is None else replace(context, hook=LayerHook(hook, f"blocks.{number}."))
            x = self.layer(number, x, embedded, of_layer)
        if cache is not None:
            cache.advance(ids.size(1))
        normed = self.final_norm(x)
        return normed if hook is None else hook("ln_final.hook_out", normed)

    def entering(
        self, ids: Ids, cache: Cache | None = None, documents: Ids | None = None, hook: ForwardHook | None = None
    ) -> tuple[Stream, list[AttentionContext]]:
        """Return what the first layer reads, and what each layer gets beside the stream."""
        assert cache is None or documents is None, "a cache continues one document in each row"
        new = ids.size(1)
        seen = new + (0 if cache is None else cache.length)
        assert seen <= self.config.context, f"{seen} positions in a context of {self.config.context}"
        if cache is not None:
            places = cache.places(new, ids.device)
        else:
            places = torch.arange(new, device=ids.device) if documents is None else positions_within(documents)
        windows = [attention.window for attention in self.attentions]
        contexts = {window: self._context(ids, places, cache, documents, window) for window in set(windows)}
        x = self._embed(ids, cache, documents)
        x = x if hook is None else hook("hook_embed", x)
        return self.placed(x, places, hook), [contexts[window] for window in windows]

    def layer(self, number: int, x: Stream, embedded: Stream, context: AttentionContext) -> Stream:
        """Return the stream after one layer; `embedded` is what the first layer reads."""
        if self.x0_residual is not None:
            x = self.x0_residual(x, embedded, number)
        return self.blocks[number](x, context)

    def _embed(self, ids: Tensor, cache: Cache | None, documents: Tensor | None) -> Tensor:
        x: Tensor = self.embedding(ids)
        if self.ngrams is None:
            return x
        if cache is None:
            return x + self.ngrams(ids, documents)
        seen, of_row = cache.before(ids, self.ngrams, self.ngrams.reach)  # what fills a row up is another document
        return x + self.ngrams(seen, of_row)[:, -ids.size(1) :]

    def _context(
        self, ids: Tensor, places: Tensor, cache: Cache | None, documents: Tensor | None, window: int | None
    ) -> AttentionContext:
        """Return what layers of one window share."""
        rotation = self.rotation(places, local=window is not None)
        new = ids.size(1)
        seen = new + (0 if cache is None else cache.length)
        if window is not None and window >= seen:
            window = None  # wider than the text: no mask needed
        mask = None if cache is None else cache.mask(places, window)
        if mask is None and documents is None and window is None and not 1 < new < seen:
            return AttentionContext(ids, rotation, None, new > 1, cache)
        if mask is None:
            mask = causal_mask(new, seen, window, documents, ids.device)
        return AttentionContext(ids, rotation, mask, False, cache)

    def keys_seen(self, length: int) -> float:
        """Return how many keys a token of a text of `length` sees in all layers, on average."""
        return sum(attention.keys_seen(length) for attention in self.attentions)


def _seeing_both_ways(context: AttentionContext) -> AttentionContext:
    """Return the same context, in which each position sees later ones too, as far as it sees earlier ones."""
    mask = None if context.mask is None else context.mask | context.mask.transpose(-2, -1)
    return replace(context, mask=mask, causal=False)


def initialise(network: N, seed: int) -> N:
    """Fill all weights from `seed` and return the network: normal, branch outputs scaled down by depth (GPT-2) or zero.

    A norm says where its vectors begin; all others are added, and begin at zero.
    """
    config, generator = network.config, torch.Generator().manual_seed(seed)
    of_output = 0.0 if config.zero_init_outputs else config.init_std / math.sqrt(2 * config.layers)
    constants: dict[Tensor, float] = {}
    spreads: dict[Tensor, float] = {}
    for part in network.modules():
        if isinstance(part, X0Residual):
            constants |= {part.stream_scale: 1.0, part.embedding_scale: part.initial}
        elif isinstance(part, Norm):
            constants |= part.initial()
        elif isinstance(part, Branch):
            spreads[part.last_matrix] = of_output
        elif isinstance(part, ValueEmbedding):
            spreads[part.table.weight] = config.init_std * math.sqrt(config.width)  # as large as what it is added to
            spreads[part.gate.weight] = 0.0
        elif isinstance(part, NgramEmbedding):
            spreads.update((weight, 0.0) for weight in part.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            std = spreads.get(parameter, config.init_std)
            if parameter.dim() < 2:
                parameter.fill_(constants.get(parameter, 0.0))
            elif std:
                parameter.normal_(0.0, std, generator=generator)
            else:
                parameter.zero_()
    return network


class _Unfilled(TorchFunctionMode):
    """Leave out torch's own filling of new weights: without memory it does nothing, and takes a second's imports."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def outline(config: DecoderConfig) -> Decoder:
    """Build a decoder whose tensors have shapes but no memory (torch's meta device), to be counted or given weights."""
    with torch.device("meta"), _Unfilled():
        return Decoder(config)


def build_decoder(config: DecoderConfig, seed: int = 0) -> Decoder:
    """Build a decoder on the CPU in fp32 with weights drawn from `seed`."""
    return initialise(Decoder(config), seed)
