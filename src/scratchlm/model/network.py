"""What every network of tokens has: ids become hidden states, and a head turns these into scores.

`SequenceModel` says no more than that; the training loop and the losses need no more. `CausalLM` adds the promise
that what measures and samples stands on: changing a token never changes scores before it. `Decoder` adds a cache.
`Transformer` holds what decoders and encoders share: positions of tokens, and the cost of the layers.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.config import (
    ClassesConfig,
    DecoderConfig,
    LearnedPositionsConfig,
    MultiTokenPredictionConfig,
    RopeConfig,
    X0ResidualConfig,
)
from scratchlm.model.dropout import Dropout
from scratchlm.model.feedforward import Experts
from scratchlm.model.hook import ForwardHook
from scratchlm.model.norms import build_norm, rms_norm
from scratchlm.model.positions import Rotation, rope_table
from scratchlm.model.quantized import QuantizedEmbedding, QuantizedWeight

Ids = Int[Tensor, "B T"]
Stream = Float[Tensor, "B T D"]
"""The residual stream: what layers read and add to."""


class SequenceModel(nn.Module):
    """`network(ids) -> logits`: an embedding, layers, and a head. What a position sees is each network's own matter."""

    blocks: nn.ModuleList
    """Layers of one kind, which may be compiled; none where a network has other ones."""
    head: nn.Linear | None
    """None: the embedding's matrix is the head's."""
    mtp_head: nn.Linear | None
    """A second head that a loss may train (see `MultiTokenPredictionConfig`)."""
    classifier: nn.Linear | None

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = Dropout(config.dropout)
        self.head = self.mtp_head = self.classifier = None

    def build_end(self) -> None:
        """Build what follows the layers: the final norm, and the heads that the configuration asks for."""
        config = self.config
        self.final_norm = build_norm(config.width, config.norm)
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        if isinstance(config.multi_token_prediction, MultiTokenPredictionConfig):
            self.mtp_head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        if isinstance(config.classes, ClassesConfig):
            self.classifier = nn.Linear(config.width, config.classes.count, bias=False)

    @abstractmethod
    def hidden(self, ids: Ids, *, documents: Ids | None = None) -> Stream:
        """Return what the head reads; `documents` numbers the text of each token of a row that holds several."""

    @abstractmethod
    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token of a row of `length`."""

    def forward(self, ids: Ids, *, documents: Ids | None = None) -> Float[Tensor, "B T V"]:
        """Return scores of the whole vocabulary at every position."""
        return self.logits(self.hidden(ids, documents=documents))

    @property
    def head_weight(self) -> Float[Tensor, "V D"]:
        """The matrix that turns hidden states into logits; of a tied model the embedding's."""
        return self.embedding.weight if self.head is None else self.head.weight

    def logits(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch V"]:
        """Score every token of the vocabulary from the final hidden state."""
        head = self.embedding if self.head is None else self.head
        if isinstance(head, QuantizedWeight):
            return self.capped(head.product(hidden))
        return self.capped(nn.functional.linear(hidden, self.head_weight))

    def capped(self, logits: Float[Tensor, "*batch V"]) -> Float[Tensor, "*batch V"]:
        """Bound a head's logits where the configuration says so."""
        softcap = self.config.logit_softcap
        return logits if softcap is None else softcap * torch.tanh(logits / softcap)

    def class_logits(self, hidden: Float[Tensor, "B T D"], last: Int[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score the classes of each row, a text that ends at `last`; positions after it are ignored."""
        assert self.classifier is not None
        assert isinstance(self.config.classes, ClassesConfig)
        if self.config.classes.pooling == "last":
            return self.classifier(hidden[torch.arange(len(hidden), device=hidden.device), last])
        inside = (torch.arange(hidden.size(1), device=hidden.device) <= last[:, None])[..., None]  # (B, T, 1)
        return self.classifier((hidden * inside).sum(1) / inside.sum(1))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The number format that layers compute in, outside of autocast: that of the weights that are not quantized."""
        stored = {id(each) for part in self._quantized for each in part.stored}
        plain = (each for each in self.parameters() if each.is_floating_point() and id(each) not in stored)
        return next((each.dtype for each in plain), torch.float32)

    @property
    def _quantized(self) -> list[QuantizedWeight]:
        return [part for part in self.modules() if isinstance(part, QuantizedWeight)]

    def parameter_count(self) -> int:
        """Count distinct parameters; a tied head is counted once, and a quantized matrix as what it stands for."""
        packed = self._quantized
        stored = {id(each) for part in packed for each in part.stored}
        plain = sum(each.numel() for each in self.parameters() if id(each) not in stored)
        return plain + sum(math.prod(part.shape) for part in packed)


class Layer(nn.Module):
    """One of the layers that a network has one after the other."""


class CausalLM(SequenceModel):
    """A network whose scores at t, of the token at t + 1, depend on no later token: changing one changes none before.

    It may have no cache: `Decoder` has one.
    """


class Transformer(SequenceModel):
    """Tokens and their positions as vectors, layers of attention, a head."""

    rope_cos: Tensor
    rope_sin: Tensor
    local_rope_cos: Tensor
    local_rope_sin: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        learned = isinstance(config.positions, LearnedPositionsConfig)
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.restore_tables()

    def restore_tables(self) -> None:
        """Compute what is not stored: the rotary tables, on the weights' device (not where weights have no memory)."""
        rope, device = self.config.positions, self.device
        if not isinstance(rope, RopeConfig) or device.type == "meta":
            return
        context, channels = self.config.context, int(self.config.attention.rope_dim * rope.partial_rotary_factor)
        tables = {"rope": rope_table(context, channels, rope.theta, rope.scaling)}
        if rope.local_theta is not None:
            tables["local_rope"] = rope_table(context, channels, rope.local_theta)
        for name, (cos, sin) in tables.items():
            self.register_buffer(f"{name}_cos", cos.to(device), persistent=False)
            self.register_buffer(f"{name}_sin", sin.to(device), persistent=False)

    def placed(self, x: Stream, places: Int[Tensor, "*B T"], hook: ForwardHook | None = None) -> Stream:
        """Return the first layer's input: token vectors with positions added, scaled and normalised as configured."""
        if self.position_embedding is not None:
            added = self.position_embedding(places)
            x = x + (added if hook is None else hook("hook_pos_embed", added.expand_as(x)))
        if self.config.embedding_scale is not None:
            x = x * self.config.embedding_scale
        if self.config.embedding_norm:
            x = rms_norm(x, self.config.norm.eps)
        elif isinstance(self.config.x0_residual, X0ResidualConfig):
            x = rms_norm(x, torch.finfo(x.dtype).eps)
        return self.dropout(x)

    def rotation(self, places: Int[Tensor, "*B T"], *, local: bool = False) -> Rotation | None:
        """Return the rotation at `places`, in a layer that sees a window alone where `local`; None without RoPE."""
        rope = self.config.positions
        if not isinstance(rope, RopeConfig):
            return None
        of_window = local and rope.local_theta is not None
        tables = (self.local_rope_cos, self.local_rope_sin) if of_window else (self.rope_cos, self.rope_sin)
        cos, sin = (table[places] if places.dim() == 1 else table[places][:, None] for table in tables)
        return cos, sin

    def keys_seen(self, length: int) -> float:
        """Return how many keys a token of a row of `length` sees in all layers together."""
        return len(self.blocks) * length

    def active_count(self) -> int:
        """Count the parameters that one token passes through: of a mixture's experts the chosen ones."""
        return self.parameter_count() - sum(part.idle for part in self.modules() if isinstance(part, Experts))

    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token: 6 for each active weight in a product, and attention.

        Attention takes 12 for each channel of each key that a token sees (PaLM, arXiv 2204.02311, appendix B). A third
        is the forward pass, a third the gradients of what layers read, a third those of the weights; where some weights
        are frozen, the last third is of the others alone, and the second of what lies above the first of them.
        """
        tables = sum(part.weight.numel() for part in self.modules() if isinstance(part, nn.Embedding))
        tables += sum(math.prod(part.shape) for part in self.modules() if isinstance(part, QuantizedEmbedding))
        tables -= self.config.vocabulary_size * self.config.width if self.config.tied else 0  # as the head in a product
        attention = self.config.attention
        channels = attention.heads * (attention.key_dim + attention.value_dim)
        products = self.active_count() - tables + channels * self.keys_seen(length)
        return (2.0 + 4.0 * self._share_of_gradients()) * products

    def _share_of_gradients(self) -> float:
        """Return which share of a whole backward pass is computed; all of it where nothing is trained yet."""
        sizes = [part.numel() for part in self.parameters()]
        trained = [part.requires_grad for part in self.parameters()]
        if all(trained) or not any(trained):
            return 1.0
        above = sum(sizes[trained.index(True) :])
        return (above + sum(size for size, own in zip(sizes, trained, strict=True) if own)) / (2 * sum(sizes))
