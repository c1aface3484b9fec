"""The merge step of byte-pair encoding: replacing an adjacent pair of tokens by the token that it forms."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from scratchlm.base.errors import UserError

Pair = tuple[int, int]

_SHORT = 64


def merge(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    """Replace every occurrence of a pair, from left to right.

    >>> merge([1, 1, 1, 2], (1, 1), 256)
    [256, 1, 2]
    """
    merged = []
    place = 0
    while place < len(ids):
        if ids[place] == pair[0] and place + 1 < len(ids) and ids[place + 1] == pair[1]:
            merged.append(new_id)
            place += 2
        else:
            merged.append(ids[place])
            place += 1
    return merged


def merge_all(ids: Sequence[int], merges: Mapping[Pair, int]) -> list[int]:
    """Merge adjacent pairs, the lowest new id first because it was learned first, until none can merge.

    >>> merge_all([1, 2, 3], {(2, 3): 256, (1, 256): 257, (1, 2): 258})
    [257]
    """
    ids = list(ids)
    while len(ids) > 1:
        candidates = [(merges[pair], pair) for pair in set(itertools.pairwise(ids)) if pair in merges]
        if not candidates:
            break
        new_id, pair = min(candidates)
        ids = merge(ids, pair, new_id)
    return ids


def merges_of(tokens: Mapping[bytes, int]) -> dict[Pair, int]:
    """Derive the merges, first to last, from a vocabulary whose ids are in the order of learning.

    Encoding a token's bytes with the merges before it gives the two parts that it was merged from. Raises a
    `UserError` that names the first token for which this fails.
    """
    merges: dict[Pair, int] = {}
    for token, id in sorted(tokens.items(), key=lambda item: item[1]):
        if len(token) > 1:
            merges[_parts(token, id, tokens, merges)] = id
    return merges


def _parts(token: bytes, id: int, tokens: Mapping[bytes, int], merges: Mapping[Pair, int]) -> Pair:
    """Return the two ids that merge into a token."""
    if len(token) <= _SHORT:
        cuts = range(1, len(token))
        splits = [(tokens.get(token[:cut], id), tokens.get(token[cut:], id)) for cut in cuts]
        splits = [(left, right) for left, right in splits if left < id and right < id]
        if len(splits) == 1:  # only one pair is possible: true of most tokens, and faster than merging
            return splits[0]
    single = [tokens.get(token[place : place + 1]) for place in range(len(token))]
    ids = merge_all([part for part in single if part is not None], merges)
    if None in single or len(ids) != 2:
        raise UserError(
            f"token {id} ({token[:40]!r}): no merge of two earlier tokens makes it; "
            "this is not a byte-level BPE vocabulary in the order of its merges"
        )
    return ids[0], ids[1]


def merges_hold(merges: Iterable[tuple[int, int, int]], tokens: Mapping[bytes, int]) -> bool:
    """Return whether encoding each token with the merges before its own ends with the two ids that are listed for it.

    Each merge is two ids and the id that they became. A merge across the border of the two would have come between;
    that is asked instead of encoding, which takes much longer.
    """
    known: dict[Pair, int] = {}
    parts: dict[int, Pair] = {}
    before = -1
    for left, right, id in merges:
        if max(before, left, right) >= id or not _meet(left, right, id, known, parts):
            return False
        known[left, right] = before = id
        parts[id] = left, right
    return parts.keys() == {id for token, id in tokens.items() if len(token) > 1}


def _meet(left: int, right: int, id: int, known: Mapping[Pair, int], parts: Mapping[int, Pair]) -> bool:
    """Return whether two neighbours are whole when `id` is merged from them, with no earlier merge across their border.

    Time runs backwards: of the two tokens at the border, the later one is taken apart. A merge across happens if it
    comes before either of them becomes part of a longer token; of equal merges the leftmost is the first.
    """
    left_until = right_until = id
    while known.get((left, right), id) >= min(left_until, right_until):
        if left in parts and (left > right or right not in parts):
            left_until, left = left, parts[left][1]
        elif right in parts:
            right_until, right = right + 1, parts[right][0]
        else:
            return True
    return False
