"""What a search over settings tries, and whether its best value lies at an edge."""

from __future__ import annotations

from collections.abc import Collection


def at_edge(chosen: float, tried: Collection[float]) -> bool:
    """Return whether a value is the lowest or highest of at least three that were tried: one beyond may be better."""
    return len(tried) > 2 and chosen in (min(tried), max(tried))
