"""Numbers that a reader types."""

from __future__ import annotations

import math
import re

from scratchlm.base.errors import UserError

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POWER = re.compile(r"\s*[x*×]\s*10\s*(?:\^|\*\*)\s*")


def parse_number(text: str, what: str = "") -> float:
    """Return a number; a percent sign at its end is ignored, as the question names the unit.

    >>> parse_number("1,024"), parse_number("3.15 x 10^23"), parse_number("12.5%")
    (1024.0, 3.15e+23, 12.5)

    Raises `UserError` for text that is no finite number, and begins it with `what`.
    """
    plain = _POWER.sub("e", _THOUSANDS.sub("", text.strip().removesuffix("%").strip()))
    try:
        number = float(plain)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        begin = f"{what}: " if what else ""
        raise UserError(f"{begin}{text.strip()!r} is no number; write it as 0.25, 1024 or 3e9")
    return number


def is_close(answer: float, value: float, within: float) -> bool:
    """Return whether a number has at most this relative error; `within` of 0.01 is 1%."""
    return abs(answer - value) <= within * abs(value) * (1 + 1e-9)
