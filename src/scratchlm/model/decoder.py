"""The decoder-only transformer: ids in, logits out (Radford et al. 2019; parts by configuration)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scratchlm.model.attention import Attention, AttentionContext, ValueEmbedding, causal_mask
from scratchlm.model.cache import KVCache
from scratchlm.model.config import (
    ClassesConfig,
    DecoderConfig,
    ExpertsConfig,
    LearnedPositionsConfig,
    MultiTokenPredictionConfig,
    RopeConfig,
    X0ResidualConfig,
)
from scratchlm.model.dropout import Dropout
from scratchlm.model.feedforward import build_feed_forward
from scratchlm.model.network import CausalLM, SequenceModel
from scratchlm.model.ngrams import NgramEmbedding, build_ngrams
from scratchlm.model.norms import LayerNorm, RMSNorm, build_norm, rms_norm
from scratchlm.model.positions import Rotation, positions_within, rope_table


@runtime_checkable
class Branch(Protocol):
    """What a block adds to the residual stream: attention, attention to another text, a feed-forward."""

    @property
    def last_matrix(self) -> Tensor:
        """The weights whose products are added; a mixture's are stacked."""


class Block(nn.Module):
    """One layer: attention and feed-forward, each normalised and added to the residual stream."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        before, after = config.norm_places != "after", config.norm_places != "before"
        self.attention_norm = build_norm(config.width, config.norm) if before else nn.Identity()
        self.attention = Attention(config, layer)
        self.attention_out_norm = build_norm(config.width, config.norm) if after else nn.Identity()
        self.feed_forward_norm = build_norm(config.width, config.norm) if before else nn.Identity()
        self.feed_forward = build_feed_forward(config.width, config.feed_forward)
        self.feed_forward_out_norm = build_norm(config.width, config.norm) if after else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T D"], context: AttentionContext) -> Float[Tensor, "B T D"]:
        """Add what the block computes to the stream; the shape is kept."""
        x = x + self.dropout(self.attention_out_norm(self.attention(self.attention_norm(x), context)))
        return x + self.dropout(self.feed_forward_out_norm(self.feed_forward(self.feed_forward_norm(x))))


class X0Residual(nn.Module):
    """Before each layer, scale the stream and mix the normalised embedding in (see `X0ResidualConfig`)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.stream_scale = nn.Parameter(torch.empty(layers))
        self.embedding_scale = nn.Parameter(torch.empty(layers))

    def forward(
        self, x: Float[Tensor, "B T D"], embedded: Float[Tensor, "B T D"], layer: int
    ) -> Float[Tensor, "B T D"]:
        """Return what the layer reads; the shape is kept."""
        return self.stream_scale[layer] * x + self.embedding_scale[layer] * embedded


