"""What a search over settings tries, and whether its best value lies at an edge."""

from __future__ import annotations

from collections.abc import Collection


def at_edge(chosen: float, tried: Collection[float]) -> bool:
    """Return whether a value is the lowest or highest of several that were tried: one beyond may be better."""
    return len(tried) > 1 and chosen in (min(tried), max(tried))
