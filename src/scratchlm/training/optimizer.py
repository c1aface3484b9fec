"""Optimizers: AdamW written out beside torch's fused one, and Muon.

AdamW: Loshchilov and Hutter 2017 (arXiv 1711.05101). Muon: Jordan 2024, "Muon: an optimizer for hidden layers in neural
networks"; the step's scale for non-square matrices follows it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, assert_never, overload, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.base.errors import UserError
from scratchlm.model.network import Layer
from scratchlm.training.config import AdamWConfig, MuonConfig, OptimizerConfig
from scratchlm.training.distributed.parts import full_tensor, layouts, part_like
from scratchlm.training.ranks import ALONE, Ranks

Groups = list[dict[str, Any]]
"""Parameters with their weight decay, as `torch.optim.Optimizer` takes them."""
BuildOptimizer = Callable[[Groups], torch.optim.Optimizer]


@runtime_checkable
class Rates(Protocol):
    """What the config of any optimizer has."""

    @property
    def learning_rate(self) -> float:
        """Peak of its learning rate."""

    @property
    def weight_decay(self) -> float:
        """How fast matrices shrink."""


class GroupOptimizer(torch.optim.Optimizer):
    """An optimizer whose step is a function of each group and its gradients alone.

    One of your own needs `step_group`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], config: Rates) -> None:
        super().__init__(groups, {"lr": config.learning_rate, "weight_decay": config.weight_decay})

    @abstractmethod
    def step_group(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        """Step parameters that have gradients."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step from the gradients; `closure` is not used."""
        assert closure is None
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            self.step_group(parameters, group["lr"], group["weight_decay"])
        return None


class PlainAdamW(GroupOptimizer):
    """AdamW, each step on its own line. Takes about four times as long as torch's fused form, which equals it."""

    def __init__(self, groups: Iterable[dict[str, Any]], config: AdamWConfig) -> None:
        self.config = config
        super().__init__(groups, config)

    def step_group(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        """Step each parameter."""
        beta1, beta2 = self.config.beta1, self.config.beta2
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["step"] += 1
            count, mean, square = state["step"].item(), state["exp_avg"], state["exp_avg_sq"]
            mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            unbiased_mean = mean / (1 - beta1**count)
            unbiased_square = square / (1 - beta2**count)
            parameter.mul_(1 - rate * decay)
            parameter.sub_(rate * unbiased_mean / (unbiased_square.sqrt() + self.config.eps))


def newton_schulz(matrices: Float[Tensor, "n rows columns"], steps: int) -> Float[Tensor, "n rows columns"]:
    """Bring all singular values of each matrix near 1 by Newton-Schulz iteration, a quintic polynomial in products.

    The coefficients (Jordan 2024) trade exactness for slope at zero: values end between about 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices  # products of the short side are the cheap ones
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(GroupOptimizer):
    """Momentum whose step is orthogonalised: every direction of a matrix moves equally far.

    Matrices of one shape are stacked and handled in one batch, which is what makes it affordable on a CPU.
    `dtype` is that of the products: the iteration forgives bf16's rounding. Not for embeddings, heads or vectors.
    Ranks that train together share the matrices among them.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        config: MuonConfig,
        dtype: torch.dtype = torch.float32,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.dtype, self.ranks = config, dtype, ranks
        super().__init__(groups, config)

    def step_group(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        """Step all matrices of one shape together."""
        alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            alike[parameter.shape].append(parameter)
        groups = [(shape, group) for shape, same in alike.items() for group in layouts(same)]
        for (rows, columns), matrices in groups:
            buffers = [self._momentum(matrix) for matrix in matrices]
            gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
            torch._foreach_lerp_(buffers, gradients, 1 - self.config.momentum)
            ahead = torch._foreach_lerp(gradients, buffers, self.config.momentum)  # Nesterov: where the momentum leads
            stacked = torch.stack([full_tensor(each) for each in ahead]).to(self.dtype)
            orthogonal = self.ranks.shared(stacked, lambda some: newton_schulz(some, self.config.steps))
            updates = [part_like(update, matrix) for update, matrix in zip(orthogonal.unbind(), matrices, strict=True)]
            if decay and self.config.cautious:
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.sub_((matrix * (matrix * update > 0)).mul_(rate * decay))
            elif decay:
                torch._foreach_mul_(matrices, 1 - rate * decay)
            scale = rate * math.sqrt(max(1.0, rows / columns))
            torch._foreach_add_(matrices, updates, alpha=-scale)

    def _momentum(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"]
        return momentum


def matrices_of(model: nn.Module) -> list[nn.Parameter]:
    """Return the trained matrices inside blocks and recurrent layers, which Muon steps; an embedding is a table.

    A recurrent layer's matrices hold those of its gates, one below the other, and are stepped as one.
    """
    tables = {part.weight for part in model.modules() if isinstance(part, nn.Embedding)}
    blocks = [part for part in model.modules() if isinstance(part, Layer | nn.RNNBase | nn.RNNCellBase)]
    matrices = [p for block in blocks for p in block.parameters() if p.requires_grad and p.dim() == 2]
    return [p for p in matrices if p not in tables]


def matrix_weights(model: nn.Module) -> int:
    """Return how many weights `matrices_of` holds: the size of a model in the law of loss."""
    return sum(matrix.numel() for matrix in matrices_of(model))


def _configured(
    model: nn.Module, parameters: Sequence[Tensor], config: OptimizerConfig, dtype: torch.dtype, ranks: Ranks
) -> list[torch.optim.Optimizer]:
    """Return the optimizers that a config names; without parameters for one, as where all else is frozen, not that."""
    match config:
        case AdamWConfig():
            return [_adamw(list(parameters), config)] if parameters else []
        case MuonConfig():
            matrices = matrices_of(model)
            others = [p for p in parameters if p not in set(matrices)]
            muon = [Muon([{"params": matrices}], config, dtype, ranks)] if matrices else []
            return [*muon, *_configured(model, others, config.adam, dtype, ranks)]
    assert_never(config)


class Optimizers:
    """The optimizers of one model behind one `step`, with every rate following one schedule."""

    def __init__(
        self,
        model: nn.Module,
        config: OptimizerConfig,
        dtype: torch.dtype = torch.float32,
        ranks: Ranks = ALONE,
        build: BuildOptimizer | None = None,
    ) -> None:
        """Build what `config` says; with `build`, one optimizer of groups in which matrices alone decay."""
        self.names: dict[Tensor, str] = {p: name for name, p in model.named_parameters() if p.requires_grad}
        parameters: list[Tensor] = list(self.names)
        self.members: list[torch.optim.Optimizer] = []
        if build is not None:
            self.members.append(build(_groups(parameters, config.weight_decay)))
        else:
            self.members += _configured(model, parameters, config, dtype, ranks)
        assert self.members, "nothing to train"
        groups = [group for member in self.members for group in member.param_groups]
        self._peaks = [(group, group["lr"], group["weight_decay"]) for group in groups]

    def scale_lr(self, factor: float, decay_factor: float = 1.0) -> None:
        """Set each group's learning rate to `factor` of its peak, and its weight decay to `decay_factor` of its own."""
        for group, lr, decay in self._peaks:
            group["lr"], group["weight_decay"] = lr * factor, decay * decay_factor

    @property
    def lr(self) -> float:
        """The learning rate now: Muon's where it trains the matrices, else AdamW's."""
        return float(self._peaks[0][0]["lr"])

    def step(self) -> None:
        """Step all members, then drop the gradients."""
        for member in self.members:
            member.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Drop the gradients without a step."""
        for member in self.members:
            member.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state as named tensors: `parameter:quantity`."""
        return {
            f"{self.names[parameter]}:{key}": value
            for member in self.members
            for parameter, state in member.state.items()
            for key, value in state.items()
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned, into fresh memory."""
        owners = {
            self.names[parameter]: (member, parameter)
            for member in self.members
            for group in member.param_groups
            for parameter in group["params"]
        }
        for name, value in tensors.items():
            parameter_name, key = name.rsplit(":", 1)
            owner = owners.get(parameter_name)
            if owner is None or (value.dim() and value.shape != owner[1].shape):
                raise UserError(f"{name}: the checkpoint's optimizer does not fit the model; restore the checkpoint")
            owner[0].state[owner[1]][key] = part_like(value, owner[1]).clone() if value.dim() else value.clone()


def _groups(parameters: Sequence[Tensor], weight_decay: float) -> Groups:
    """Group parameters, with decay on matrices only: to shrink a norm's weight or a bias towards zero helps nobody."""
    matrices, vectors = [p for p in parameters if p.dim() >= 2], [p for p in parameters if p.dim() < 2]
    parts = ((matrices, weight_decay), (vectors, 0.0))
    return [{"params": group, "weight_decay": decay} for part, decay in parts for group in layouts(part)]


def _adamw(parameters: Sequence[Tensor], config: AdamWConfig) -> torch.optim.Optimizer:
    groups = _groups(parameters, config.weight_decay)
    if config.implementation == "plain":
        return PlainAdamW(groups, config)
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.eps, fused=True)
