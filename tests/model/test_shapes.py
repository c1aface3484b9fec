"""The annotated shapes of a function are checked, in its first calls of a test and in some of the later ones."""

from __future__ import annotations

import gc
import weakref

import jaxtyping
import pytest
import torch
from jaxtyping import TypeCheckError

from scratchlm.model.positions import positions_within
from scratchlm.training.loss import cross_entropy_sum
from shapes import EVERY, FIRST

LOGITS, TARGETS = torch.zeros(3, 5), torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize("checked", [0, FIRST - 1, EVERY - 1, 2 * EVERY - 1])
def test_a_call_with_a_wrong_shape_is_refused(checked: int) -> None:
    for _ in range(checked):
        cross_entropy_sum(LOGITS, TARGETS[:3])
    with pytest.raises(TypeCheckError, match="targets"):
        cross_entropy_sum(LOGITS, TARGETS)


def test_functions_are_counted_apart() -> None:
    for _ in range(FIRST):
        cross_entropy_sum(LOGITS, TARGETS[:3])
    with pytest.raises(TypeCheckError):
        positions_within(TARGETS)


def test_the_count_keeps_nothing_of_functions_that_are_made_anew() -> None:
    def called(tensor: torch.Tensor) -> weakref.ref[torch.Tensor]:
        @jaxtyping.jaxtyped(typechecker=None)
        def size() -> int:
            return tensor.numel()

        assert size() == 3
        return weakref.ref(tensor)

    kept = called(torch.zeros(3))
    gc.collect()  # the checking function and what it checks refer to each other
    assert kept() is None
