"""Which names of columns mean what: the one table of all commands, and how a row's columns are found by it.

Names are compared without regard to case, to spaces around them, to a byte-order mark, and to whether spaces, `_` or
`-` stand between words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.text.counts import printable

Role = Literal["text", "label", "prompt", "answer", "input"]

NAMES: Mapping[Role, tuple[str, ...]] = {
    "text": (
        "text", "content", "story", "body", "document", "article", "passage", "paragraph", "markdown", "message",
        "message text", "sms", "email", "mail", "review", "comment", "tweet", "sentence", "utterance", "ticket",
    ),
    "label": ("label", "labels", "class", "category", "intent", "target", "sentiment", "topic", "tag"),
    "prompt": ("prompt", "question", "instruction", "query", "request", "message", "user", "human", "q", "input"),
    "answer": ("completion", "answer", "output", "response", "reply", "assistant", "bot"),
    "input": ("input", "context"),
}  # fmt: skip
"""The usual names of each kind of column; of several in one table the first here is taken. `input` is what belongs to a
prompt and stands after it."""
FLAGS: Mapping[Role, str] = {
    "text": "--text-column",
    "label": "--label-column",
    "prompt": "--prompt-column",
    "answer": "--answer-column",
}


def plain(name: str) -> str:
    """Return a column's name as it is compared.

    >>> plain(" User_Message ")
    'user message'
    """
    return " ".join(re.split(r"[\s_\-\ufeff]+", name)).strip().casefold()


def same_column(names: Iterable[str], wanted: str) -> str | None:
    """Return the column of a name: the equal one, else the only one that differs in case, spaces and the like."""
    names = list(names)
    if wanted in names:
        return wanted
    alike = [name for name in names if plain(str(name)) == plain(wanted)]
    return alike[0] if len(alike) == 1 else None


def usual_column(names: Iterable[str], role: Role) -> str | None:
    """Return the first column with a usual name of a role."""
    names = list(names)
    return next((name for usual in NAMES[role] if (name := same_column(names, usual)) is not None), None)


def find_columns(row: Mapping[str, Any], wanted: Mapping[Role, str | None], place: str) -> dict[Role, str]:
    """Return the column of each role in `wanted`: the one that a flag names, or else the one with a usual name.

    Of two roles, the one without a column gets the only column left, if that holds words; a label gets it where the
    column of the texts was named. Raises `UserError` for a flag that names no column, and where
    the columns are not clear, with the columns and the flags.
    """
    names, columns, problems = list(row), dict[Role, str](), list[str]()
    for role, name in wanted.items():
        if name is None:
            continue
        column = same_column(names, name)
        if column is None:
            hint = nearest(name, [str(each) for each in names])
            hint = f"{hint} " if hint.startswith("did") else ""
            problems.append(f"{FLAGS[role]} {name}: no column {name!r} in {place}; {hint}columns: {listed(names)}")
        else:
            columns[role] = column
    if len(set(columns.values())) < len(columns):
        problems.append(f"{' and '.join(FLAGS[role] for role in columns)}: name the same column; name two")
    raise_all(problems)
    for role in reversed(list(wanted)):  # a label or an answer has the rarer names, so it is found first
        left = [name for name in names if name not in columns.values()]
        if role not in columns and (usual := usual_column(left, role)) is not None:
            columns[role] = usual
    missing = [role for role in wanted if role not in columns]
    left = [name for name in names if name not in columns.values()]
    if len(missing) == len(left) == 1 and columns:
        value = row[left[0]]
        words = is_prose(value) and (missing == ["text"] or " " in value.strip())
        if wanted.get("text") is not None if missing == ["label"] else words:
            columns[missing.pop()] = left[0]
    if missing:
        flags = " and ".join(FLAGS[role] for role in missing)
        raise UserError(f"{place}: which column is which? Columns: {listed(names)}; name the right ones with {flags}")
    return columns


def is_prose(value: object) -> bool:
    """Return whether a value is a text and no number."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return bool(value)
    return False


def listed(names: Iterable[Any] | Sequence[Any]) -> str:
    """Join the names of columns, at most twenty."""
    names = list(names)
    shown = [printable(str(name))[:60] for name in names]
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return ", ".join(shown[:20]) + more if shown else "none"
