"""SentencePiece-style byte-pair encoding, as in Llama 2, TinyLlama, Mistral and Gemma.

Kudo and Richardson 2018 (arXiv 1808.06226). Merging starts from characters, not bytes; a space is written as U+2581 and
is an ordinary character, so no pattern splits the text first; a character outside the vocabulary falls back to byte
tokens. These tokenizers can be loaded here, not trained.
"""

from __future__ import annotations

import heapq
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.merging import Pair
from scratchlm.tokens.patterns import require_encodable
from scratchlm.tokens.vocabulary import SPACE, SentencePieceVocabulary

_REMEMBERED = 1 << 16  # words whose ids are cached


def merges_by_score(pieces: Mapping[str, int], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the merges, first to last, from the scores of tokens, for files without merges: the best score first.

    Every split of a token into two other tokens is a merge. Among equal scores the lower id comes first.
    """
    merges = []
    for piece in sorted(pieces, key=lambda piece: (-scores[piece], pieces[piece])):
        cuts = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        merges += [(left, right) for left, right in cuts if left in pieces and right in pieces]
    return merges


def plain_merge(ids: Sequence[int], ranks: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Merge the pair of lowest rank, the leftmost among equals, one at a time, until none is left.

    >>> plain_merge([1, 2, 3], {(2, 3): (0, 4), (1, 4): (1, 5)})
    [5]
    """
    merged = list(ids)
    while True:
        candidates = [(ranks[pair], place) for place, pair in enumerate(itertools.pairwise(merged)) if pair in ranks]
        if not candidates:
            return merged
        (_, new), place = min(candidates, key=lambda each: (each[0][0], each[1]))
        merged[place : place + 2] = [new]


def fast_merge(ids: Sequence[int], ranks: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Return the result of `plain_merge` in O(n log n), with a heap of candidates on a linked list."""
    here = list(ids)
    following = [*range(1, len(here)), -1]
    before = [-1, *range(len(here) - 1)]
    heap: list[tuple[int, int, int, int, int]] = []  # rank, position, new id, and the pair

    def offer(place: int) -> None:
        right = following[place] if place >= 0 else -1
        if right >= 0 and (ranked := ranks.get((here[place], here[right]))) is not None:
            heapq.heappush(heap, (ranked[0], place, ranked[1], here[place], here[right]))

    for place in range(len(here)):
        offer(place)
    while heap:
        _, place, new, left, right_id = heapq.heappop(heap)
        right = following[place]
        if here[place] != left or right < 0 or here[right] != right_id:
            continue  # stale: one of the two was merged since
        here[place], here[right] = new, -1
        following[place] = following[right]
        if following[right] >= 0:
            before[following[right]] = place
        offer(before[place])
        offer(place)
    return [id for id in here if id >= 0]


class SentencePieceBPE(Tokenizer):
    """SentencePiece-style BPE. U+2581 in a text becomes a space when decoded."""

    vocabulary: SentencePieceVocabulary

    def __init__(self, vocabulary: SentencePieceVocabulary) -> None:
        super().__init__(vocabulary)
        crossing = re.compile(f"[^{SPACE}]{SPACE}")
        self._by_words = not any(crossing.search(piece) for piece in vocabulary.pieces)
        self._word = re.compile(f"{SPACE}+[^{SPACE}]*|[^{SPACE}]+")
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special-token strings in it are ordinary text."""
        return self._encode(text, self.vocabulary.prefix)

    def encode_after(self, text: str) -> list[int]:
        """Return the ids of a text that continues other text, and so gets no space in front."""
        return self._encode(text, False)

    def _encode(self, text: str, prefix: bool) -> list[int]:
        require_encodable(text)
        ids: list[int] = []
        for part in self._cut_added(text):
            if part in self.vocabulary.added:
                ids.append(self.vocabulary.added[part])
            elif part:
                written = (SPACE if prefix else "") + part.replace(" ", SPACE)
                for word in self._word.findall(written) if self._by_words else [written]:
                    ids += self._encode_word(word)
            prefix = False
        return ids

    def _encode_word(self, word: str) -> list[int]:
        ids = self._known.get(word)
        if ids is None:
            ids = fast_merge(self._characters(word), self.vocabulary.ranks)
            if len(self._known) < _REMEMBERED and len(word) < 64:
                self._known[word] = ids
        return ids

    def _characters(self, word: str) -> list[int]:
        """Return the id of each character, or the ids of its bytes (byte fallback)."""
        data, ids = self.vocabulary, []
        for character in word:
            if (id := data.pieces.get(character)) is not None:
                ids.append(id)
            elif data.byte_ids:
                ids += [data.byte_ids[value] for value in character.encode("utf-8")]
            elif data.unknown is not None:
                ids.append(data.unknown)
            else:
                name = unicodedata.name(character, "without a name")
                raise UserError(f"{character!r} ({name}): not in the vocabulary, which has no byte fallback")
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, without the space that `encode` added in front."""
        text = super().decode(ids)
        return text[1:] if self.vocabulary.prefix and text.startswith(" ") else text
