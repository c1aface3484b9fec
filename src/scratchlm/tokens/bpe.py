"""Byte-level byte-pair encoding (BPE) in plain Python: train, encode, decode.

Sennrich et al. 2016 merge characters, Radford et al. 2019 bytes, as here.

Training starts from the 256 bytes and repeats one step: find the most frequent pair of adjacent tokens, and make it a
new token. Encoding applies those merges in the order in which they were learned. `tokens/fast.py` does the same in
compiled code, and tests prove its merges and ids equal to these.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from scratchlm.base.errors import UserError
from scratchlm.tokens.base import DEFAULT_SPECIALS, ChunkTokenizer
from scratchlm.tokens.merging import Pair, merge, merge_all
from scratchlm.tokens.patterns import QWEN2, compiled, training_segments
from scratchlm.tokens.vocabulary import BytePairVocabulary, require_reached, require_size, trained_vocabulary


def train(texts: Iterable[str], vocabulary_size: int, pattern: str = QWEN2) -> list[Pair]:
    """Learn merges: entry n is the pair of ids that becomes token 256 + n.

    `vocabulary_size` counts ordinary tokens: the 256 bytes and the merges. Among equally frequent pairs the one with
    the smallest ids is merged. Memory grows with the number of distinct chunks, not with the text; bound it with
    `patterns.sample_bytes`. Raises a `UserError` when the size is below 256 or the text runs out of pairs before it.
    """
    wanted = require_size(vocabulary_size)
    chunks, times = count_chunks(texts, pattern)
    merges = list(itertools.islice(learn_merges([list(chunk) for chunk in chunks], times, 256), wanted))
    require_reached(vocabulary_size, len(merges))
    return merges


def learn_merges(chunks: list[list[int]], times: Sequence[int], first_id: int) -> Iterator[Pair]:
    """Yield the most frequent pair, merge it in all chunks as the next id from `first_id` on, and repeat.

    `chunks` are changed; chunk n occurs `times[n]` times.
    """
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)  # pair -> the chunks that may hold it
    for place, ids in enumerate(chunks):
        for pair in itertools.pairwise(ids):
            counts[pair] += times[place]
            holders[pair].add(place)
    for new_id in itertools.count(first_id):
        if not counts:
            return
        best = most_frequent(counts)
        yield best
        for place in holders.pop(best):
            before = chunks[place]
            after = chunks[place] = merge(before, best, new_id)
            for pair in itertools.pairwise(before):
                counts[pair] -= times[place]
                if not counts[pair]:
                    del counts[pair]
            for pair in itertools.pairwise(after):
                counts[pair] += times[place]
                holders[pair].add(place)


def count_chunks(texts: Iterable[str], pattern: str) -> tuple[list[bytes], list[int]]:
    """Split all texts and return the distinct chunks as bytes, and how often each occurs."""
    split = compiled(pattern)
    seen: Counter[str] = Counter()
    for segment in training_segments(texts, pattern):
        seen.update(match.group() for match in split.finditer(segment))
    return [chunk.encode("utf-8") for chunk in seen], list(seen.values())


def most_frequent(counts: Counter[Pair]) -> Pair:
    """Return the pair with the highest count, and the smallest ids among equals."""
    highest = max(counts.values())
    return min(pair for pair, count in counts.items() if count == highest)


class ReadableBPE(ChunkTokenizer):
    """Byte-level BPE in plain Python, about a hundred times slower than `FastBPE`.

    Vocabularies with `added` tokens or a Unicode normalization, which only some published files have, need `FastBPE`.
    """

    vocabulary: BytePairVocabulary

    def __init__(self, vocabulary: BytePairVocabulary) -> None:
        if vocabulary.added or vocabulary.normalization:
            raise UserError("a tokenizer with added tokens or a normalizer: the readable encoder has none; use FastBPE")
        super().__init__(vocabulary)
        self._byte_ids = [vocabulary.tokens.get(bytes([value]), -1) for value in range(256)]
        self.merges: Mapping[Pair, int] = vocabulary.id_merges

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        pattern: str = QWEN2,
        specials: Sequence[str] = DEFAULT_SPECIALS,
    ) -> ReadableBPE:
        """Train on texts; `vocabulary_size` counts ordinary tokens, special tokens are extra."""
        return cls(trained_vocabulary(train(texts, vocabulary_size, pattern), pattern, specials))

    def encode_chunk(self, chunk: bytes) -> list[int]:
        """Merge the bytes of a chunk in the order in which the merges were learned."""
        return merge_all([self._byte_ids[value] for value in chunk], self.merges)
