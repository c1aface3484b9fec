"""Back-propagation in thirty lines: numbers that remember how they were calculated.

What `backward()` of PyTorch does for tensors, here for single numbers (Linnainmaa 1970; Rumelhart et al. 1986). A test
holds both equal.
"""

from __future__ import annotations

import math


class Scalar:
    """A number, and what it was calculated from."""

    def __init__(self, value: float, parents: tuple[tuple[Scalar, float], ...] = ()) -> None:
        self.value, self.gradient = value, 0.0
        self.parents = parents
        """The numbers that it was calculated from, each with its slope: how fast this one rises with that one."""

    def __add__(self, other: Scalar) -> Scalar:
        """Return the sum, with the slope of both terms."""
        return Scalar(self.value + other.value, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other: Scalar) -> Scalar:
        """Return the product, with the slope of both factors."""
        return Scalar(self.value * other.value, ((self, other.value), (other, self.value)))

    def exp(self) -> Scalar:
        """Return e to the power of this number."""
        power = math.exp(self.value)
        return Scalar(power, ((self, power),))

    def log(self) -> Scalar:
        """Return the natural logarithm of this number."""
        return Scalar(math.log(self.value), ((self, 1 / self.value),))

    def backward(self) -> None:
        """Add to each number that this one depends on its gradient: how fast this one rises with it."""
        order: list[Scalar] = []
        seen: set[Scalar] = set()

        def visit(scalar: Scalar) -> None:
            if scalar not in seen:
                seen.add(scalar)
                for parent, _ in scalar.parents:
                    visit(parent)
                order.append(scalar)

        visit(self)  # each number stands in `order` after all that it was calculated from
        self.gradient = 1.0
        for scalar in reversed(order):
            for parent, slope in scalar.parents:
                parent.gradient += slope * scalar.gradient