class Decoder(CausalLM):
    """A language model: `decoder(ids) -> logits`, where logits at t score the token at t + 1.

    Changing token t never changes logits before t. Does no I/O and holds no position: with a `cache`, the new ids
    continue what the cache holds.
    """

    rope_cos: Tensor
    rope_sin: Tensor
    local_rope_cos: Tensor
    local_rope_sin: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        learned = isinstance(config.positions, LearnedPositionsConfig)
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.ngrams = build_ngrams(config)
        self.dropout = Dropout(config.dropout)
        with_x0 = isinstance(config.x0_residual, X0ResidualConfig)
        self.x0_residual = X0Residual(config.layers) if with_x0 else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.final_norm = build_norm(config.width, config.norm)
        self.head = None if config.tied else nn.Linear(config.width, config.vocabulary_size, bias=False)
        two_tokens = isinstance(config.multi_token_prediction, MultiTokenPredictionConfig)
        self.mtp_head = nn.Linear(config.width, config.vocabulary_size, bias=False) if two_tokens else None  # loss only
        classes = config.classes.count if isinstance(config.classes, ClassesConfig) else None
        self.classifier = None if classes is None else nn.Linear(config.width, classes, bias=False)
        self.restore_tables()

    def restore_tables(self) -> None:
        """Compute what is not stored: the rotary tables, on the weights' device (not where weights have no memory)."""
        rope, device = self.config.positions, self.embedding.weight.device
        if not isinstance(rope, RopeConfig) or device.type == "meta":
            return
        context, channels = self.config.context, int(self.config.attention.head_dim * rope.partial_rotary_factor)
        tables = {"rope": rope_table(context, channels, rope.theta, rope.scaling)}
        if rope.local_theta is not None:
            tables["local_rope"] = rope_table(context, channels, rope.local_theta)
        for name, (cos, sin) in tables.items():
            self.register_buffer(f"{name}_cos", cos.to(device), persistent=False)
            self.register_buffer(f"{name}_sin", sin.to(device), persistent=False)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        cache: KVCache | None = None,
        documents: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Return logits for every position.

        `documents` numbers the document of each token of a packed row: attention and positions then stay within a
        document. It is for training and scoring whole rows and excludes a cache.
        """
        return self.logits(self.hidden(ids, cache, documents))

    def hidden(
        self,
        ids: Int[Tensor, "B T"],
        cache: KVCache | None = None,
        documents: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the residual stream after the final norm: all of the model but the head."""
        assert cache is None or documents is None, "a cache continues one document in each row"
        start = 0 if cache is None else cache.length
        end = start + ids.size(1)
        assert end <= self.config.context, f"{end} positions in a context of {self.config.context}"
        x = self._embed(ids, cache, documents)
        places = torch.arange(start, end, device=ids.device) if documents is None else positions_within(documents)
        if cache is not None and cache.starts is not None:
            places = (places - cache.starts[:, None]).clamp(min=0)
        if self.position_embedding is not None:
            x = x + self.position_embedding(places)
        if self.config.embedding_scale is not None:
            x = x * self.config.embedding_scale
        if self.config.embedding_norm or self.x0_residual is not None:
            x = rms_norm(x, self.config.norm.eps if self.config.embedding_norm else torch.finfo(x.dtype).eps)
        x = embedded = self.dropout(x)
        local = [self._is_local(layer) for layer in range(self.config.layers)]
        views = {kind: self._attention_context(ids, places, cache, documents, kind) for kind in set(local)}
        for layer, block in enumerate(self.blocks):
            if self.x0_residual is not None:
                x = self.x0_residual(x, embedded, layer)
            x = block(x, views[local[layer]])
        if cache is not None:
            cache.advance(ids.size(1))
        return self.final_norm(x)

    def _embed(self, ids: Tensor, cache: KVCache | None, documents: Tensor | None) -> Tensor:
        x: Tensor = self.embedding(ids)
        if self.ngrams is None:
            return x
        if cache is None:
            return x + self.ngrams(ids, documents)
        reach = ids.size(1) + self.ngrams.reach
        seen = cache.remember(ids)
        if cache.starts is not None:  # what fills a row up is another document
            documents = (torch.arange(seen.size(1), device=ids.device) >= cache.starts[:, None]).long()[:, -reach:]
        return x + self.ngrams(seen[:, -reach:], documents)[:, -ids.size(1) :]

    def _is_local(self, layer: int) -> bool:
        """Tell whether a layer sees a window of positions alone."""
        attention = self.config.attention
        return attention.window is not None and layer not in attention.global_layers

    def _attention_context(
        self, ids: Tensor, places: Tensor, cache: KVCache | None, documents: Tensor | None, local: bool
    ) -> AttentionContext:
        rotation: Rotation | None = None
        rope = self.config.positions
        if isinstance(rope, RopeConfig) and local and rope.local_theta is not None:
            rotation = (self.local_rope_cos[places], self.local_rope_sin[places])
        elif isinstance(rope, RopeConfig):
            rotation = (self.rope_cos[places], self.rope_sin[places])
        new = ids.size(1)
        seen = new + (0 if cache is None else cache.length)
        window = self.config.attention.window if local else None
        if window is not None and window >= seen:
            window = None  # wider than the text: no mask needed
        if cache is not None and cache.starts is not None:
            mask = causal_mask(new, seen, window, None, ids.device)
            at = torch.arange(seen, device=ids.device)
            itself = at == at[-new:, None]  # so that what fills a row up sees something, and stays finite
            return AttentionContext(ids, rotation, mask & (at >= cache.starts[:, None, None]) | itself, False, cache)
        if documents is not None or window is not None or 1 < new < seen:
            return AttentionContext(ids, rotation, causal_mask(new, seen, window, documents, ids.device), False, cache)
        return AttentionContext(ids, rotation, None, new > 1, cache)

    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token of texts of `length`: 6 for each weight in a product, and attention.

        Attention takes 12 for each channel of each key that a token sees (PaLM, arXiv 2204.02311, appendix B), here the
        mean over a text: half its length, or w - w^2 / (2 length) in a layer with a window of w. Of a mixture's experts
        the chosen ones count.
        """
        config = self.config
        tables = sum(part.weight.numel() for part in self.modules() if isinstance(part, nn.Embedding))
        tables -= self.embedding.weight.numel() if config.tied else 0  # as the head it is in a product
        window = min(length, config.attention.window or length)
        spans = [window if self._is_local(layer) else length for layer in range(config.layers)]
        seen = sum(span * (1 - span / (2 * length)) for span in spans)
        attention = 12 * config.attention.heads * config.attention.head_dim * seen
        idle = 0
        if isinstance(config.feed_forward, ExpertsConfig):
            mixture = config.feed_forward
            idle = 3 * config.layers * config.width * mixture.hidden * (mixture.experts - mixture.chosen)
        return 6.0 * (self.parameter_count() - tables - idle) + attention


def initialise(decoder: SequenceModel, seed: int) -> None:
    """Fill all weights from `seed`: normal, branch outputs scaled down by depth (GPT-2) or zero, norms one."""
    config = decoder.config
    generator = torch.Generator().manual_seed(seed)
    ones, spreads = _that_begin_at_one(decoder), _spreads(decoder)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() < 2:
                parameter.fill_(1.0 if parameter in ones else 0.0)
                continue
            std = spreads.get(parameter, config.init_std)
            parameter.normal_(0.0, std, generator=generator) if std else parameter.zero_()
    residual = decoder.x0_residual if isinstance(decoder, Decoder) else None
    if residual is not None and isinstance(config.x0_residual, X0ResidualConfig):
        nn.init.constant_(residual.embedding_scale, config.x0_residual.initial)


def _that_begin_at_one(decoder: SequenceModel) -> set[Tensor]:
    """Return the vectors that multiply as they are; all others are added, or have 1 added to them, and begin at 0."""
    ones: set[Tensor] = set()
    for part in decoder.modules():
        if isinstance(part, X0Residual):
            ones.add(part.stream_scale)
        elif isinstance(part, LayerNorm) or (isinstance(part, RMSNorm) and not part.unit_offset):
            ones.update([] if part.weight is None else [part.weight])
    return ones


def _spreads(decoder: SequenceModel) -> dict[Tensor, float]:
    """Return the standard deviations of the matrices that do not have the configuration's own."""
    config, found = decoder.config, {}
    for part in decoder.modules():
        if isinstance(part, Branch):
            found[part.last_matrix] = (
                0.0 if config.zero_init_outputs else config.init_std / math.sqrt(2 * config.layers)
            )
        elif isinstance(part, ValueEmbedding):
            found[part.table.weight] = config.init_std * math.sqrt(config.width)  # as large as what it is added to
            found[part.gate.weight] = 0.0
        elif isinstance(part, NgramEmbedding):
            found.update((weight, 0.0) for weight in part.parameters())
    return found


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
    decoder = Decoder(config)
    initialise(decoder, seed)
    return decoder
