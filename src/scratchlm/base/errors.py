"""The package's own errors: what a user did, the limit it met, and the remedy.

A `UserError` ends a command with its one line on stderr and exit code 1. Everything else that escapes is a bug of ours
and keeps its traceback. `assert` guards our own reasoning, never the user's input.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """A mistake that the user can fix; the message names the value, the limit and the remedy."""


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """Work was stopped on request (Ctrl-C, SIGTERM, control file) after its state was saved."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a phrase that offers the nearest valid name, or all of them when none is near.

    >>> nearest("lerning_rate", ["learning_rate", "steps"])
    "did you mean 'learning_rate'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def shortened(value: object) -> str:
    """Return a wrong value as Python writes it, or its beginning."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def raise_all(problems: Sequence[str]) -> None:
    """Raise one `UserError` that lists every problem, or return when there is none."""
    if problems:
        raise UserError("; ".join(problems))


def raise_first(problems: Sequence[str], what: str, shown: int = 5) -> None:
    """Raise one `UserError` with the first problems and how many more `what` have one, or return when there is none."""
    more = [f"and {len(problems) - shown:,} more {what}"] if len(problems) > shown else []
    raise_all([*problems[:shown], *more])
