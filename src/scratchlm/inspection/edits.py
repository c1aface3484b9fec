"""Changes of a named value in a forward pass: zero, its mean, scaled, replaced, or patched from another trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool
from torch import Tensor

from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.inspection.points import AXES, chosen_points, points
from scratchlm.model.decoder import Decoder

Change = Literal["zero", "mean", "scale", "replace"]


@dataclass(frozen=True)
class Edit:
    """A change of the values that `name` stands for; what is not chosen by heads, positions or channels stays.

    Of attention weights, positions are those of queries and channels are keys.
    """

    name: str
    change: Change
    value: float | Tensor = 0.0
    """The factor of `scale`; what `replace` puts in, of a shape that fits the whole value."""
    heads: Sequence[int] | None = None
    positions: Sequence[int] | None = None
    channels: Sequence[int] | None = None
    rows: Sequence[int] | None = None
    """The texts of a batch that are edited; None: all."""

    @classmethod
    def zero(
        cls, name: str, *, heads: Sequence[int] | None = None, positions: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
    ) -> Edit:  # fmt: skip
        """Set to zero: the part adds nothing (ablation)."""
        return cls(name, "zero", 0.0, heads, positions, channels)

    @classmethod
    def mean(
        cls, name: str, *, heads: Sequence[int] | None = None, positions: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
    ) -> Edit:  # fmt: skip
        """Set to the mean over all of each text's positions, later ones too: a place no longer tells from another."""
        return cls(name, "mean", 0.0, heads, positions, channels)

    @classmethod
    def scale(
        cls, name: str, factor: float, *, heads: Sequence[int] | None = None, positions: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
    ) -> Edit:  # fmt: skip
        """Multiply by a factor."""
        return cls(name, "scale", factor, heads, positions, channels)

    @classmethod
    def replace(
        cls, name: str, value: Tensor, *, heads: Sequence[int] | None = None, positions: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
    ) -> Edit:  # fmt: skip
        """Put another value in."""
        return cls(name, "replace", value, heads, positions, channels)

    @classmethod
    def patch(
        cls, source: Mapping[str, Tensor], name: str, *, heads: Sequence[int] | None = None,
        positions: Sequence[int] | None = None, channels: Sequence[int] | None = None,
    ) -> Edit:  # fmt: skip
        """Put the value of another trace in (activation patching). `name` is a full one that the trace holds."""
        if name not in source:
            raise UserError(f"{name}: the trace to patch from does not hold it; name it in its `want`")
        return cls.replace(name, source[name], heads=heads, positions=positions, channels=channels)

    def __post_init__(self) -> None:
        """Check the kind of change."""
        known = get_args(Change)
        if self.change not in known:
            raise UserError(f"edit {self.change!r}: {nearest(self.change, known)}; there are {', '.join(known)}")

    def apply(self, value: Tensor, axes: str, real: Bool[Tensor, "B T"] | None) -> Tensor:
        """Return the changed value. Raises `UserError` for places that it lacks and for a value of another shape."""
        letters = axes.split()
        if real is not None and min(self.positions or [0]) < 0:
            raise UserError(
                f"{self.name}: positions from the end are unclear for texts of unlike lengths; count from 0"
            )
        mask = self._mask(value, letters)
        if self.change == "scale":
            return torch.where(mask, value * self.value, value)
        if self.change == "zero":
            return torch.where(mask, torch.zeros_like(value), value)
        if self.change == "mean":
            return torch.where(mask, _mean(value, letters, real), value)
        new = torch.as_tensor(self.value, dtype=value.dtype, device=value.device)
        try:
            return torch.where(mask, new.broadcast_to(value.shape), value)
        except RuntimeError as error:
            raise UserError(
                f"{self.name}: the edit has shape {tuple(new.shape)}, the value {tuple(value.shape)}; "
                "give it the same shape, or one that broadcasts to it"
            ) from error

    def _mask(self, value: Tensor, letters: Sequence[str]) -> Tensor:
        """Return which numbers are changed, in a shape that broadcasts to the value's."""
        mask, problems = torch.ones((), dtype=torch.bool, device=value.device), list[str]()
        chosen_of = ((self.rows, "B"), (self.heads, "HK"), (self.positions, "T"), (self.channels, letters[-1]))
        for chosen, of in chosen_of:
            if chosen is None:
                continue
            axis = next((at for at, letter in enumerate(letters) if letter in of), None)
            if axis is None:
                problems.append(f"{self.name}: has no heads; leave `heads` out")
                continue
            size = value.size(axis)
            wrong = [each for each in chosen if not -size <= each < size]
            if wrong:
                listed, what = ", ".join(map(str, wrong)), AXES[letters[axis]]
                problems.append(f"{self.name}: {listed} of the {what} are missing; there are 0 to {size - 1}")
                continue
            part = torch.zeros(size, dtype=torch.bool, device=value.device)
            part[list(chosen)] = True
            mask = mask & part.view([-1 if at == axis else 1 for at in range(value.dim())])
        raise_all(problems)
        return mask


def _mean(value: Tensor, letters: Sequence[str], real: Bool[Tensor, "B T"] | None) -> Tensor:
    """Return the mean over each text's own positions, for every position the same."""
    places = letters.index("T")
    if real is None:
        return value.mean(places, keepdim=True).expand_as(value)
    shape = [value.size(at) if letter in "BT" else 1 for at, letter in enumerate(letters)]
    weights = real.to(value.dtype).view(shape)
    return ((value * weights).sum(places, keepdim=True) / weights.sum(places, keepdim=True)).expand_as(value)


def by_name(decoder: Decoder, edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    """Return the edits of each full name, in order. Raises `UserError` for names that the model lacks."""
    changes: dict[str, list[Edit]] = {}
    known = points(decoder)
    for edit in edits:
        for name in [edit.name] if edit.name in known else chosen_points(decoder, [edit.name]):
            changes.setdefault(name, []).append(edit)
    return changes
