"""Training of a Unigram tokenizer: begin with far too many tokens, and drop those that the text misses least.

Kudo 2018 (arXiv 1804.10959), with the choices of SentencePiece and of `UnigramTrainer` in Hugging Face `tokenizers`,
whose tokens and scores a test finds here again. A token is a string with one printable character a byte.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scipy.special import digamma

from scratchlm.tokens.base import DEFAULT_SPECIALS, number_specials
from scratchlm.tokens.bpe import count_chunks
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.spelling import SPELLING, spell, unspell
from scratchlm.tokens.unigram import UnigramTokenizer
from scratchlm.tokens.vocabulary import SMALLEST, UnigramVocabulary, require_reached, require_size

LONGEST = 16
"""Bytes of the longest token."""
SEEDS = 1_000_000
"""Tokens to begin with, at most."""
KEPT = 0.75
"""Share of the tokens that is kept in each round."""
RARE = 0.5
"""A token that is expected less often than this in the text is dropped."""
UNKNOWN = 10.0
"""Logarithm by which a byte without a token is less probable than the rarest token."""

Words = Sequence[tuple[str, int]]
"""Chunks of the text, and how often each occurs."""


class PlacedToken(NamedTuple):
    """A token at a place of a word."""

    begin: int
    end: int
    token: str
    """Empty for a character that is no token."""
    score: float


def train(
    texts: Iterable[str], vocabulary_size: int, pattern: str = QWEN2, specials: Sequence[str] = DEFAULT_SPECIALS
) -> UnigramTokenizer:
    """Train on texts; `vocabulary_size` counts ordinary tokens, the 256 bytes included, and special tokens are extra.

    Raises a `UserError` for a size below 256, and where the text has fewer useful tokens.
    """
    require_size(vocabulary_size)
    chunks, times = count_chunks(texts, pattern)
    words = [(spell(chunk), count) for chunk, count in zip(chunks, times, strict=True)]
    scores = seeds(words)
    while True:
        for _ in range(2):
            scores = estimated(scores, words)
        if len(scores) + 1 <= vocabulary_size * 11 // 10:  # the library counts an unknown token too
            break
        fewer = smaller(scores, words, vocabulary_size)
        if len(fewer) == len(scores):  # all that are left are needed
            break
        scores = fewer
    final = with_bytes(scores, vocabulary_size)
    require_reached(vocabulary_size, len(final) - SMALLEST)
    vocabulary = {unspell(token): score for token, score in final.items()}
    return UnigramTokenizer(UnigramVocabulary(vocabulary, pattern, number_specials(len(vocabulary), specials)))


def seeds(words: Words) -> dict[str, float]:
    """Return tokens to begin with: all characters, and repeated substrings by their length times their frequency.

    A substring that is always followed by the same character is left out: the longer one stands for it. A word counts
    once here, however often it occurs.
    """
    characters: Counter[str] = Counter()
    substrings: Counter[str] = Counter()
    followers: defaultdict[str, set[str]] = defaultdict(set)
    for word, count in words:
        for character in word:
            characters[character] += count
        for begin in range(len(word)):
            for end in range(begin + 2, min(len(word), begin + LONGEST) + 1):
                substrings[word[begin:end]] += 1
                followers[word[begin:end]].add(word[end : end + 1])
    ranked = sorted(((count, character) for character, count in characters.items()), reverse=True)
    branching = ((count * len(text), text) for text, count in substrings.items() if len(followers[text]) > 1)
    ranked += sorted(branching, reverse=True)
    total = math.log(sum(weight for weight, _ in ranked[:SEEDS]))
    return {token: math.log(weight) - total for weight, token in ranked[:SEEDS]}


def tokens_within(word: str, scores: dict[str, float], unknown: float) -> list[PlacedToken]:
    """Return all tokens at all places of a word, by their beginning."""
    placed = []
    for begin in range(len(word)):
        for end in range(begin + 1, min(len(word), begin + LONGEST) + 1):
            token = word[begin:end]
            if token in scores:
                placed.append(PlacedToken(begin, end, token, scores[token]))
        if word[begin] not in scores:
            placed.append(PlacedToken(begin, begin + 1, "", unknown))
    return placed


def estimated(scores: dict[str, float], words: Words) -> dict[str, float]:
    """Make one step of expectation maximisation, from how often each token is expected over all cuts of all words.

    The sums over cuts go forwards and backwards, as for a hidden Markov model (Baum et al. 1970). The digamma function
    in place of the logarithm makes rare tokens rarer, as a sparse prior does.
    """
    unknown = min(scores.values()) - UNKNOWN
    expected = dict.fromkeys(scores, 0.0)
    for word, count in words:
        placed = tokens_within(word, scores, unknown)
        forward = [0.0] + [-math.inf] * len(word)
        for each in placed:
            forward[each.end] = _add(forward[each.end], forward[each.begin] + each.score)
        backward = [-math.inf] * len(word) + [0.0]
        for each in reversed(placed):
            backward[each.begin] = _add(backward[each.begin], backward[each.end] + each.score)
        for each in placed:
            if each.token:
                share = math.exp(forward[each.begin] + each.score + backward[each.end] - forward[-1])
                expected[each.token] += count * share
    kept = {token: times for token, times in expected.items() if times >= RARE}
    total = float(digamma(sum(kept.values())))
    return {token: float(digamma(times)) - total for token, times in kept.items()}


def _add(left: float, right: float) -> float:
    """Return log(exp(left) + exp(right))."""
    high, low = (left, right) if left > right else (right, left)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def smaller(scores: dict[str, float], words: Words, vocabulary_size: int) -> dict[str, float]:
    """Drop tokens that no best cut has, then those without which the text becomes least improbable.

    The loss of a token is estimated: its places get the second best cut of the token itself.
    """
    unknown = min(scores.values()) - UNKNOWN
    used: Counter[str] = Counter()
    for word, count in words:
        for token in best_cuts(word, tokens_within(word, scores, unknown))[0]:
            used[token] += count
    everything, chunks = sum(used.values()), sum(count for _, count in words)
    kept: dict[str, float] = {}
    losses: list[tuple[float, str]] = []
    for token, score in scores.items():
        cuts = best_cuts(token, tokens_within(token, scores, unknown))
        splits_itself = len(cuts[0]) > 1
        if len(cuts) > 1 and not splits_itself and used[token]:
            # The library adds as many tokens as there are in the vocabulary, not as many as the second cut has.
            grown = math.log(everything + used[token] * len(scores))
            instead = sum(math.log(used[part] + used[token]) - grown for part in cuts[1])
            loss = math.log(used[token]) - math.log(everything) - instead
            losses.append((used[token] / chunks * loss, token))
        elif len(cuts) == 1 or (splits_itself and used[token]):
            kept[token] = score
    size = max(vocabulary_size * 11 // 10, int((len(scores) + 1) * KEPT)) - 1
    for _, token in sorted(losses, key=lambda each: -each[0]):
        if len(kept) >= size:
            break
        kept[token] = scores[token]
    return kept


def best_cuts(word: str, placed: Sequence[PlacedToken]) -> list[list[str]]:
    """Return the best cut of a word, and the second best where there is one."""
    best: list[list[tuple[float, list[str]]]] = [[] for _ in range(len(word) + 1)]
    best[0].append((0.0, []))
    for each in placed:
        cuts = [(score + each.score, [*cut, each.token]) for score, cut in best[each.begin]]
        best[each.end] = sorted([*best[each.end], *cuts], key=lambda each: -each[0])[:2]
    return [cut for _, cut in best[-1]]


def with_bytes(scores: dict[str, float], vocabulary_size: int) -> dict[str, float]:
    """Return `vocabulary_size` tokens, best first: all bytes (unseen ones with a low score), and others."""
    lowest = min(scores.values())
    missing = [character for character in SPELLING if character not in scores]
    final = {character: scores[character] for character in SPELLING if character in scores}
    final |= {character: lowest + 0.0001 * place for place, character in enumerate(missing)}
    for token, score in scores.items():
        if len(final) == vocabulary_size:
            break
        final[token] = score
    return dict(sorted(final.items(), key=lambda item: -item[1]))
