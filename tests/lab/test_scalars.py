"""Thirty lines of back-propagation give what torch's backward() gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchlm.lab.course.scalars import Scalar

NUMBERS = st.floats(-2, 2, allow_subnormal=False)
STEPS = st.lists(st.tuples(st.sampled_from(["+", "*", "exp", "log"]), st.integers(0, 9), st.integers(0, 9)), max_size=8)


@given(st.lists(NUMBERS, min_size=2, max_size=4), STEPS)
def test_gradients_are_those_of_torch(values: list[float], steps: list[tuple[str, int, int]]) -> None:
    """Any calculation: each step takes earlier results, which may be used again and again."""
    mine = [Scalar(value) for value in values]
    theirs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    inputs = len(values)
    for step, first, second in steps:
        a, b = mine[first % len(mine)], mine[second % len(mine)]
        x, y = theirs[first % len(theirs)], theirs[second % len(theirs)]
        if step == "+":
            mine.append(a + b)
            theirs.append(x + y)
        elif step == "*":
            mine.append(a * b)
            theirs.append(x * y)
        elif step == "exp" and a.value < 3:
            mine.append(a.exp())
            theirs.append(x.exp())
        elif step == "log" and a.value > 0.01:
            mine.append(a.log())
            theirs.append(x.log())
    total, right = mine[-1] + mine[0], theirs[-1] + theirs[0]
    total.backward()
    gradients = torch.autograd.grad(right, theirs[:inputs], allow_unused=True)
    for scalar, gradient in zip(mine[:inputs], gradients, strict=True):
        assert scalar.gradient == pytest.approx(0.0 if gradient is None else gradient.item(), rel=1e-9, abs=1e-12)
