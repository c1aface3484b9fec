"""WordPiece (Schuster and Nakajima 2012; BERT, Devlin et al. 2018) in plain Python, on bytes.

A token that begins a chunk and one that continues it are different tokens, even of equal bytes. Encoding takes the
longest token that fits, again and again, and knows no merges. So what is learned is a set of tokens; this trainer finds
it as `WordPieceTrainer` of Hugging Face `tokenizers` does, by merging the most frequent pair. The paper chose the pair
that raises the likelihood of the text most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scratchlm.tokens.base import DEFAULT_SPECIALS, ChunkTokenizer, number_specials
from scratchlm.tokens.bpe import count_chunks, learn_merges
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.vocabulary import WordPieceVocabulary, require_reached, require_size

SMALLEST = 512
"""Each byte as the beginning of a chunk, and as its continuation."""


class WordPieceTokenizer(ChunkTokenizer):
    """Byte-level WordPiece: any text is encoded, and decoding gives it back."""

    vocabulary: WordPieceVocabulary

    def __init__(self, vocabulary: WordPieceVocabulary) -> None:
        super().__init__(vocabulary)
        self._longest = max(map(len, [*vocabulary.starts, *vocabulary.continuations]))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        pattern: str = QWEN2,
        specials: Sequence[str] = DEFAULT_SPECIALS,
    ) -> WordPieceTokenizer:
        """Train on texts; `vocabulary_size` counts ordinary tokens, of which 512 are bytes; special tokens are extra.

        Raises a `UserError` for a size below 512, and where the text runs out of pairs before it.
        """
        require_size(vocabulary_size, SMALLEST)
        chunks, times = count_chunks(texts, pattern)
        rows = [[chunk[0], *(256 + value for value in chunk[1:])] for chunk in chunks]
        tokens = [(begins, bytes([value])) for begins in (True, False) for value in range(256)]
        ids = {token: id for id, token in enumerate(tokens)}
        for pair in learn_merges(rows, times, SMALLEST):
            if len(ids) == vocabulary_size:
                break
            (begins, left), (_, right) = (tokens[id] for id in pair)
            tokens.append((begins, left + right))
            ids.setdefault(tokens[-1], len(ids))  # two pairs can make one token
        require_reached(vocabulary_size, len(ids) - SMALLEST, SMALLEST)
        starts, continuations = (
            {token: id for (kind, token), id in ids.items() if kind == begins} for begins in (True, False)
        )
        return cls(WordPieceVocabulary(starts, continuations, pattern, number_specials(len(ids), specials)))

    def encode_chunk(self, chunk: bytes) -> list[int]:
        """Take the longest token at each place; a single byte always fits."""
        ids: list[int] = []
        place, tokens = 0, self.vocabulary.starts
        while place < len(chunk):
            ends = range(min(len(chunk), place + self._longest), place, -1)
            end = next(end for end in ends if chunk[place:end] in tokens)
            ids.append(tokens[chunk[place:end]])
            place, tokens = end, self.vocabulary.continuations
        return ids
