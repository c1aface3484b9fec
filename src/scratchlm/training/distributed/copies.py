"""Copies: each rank holds the whole network, and gradients are summed over all of them."""

from __future__ import annotations

from scratchlm.model.network import SequenceModel
from scratchlm.training.distributed.gradient_sums import GradientSums
from scratchlm.training.ranks import Placement, Ranks


class Copies(Placement):
    """A network on every rank, whose gradients are sent while the rest of them is still being computed."""

    def __init__(self, network: SequenceModel, ranks: Ranks) -> None:
        super().__init__(network, ranks)
        self.sums = GradientSums(list(network.parameters()))

    def begin(self) -> None:
        """Forget what a step that failed has sent."""
        self.sums.begin()

    def complete(self) -> None:
        """Begin to send gradients, of the backward pass that follows."""
        self.sums.expect()

    def interrupt(self) -> None:
        """Send nothing until `complete` is called again."""
        self.sums.interrupt()

    def end(self) -> None:
        """Give each parameter the sum of its gradients."""
        self.sums.finish()

    def spread(self) -> None:
        """Give all ranks the weights of the first one."""
        self.ranks.copy_from_first(list(self.decoder.parameters()))

    def require_equal(self) -> None:
        """Raise `UserError` where weights differ, as between processors that round otherwise."""
        self.ranks.require_equal(list(self.decoder.parameters()), "weights")
