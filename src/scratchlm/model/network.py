"""What every network of tokens has: ids become hidden states, and a head turns these into scores.

`SequenceModel` says no more than that; the training loop and the losses need no more. `CausalLM` adds the promise
that what measures and samples stands on: changing a token never changes scores before it. `Decoder` adds a cache.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.config import ClassesConfig, DecoderConfig


class SequenceModel(nn.Module):
    """`network(ids) -> logits`: an embedding, layers, and a head. What a position sees is each network's own matter."""

    config: DecoderConfig
    embedding: nn.Embedding
    blocks: nn.ModuleList
    """Layers of one kind, which may be compiled; none where a network has other ones."""
    head: nn.Linear | None
    """None: the embedding's matrix is the head's."""
    mtp_head: nn.Linear | None
    """A second head that a loss may train (see `MultiTokenPredictionConfig`)."""
    classifier: nn.Linear | None

    @abstractmethod
    def hidden(self, ids: Int[Tensor, "B T"], *, documents: Int[Tensor, "B T"] | None = None) -> Float[Tensor, "B T D"]:
        """Return what the head reads; `documents` numbers the text of each token of a row that holds several."""

    @abstractmethod
    def flops_per_token(self, length: int) -> float:
        """Estimate training FLOPs a token of a row of `length`."""

    def forward(
        self, ids: Int[Tensor, "B T"], *, documents: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T V"]:
        """Return scores of the whole vocabulary at every position."""
        return self.logits(self.hidden(ids, documents=documents))

    @property
    def head_weight(self) -> Float[Tensor, "V D"]:
        """The matrix that turns hidden states into logits; of a tied model the embedding's."""
        return self.embedding.weight if self.head is None else self.head.weight

    def logits(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch V"]:
        """Score every token of the vocabulary from the final hidden state."""
        return self.capped(nn.functional.linear(hidden, self.head_weight))

    def capped(self, logits: Float[Tensor, "*batch V"]) -> Float[Tensor, "*batch V"]:
        """Bound a head's logits where the configuration says so."""
        softcap = self.config.logit_softcap
        return logits if softcap is None else softcap * torch.tanh(logits / softcap)

    def class_logits(self, hidden: Float[Tensor, "B T D"], last: Int[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score the classes of each row, a text that ends at the position `last`; what stands behind it has no part."""
        assert self.classifier is not None
        assert isinstance(self.config.classes, ClassesConfig)
        if self.config.classes.pooling == "last":
            return self.classifier(hidden[torch.arange(len(hidden), device=hidden.device), last])
        inside = (torch.arange(hidden.size(1), device=hidden.device) <= last[:, None])[..., None]  # (B, T, 1)
        return self.classifier((hidden * inside).sum(1) / inside.sum(1))

    def parameter_count(self) -> int:
        """Count distinct parameters; a tied head is counted once."""
        return sum(parameter.numel() for parameter in self.parameters())


class CausalLM(SequenceModel):
    """A network whose scores at t, of the token at t + 1, depend on no later token: changing one changes none before.

    It may have no cache: `Decoder` has one.
    """
