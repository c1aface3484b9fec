"""Ranges of numbers, declared beside the fields of a config and checked by one function.

    rows: Annotated[int, Range(1, 65_536)] = 16
    epochs: Annotated[float, Range(over=0)] = 3.0

`out_of_range` names every number that lies outside. A number without a range must still be finite, and a whole one must
fit 64 bits: torch and numpy hold no others.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from functools import cache
from typing import Annotated, Any

WIDEST = (1 << 63) - 1


@dataclasses.dataclass(frozen=True)
class Range:
    """Which numbers a field may hold."""

    least: float | None = None
    most: float | None = None
    over: float | None = None
    """A limit that is itself outside."""
    under: float | None = None
    """The same from above."""

    def problem(self, value: float) -> str | None:
        """Say which limit `value` violates, or return None."""
        if self.least is not None and value < self.least:
            return "must not be negative" if self.least == 0 else f"must be at least {_shown(self.least)}"
        if self.over is not None and not value > self.over:
            return f"must be over {_shown(self.over)}"
        if self.most is not None and value > self.most:
            return f"must be at most {_shown(self.most)}"
        if self.under is not None and not value < self.under:
            return f"must be under {_shown(self.under)}"
        return None


Count = Annotated[int, Range(1, 10**9)]
"""A number of things, at least one."""
Amount = Annotated[int, Range(0, 10**9)]
"""A number of things, perhaps none."""
Positive = Annotated[float, Range(over=0, most=1e12)]
Fraction = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, under=1)]
"""A memory of earlier values: 0 keeps none; 1 would never take up a new one."""
Seed = Annotated[int, Range(0, WIDEST)]
Threads = Annotated[int | None, Range(1, 4096)]
Minutes = Annotated[float, Range(over=0, most=60 * 24 * 365)]
Epochs = Annotated[float, Range(over=0, most=10_000)]
Megabytes = Annotated[float, Range(over=0, most=1_000_000)]
Width = Annotated[int, Range(1, 1 << 20)]
"""Channels; the widest published model has 53,248."""
Length = Annotated[int, Range(1, 1 << 27)]
"""Tokens in a row, or the most that a model sees."""
Rows = Annotated[int, Range(1, 65_536)]
"""Texts that are computed together."""
Vocabulary = Annotated[int, Range(1, 1 << 20)]
"""Tokens of a tokenizer that is trained; of byte-level BPE the 256 bytes are the first, which its trainer checks."""


def out_of_range(config: Any, part: str = "", above: str = "") -> list[str]:
    """Return a problem for each number of a config, and of the parts in it, that lies outside its range.

    Numbers of a command are named as flags; those of a `part`, such as model, by their dotted place. Parts that check
    themselves when they are made are passed over.
    """
    problems = []
    ranges = _ranges(type(config))  # type: ignore[arg-type]  # a class is hashable
    for field in dataclasses.fields(config):
        value, place = getattr(config, field.name), f"{above}{field.name}"
        if dataclasses.is_dataclass(value):
            if not hasattr(value, "__post_init__"):
                problems += out_of_range(value, part, f"{place}.")
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if problem := _problem(number, ranges.get(field.name)):
                name = f"{part}.{place} is" if part else f"--{place.replace('_', '-')}"
                problems.append(f"{name} {_shown(number)}: {problem}")
    return problems


def _problem(number: float, range_: Range | None) -> str | None:
    if isinstance(number, float) and not math.isfinite(number):
        return "must be a finite number"
    problem = range_.problem(number) if range_ is not None else None
    return problem or (f"must be at most {WIDEST:,}" if isinstance(number, int) and abs(number) > WIDEST else None)


def _shown(number: float) -> str:
    """Return a number in full, without its last zeros; a very long one by its size."""
    if isinstance(number, int):
        return f"{number:,}" if abs(number) >= 10_000 else str(number)
    return f"{number:g}"


@cache
def _ranges(cls: type) -> dict[str, Range]:
    """Return the declared range of each field."""
    hints = typing.get_type_hints(cls, include_extras=True)
    marks = ((name, each) for name, hint in hints.items() for each in reversed(_marks(hint)))
    return {name: each for name, each in marks if isinstance(each, Range)}


def _marks(hint: Any) -> list[Any]:
    """Return what a type is annotated with, also within `... | None`."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    within = [each for part in typing.get_args(hint) for each in _marks(part)] if union else []
    return [*getattr(hint, "__metadata__", ()), *within]
