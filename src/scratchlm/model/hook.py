"""What looks at the values of a forward pass, and may change them: it is passed along, and not set on a module.

So a model that many threads share is never patched, and a pass without a hook costs a comparison with None at each
point. Points are named as in TransformerLens; `inspection/points.py` lists them with their shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

SCORES, PATTERN, RESULT = "attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_result"
"""Points of a layer whose values are computed only for a hook that wants them."""


@runtime_checkable
class ForwardHook(Protocol):
    """Sees each named value of a forward pass, and returns what takes its place: mostly the value itself."""

    def wants(self, name: str) -> bool:
        """Return whether a value that has to be computed extra is worth it."""

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Return the value that the forward pass goes on with, of the same shape."""


@dataclass(frozen=True)
class LayerHook:
    """A hook of the whole model, as one layer calls it: names get the layer's prefix."""

    whole: ForwardHook
    prefix: str

    def wants(self, name: str) -> bool:
        """Return whether a value of this layer is worth computing."""
        return self.whole.wants(self.prefix + name)

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Show a value of this layer."""
        return self.whole(self.prefix + name, value)
