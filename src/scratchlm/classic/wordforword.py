"""Word-for-word translation: each word's most probable translation by an IBM model, reordered and truecased."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from scratchlm.classic.alignment import WordTranslation, learn_translation, words_of


class WordForWord:
    """A translator of words and, with model 2, positions, without grammar.

    Words are learned in lower case; a translation is written in the most frequent case of its words within sentences
    ("truecasing", Lita et al. 2003), since German nouns always begin with a capital.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], rounds: int = 5, place_rounds: int = 0) -> None:
        """Learn from pairs of sentences; without `place_rounds` of model 2, words keep the order of the source.

        Raises `UserError` where no pair has words on both sides.
        """
        self.learned = learn_translation([(words_of(e), words_of(f)) for e, f in pairs], rounds, place_rounds)
        self.cases = most_frequent_cases(f for _, f in pairs)

    def translate(self, text: str) -> str:
        """Translate a sentence; unseen words are copied."""
        words = words_of(text)
        written = [self.cases.get(word, word) for word in self.learned.word_for_word(words)]
        if self.learned.places:
            written = [written[at] for at in places(self.learned, len(words))]
        return joined(written)

    def size(self) -> int:
        """Return the bytes of what was learned: 8 for each probability, the words, their cases, the positions."""
        size = sum(len(e.encode()) + len(f.encode()) + 8 for e, of in self.learned.words.items() for f in of)
        size += sum(2 * len(written.encode()) for written in self.cases.values())
        return size + 20 * sum(map(len, self.learned.places.values()))


def joined(words: Iterable[str]) -> str:
    """Return words and punctuation as a sentence that begins with a capital."""
    text = " ".join(words)
    for mark in ".,!?":
        text = text.replace(f" {mark}", mark)
    return text[:1].upper() + text[1:]


def most_frequent_cases(sentences: Iterable[str]) -> dict[str, str]:
    """Return the most frequent case of each word where that is not lower case, by the word in lower case.

    The first word of a sentence is not counted, since it always has a capital.
    """
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence in sentences:
        for written in words_of(sentence, lower=False)[1:]:
            seen[written.lower()][written] += 1
    commonest = {word: max(counts, key=lambda written: (counts[written], written)) for word, counts in seen.items()}
    return {word: written for word, written in commonest.items() if written != word}


def places(learned: WordTranslation, length: int) -> list[int]:
    """Return the most probable target order of the words of a source of `length`, for a target of equal length."""
    expected = []
    for at in range(length):
        along = [learned.places.get((j, length, length), {}).get(at + 1, 0.0) for j in range(length)]
        total = sum(along)
        expected.append(sum(j * p for j, p in enumerate(along)) / total if total else float(at))
    return sorted(range(length), key=lambda at: expected[at])
