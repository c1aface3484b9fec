"""Unigram tokenization (Kudo 2018, arXiv 1804.10959), on bytes: the most probable way to cut a chunk.

Each token has a probability, and that of a cut is the product of its tokens'. `unigram_training` learns them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scratchlm.tokens.base import ChunkTokenizer
from scratchlm.tokens.vocabulary import UnigramVocabulary


def best_cut(chunk: bytes, scores: Mapping[bytes, float], longest: int) -> list[bytes]:
    """Return the tokens of the highest sum of scores (Viterbi 1967), of equals those whose last token is longest.

    >>> best_cut(b"abc", {b"a": -1, b"b": -1, b"c": -1, b"ab": -1.5, b"bc": -1.2}, 2)
    [b'a', b'bc']
    """
    best = [0.0] + [-math.inf] * len(chunk)  # the highest sum up to each place
    begins = [0] * (len(chunk) + 1)  # where the last token of it begins
    for begin in range(len(chunk)):
        for end in range(begin + 1, min(len(chunk), begin + longest) + 1):
            score = scores.get(chunk[begin:end])
            if score is not None and best[begin] + score > best[end]:
                best[end], begins[end] = best[begin] + score, begin
    tokens, end = [], len(chunk)
    while end:
        tokens.append(chunk[begins[end] : end])
        end = begins[end]
    return tokens[::-1]


class UnigramTokenizer(ChunkTokenizer):
    """Byte-level Unigram: any text is encoded, and decoding gives it back."""

    vocabulary: UnigramVocabulary

    def __init__(self, vocabulary: UnigramVocabulary) -> None:
        super().__init__(vocabulary)
        self._ids = {token: id for id, token in enumerate(vocabulary.scores)}
        self._longest = max(map(len, vocabulary.scores))

    def encode_chunk(self, chunk: bytes) -> list[int]:
        """Return the ids of the most probable cut; the bytes alone are always one."""
        return [self._ids[token] for token in best_cut(chunk, self.vocabulary.scores, self._longest)]
