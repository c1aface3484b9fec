"""The one move of byte-pair encoding, replacing a pair of neighbours by the token that they make, and what follows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

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
    """Merge neighbours, the lowest new id first because it was learned first, until none can merge.

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
    """Read the merges, first to last, off a vocabulary whose ids are in the order of learning.

    The bytes of a token, under the merges before it, fall into the two parts that it was made from. Raises a
    `UserError` that names the first token for which that is not so.
    """
    merges: dict[Pair, int] = {}
    for token, id in sorted(tokens.items(), key=lambda item: item[1]):
        if len(token) > 1:
            merges[_parts(token, id, tokens, merges)] = id
    return merges


def _parts(token: bytes, id: int, tokens: Mapping[bytes, int], merges: Mapping[Pair, int]) -> Pair:
    """Return the two ids that a token is made from."""
    if len(token) <= _SHORT:
        cuts = range(1, len(token))
        splits = [(tokens.get(token[:cut], id), tokens.get(token[cut:], id)) for cut in cuts]
        splits = [(left, right) for left, right in splits if left < id and right < id]
        if len(splits) == 1:  # no other pair can be left over: true of most tokens, and quicker than merging
            return splits[0]
    single = [tokens.get(token[place : place + 1]) for place in range(len(token))]
    ids = merge_all([part for part in single if part is not None], merges)
    if None in single or len(ids) != 2:
        raise UserError(
            f"token {id} ({token[:40]!r}): no merge of two earlier tokens makes it; "
            "this is not a byte-level BPE vocabulary in the order of its merges"
        )
    return ids[0], ids[1]
