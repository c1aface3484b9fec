"""An ensemble: several models of one vocabulary as one, whose probabilities are the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.network import CausalLM, Ids, Stream


class Ensemble(CausalLM):
    """The mean of the members' probabilities; its logits are their logarithms."""

    def __init__(self, members: Sequence[CausalLM]) -> None:
        nn.Module.__init__(self)  # a network of its own would have weights
        self.members = nn.ModuleList(members)
        self.config = min((each.config for each in members), key=lambda config: config.context)
        self.head = self.mtp_head = self.classifier = None
        self._widths = [each.config.width for each in members]

    def hidden(self, ids: Ids, *, documents: Ids | None = None) -> Stream:
        """Return the members' hidden states side by side."""
        return torch.cat([self._of(number).hidden(ids, documents=documents) for number in range(len(self._widths))], -1)

    def logits(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch V"]:
        """Return the logarithm of the mean probability of each token."""
        parts = enumerate(torch.split(hidden, self._widths, dim=-1))
        scores = (self._of(number).logits(part).float().log_softmax(-1) for number, part in parts)
        return reduce(torch.logaddexp, scores) - math.log(len(self._widths))

    def flops_per_token(self, length: int) -> float:
        """Sum those of the members."""
        return sum(self._of(number).flops_per_token(length) for number in range(len(self._widths)))

    def _of(self, number: int) -> CausalLM:
        member = self.members[number]
        assert isinstance(member, CausalLM)
        return member
