"""What differs between two records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def differences(recorded: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each entry that was recorded otherwise, in the parts that were measured now."""
    lines = []
    for part, entries in found.items():
        before = recorded.get(part, {})
        for entry in sorted(before.keys() | entries.keys()):
            one, other = before.get(entry), entries.get(entry)
            if one != other:
                lines += _inner(f"{part}, {entry}", one, other)
    return lines


def _inner(place: str, one: Any, other: Any) -> list[str]:
    """Return a line for each value that differs; of two tables, those of their entries."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return [f"{place}: {_short(one)} became {_short(other)}"]
    names = sorted(one.keys() | other.keys())
    pairs = [(name, one.get(name), other.get(name)) for name in names]
    return [line for name, a, b in pairs if a != b for line in _inner(f"{place}, {name}", a, b)]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
