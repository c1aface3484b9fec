"""Question answering on a passage without a neural model: by rules for question words, or by retrieving a sentence.

The rules follow Quarc (Riloff and Thelen 2000, "A rule-based question answering system for reading comprehension
tests"): the question word decides which phrase is taken from the sentence with the largest word overlap.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from scratchlm.text.passages import sentences_of

_WORD = re.compile(r"[a-z']+")
_COMMON = """
a an the of to in on at by for with from into and or but so as than that which who whom whose this these those it its he
him his she her they them their what when where why how did do does was were is are be been had have has would could
should will can not no if then there after before because
"""
COMMON = frozenset(_COMMON.split())
"""Stop words, which carry little of a question's meaning."""
_WHERE = re.compile(r"\b((?:in|at|on|into|under|near|beside|upon|behind|from|to) (?:the|a|an|his|her|their) [a-z' ]+)")
_WHY = re.compile(r"\b(?:because|so that|in order that|in order to|since|for fear) ([^.!?;]+)")
_WHEN = re.compile(
    r"\b((?:one|every|the next|that|at|in the|when|as soon as|after) "
    r"(?:day|night|morning|evening|midnight|noon|year|spring|summer|autumn|winter|[a-z]+)[^,.!?;]*)"
)
_NUMBER = re.compile(r"\b(\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred)\b")
_NAME = re.compile(r"(?<![.!?\"] )(?<!^)\b([A-Z][a-z]+(?: [A-Z][a-z]+)*)")
_PERSON = re.compile(r"\b((?:the|a|an|his|her|their) (?:[a-z]+ )?[a-z]+)", re.IGNORECASE)

Reader = Callable[[str, str], str]
"""Takes a passage and a question; returns an answer."""


def content(text: str) -> list[str]:
    """Return the content words of a text in lower case, without plural and past endings (a crude stemmer)."""
    words = [word for word in _WORD.findall(text.lower()) if word not in COMMON]
    return [re.sub(r"(?:ing|ed|es|s)$", "", word) if len(word) > 4 else word for word in words]


def sentences(passage: str) -> list[str]:
    """Return the sentences of a passage, which may have line breaks anywhere; the passage itself where it has none."""
    kept = [sentence for paragraph in re.split(r"\n\s*\n", passage) for sentence in sentences_of(paragraph)]
    return kept or [passage]


def first_sentence(passage: str, question: str) -> str:
    """Answer every question with the first sentence (a baseline)."""
    return sentences(passage)[0]


def by_overlap(passage: str, question: str) -> str:
    """Answer with the sentence that shares most distinct words with the question; of equals the first."""
    asked = set(content(question))
    candidates = sentences(passage)
    return max(candidates, key=lambda sentence: len(asked & set(content(sentence))))


def by_rules(passage: str, question: str) -> str:
    """Answer with the phrase that fits the question word, in the sentence of largest overlap or the one after it."""
    best = by_overlap(passage, question)
    candidates = sentences(passage)
    after = " ".join(candidates[candidates.index(best) : candidates.index(best) + 2])
    asked = question.lower()
    if re.match(r"how (?:many|much|old|long)", asked):
        return _first(_NUMBER, best) or best
    if asked.startswith("why"):
        return _first(_WHY, after) or after[len(best) :].strip() or best
    if asked.startswith("where"):
        return _first(_WHERE, best) or _first(_WHERE, after) or best
    if asked.startswith("when"):
        return _first(_WHEN, best.lower()) or best
    if asked.startswith(("who", "whose", "whom")):
        return _person(best, question) or best
    return _rest(best, question)


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1].strip() if match else ""


def _person(sentence: str, question: str) -> str:
    """Return a name, else a noun phrase, that is not in the question."""
    asked = question.lower()
    for pattern in (_NAME, _PERSON):
        for match in pattern.finditer(sentence):
            if match[1].lower() not in asked:
                return match[1]
    return ""


def _rest(sentence: str, question: str) -> str:
    """Return what follows the last word that the sentence shares with the question."""
    asked, last = set(content(question)), 0
    for match in re.finditer(r"[A-Za-z']+", sentence):
        if set(content(match[0])) & asked:
            last = match.end()
    return sentence[last:].strip(" ,;:.!?\"'") or sentence


class Retrieval:
    """Retrieves sentences by the cosine similarity of their TF-IDF vectors with the question's.

    TF-IDF (Sparck Jones 1972) as in scikit-learn, over unigrams and bigrams of content words.
    """

    def __init__(self, passages: Iterable[str]) -> None:
        """Learn the IDF values from passages."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._weights = TfidfVectorizer(analyzer=_terms, sublinear_tf=True)
        self._weights.fit([sentence for passage in passages for sentence in sentences(passage)])

    def ranked(self, passage: str, question: str) -> list[int]:
        """Return the indices of the sentences, the most similar first."""
        return np.argsort(-self._cosines(sentences(passage), question), kind="stable").tolist()

    def answer(self, passage: str, question: str) -> str:
        """Answer with the most similar sentence."""
        return sentences(passage)[self.ranked(passage, question)[0]]

    def evidence(self, passage: str, question: str, most: int) -> str:
        """Return the most similar sentences, at least one, in text order, with at most `most` characters in all."""
        candidates, chosen, size = sentences(passage), set[int](), 0
        for place in self.ranked(passage, question):
            size += len(candidates[place]) + 1
            if chosen and size > most:
                break
            chosen.add(place)
        return " ".join(candidates[place] for place in sorted(chosen))[: 2 * most]

    def nearest(self, texts: Sequence[str], questions: Sequence[str]) -> list[int]:
        """Return for each question the index of the most similar text (of equals the first); -1: no shared word."""
        known, neighbours = self._weights.transform(texts).T.tocsr(), []
        for start in range(0, len(questions), 64):
            cosines = (self._weights.transform(questions[start : start + 64]) @ known).toarray()
            neighbours += np.where(cosines.max(1) > 0, cosines.argmax(1), -1).tolist()
        return neighbours

    def _cosines(self, texts: Sequence[str], question: str) -> np.ndarray:
        cosines: np.ndarray = (self._weights.transform(texts) @ self._weights.transform([question]).T).toarray().ravel()
        return cosines

    def size(self) -> int:
        """Return the bytes of the vocabulary with its weights."""
        return sum(len(word.encode()) + 8 for word in self._weights.vocabulary_)


def _terms(text: str) -> list[str]:
    words = content(text)
    return [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]
