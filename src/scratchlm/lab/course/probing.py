"""What probes share: they call functions of a module with fixed inputs, and yield each result under a label.

The same probe asks the learner's module and that of the solution. Inputs come from a generator with a fixed seed; they
are no round numbers, so that a mistake shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

Outputs = Iterator[tuple[str, Any]]
Probe = Callable[[ModuleType], Outputs]


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Return normal numbers of this shape, the same in each call."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(network: Any, seed: int = 0) -> Any:
    """Fill all parameters of a network with fixed numbers, by the order of their names, and return it."""
    with torch.no_grad():
        for place, (_, weight) in enumerate(sorted(network.named_parameters())):
            weight.copy_(numbers(*weight.shape, seed=1000 * seed + place, scale=0.4))
    return network


def shape_of(*tensors: Tensor) -> str:
    """Return the shapes of tensors as text."""
    return " and ".join(str(tuple(each.shape)) for each in tensors)


def differentiated(
    label: str,
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    names: Sequence[str],
    network: nn.Module | None = None,
) -> Outputs:
    """Yield the result of a function of tensors, the gradients of its inputs and of a network's parameters.

    The gradient is that of a fixed weighted sum of the result. At last comes whether the inputs are as they were.
    """
    leaves = [each.clone().requires_grad_(each.is_floating_point()) for each in inputs]
    result = function(*leaves)
    yield label, result
    wanted = {name: leaf for name, leaf in zip(names, leaves, strict=True) if leaf.requires_grad}
    parameters = sorted(network.named_parameters()) if network is not None else []
    wanted |= {name: weight for name, weight in parameters if weight.requires_grad}
    total = (result * numbers(*result.shape, seed=99)).sum()
    grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True) if total.requires_grad else ()
    for place, name in enumerate(wanted):
        yield f"{label}: the gradient of {name}", grads[place] if grads else None
    changed = [name for name, leaf, given in zip(names, leaves, inputs, strict=True) if not leaf.detach().equal(given)]
    yield f"{label}: inputs that were changed", changed
