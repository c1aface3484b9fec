"""Rewordings of questions by rule, so that a model learns a fact and not one sentence that asks for it.

Each rewording is a chain of small changes: another question frame ("How much does X cost?" becomes "What is the price
of X?"), synonyms, words around it, and how people type: keywords alone, words left out, lower case, a typo. The frames
and synonyms are English (`rewording.toml`); questions in other languages get only the changes that need no language.

They change how a question is asked, not what it asks, as far as a rule can know: look at them (`rewordings.jsonl` of a
run). Word deletion and swaps follow Wei and Zou 2019, "EDA", arXiv 1901.11196.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_NAME = re.compile(r"[A-Z][\w-]+(?: [A-Z\d][\w-]*)*")
_WORD = re.compile(r"\w[\w'.,:-]*\w|\w")


@cache
def _rules() -> dict[str, Any]:
    text = (resources.files("scratchlm.finetuning") / "rewording.toml").read_text(encoding="utf-8")
    rules = tomllib.loads(text)
    return {**rules, **{name: frozenset(rules[name].split()) for name in ("function_words", "question_words")}}


@dataclass(frozen=True)
class Rewording:
    """How the questions of some data are reworded."""

    rare: frozenset[str]
    """Words of one question alone, by which it differs from the others: none is left out."""
    english: bool
    names: frozenset[str] = frozenset()
    """Names that many questions have, such as that of the shop; a customer says `you` instead."""

    @classmethod
    def of(cls, questions: Sequence[str]) -> Rewording:
        """Look at all questions."""
        counts = Counter(word for each in set(questions) for word in set(_words(each)))
        rare = frozenset(word for word, count in counts.items() if count == 1)
        return cls(rare, _is_english(questions), _common_names(questions))

    def reword(self, question: str, count: int, seed: int, *, held_out: bool = False) -> list[str]:
        """Return up to `count` different rewordings of a question; the same ones for the same seed.

        Those that are `held_out` have other words around them. Fewer are returned where the rules find no more.
        """
        draw = random.Random(f"{seed} {held_out} {question}")
        made: dict[str, None] = {}
        for _ in range(8 * count):
            if len(made) >= count:
                break
            text = self._chain(question, draw, held_out)
            if text.casefold() != question.casefold():
                made.setdefault(text)
        return list(made)

    def _chain(self, question: str, draw: random.Random, held_out: bool) -> str:
        text = question.strip().rstrip("?!. ")
        if self.english:
            if draw.random() < 0.6:
                text = self._addressed(text)
            if draw.random() < 0.6:
                text = _with_synonyms(text, draw)
            if draw.random() < 0.7:
                text = _reframed(text, draw)
        style = draw.random()
        if style < 0.2:
            text = self._keywords(text, draw)
        elif style < 0.5:
            text = self._shortened(text, draw)
        around = _rules()["held_out_around" if held_out else "around"]
        if self.english and (held_out or draw.random() < 0.4):
            text = draw.choice(around).format(q=_decapitalised(text))
        else:
            text += draw.choice(("?", "?", "", " ?"))
        if draw.random() < 0.15:
            text = _with_typo(text, draw)
        return text.lower() if draw.random() < 0.35 else text[:1].upper() + text[1:]

    def _addressed(self, text: str) -> str:
        """Say `you` to whom the questions are about: "Does Acme sell tea" becomes "Do you sell tea"."""
        for name in self.names:
            for pattern, other in _rules()["addressed"]:
                text = re.sub(pattern.format(name=re.escape(name)), other, text, flags=re.IGNORECASE)
        return text

    def _keywords(self, text: str, draw: random.Random) -> str:
        """Return the words with content, in another order at times, where one of them is this question's alone."""
        words = [word for word in text.split() if not set(_words(word)) <= _rules()["function_words"]]
        if not any(self._is_rare(word) for word in words):
            return text
        if len(words) > 2 and draw.random() < 0.3:
            draw.shuffle(words)
        return " ".join(words)

    def _shortened(self, text: str, draw: random.Random) -> str:
        """Leave out one word, or two of a long question, but none by which it differs from others."""
        words = text.split()
        for _ in range(1 + (len(words) > 7)):
            free = [at for at, word in enumerate(words) if not self._is_rare(word)]
            if len(words) > 3 and free:
                del words[draw.choice(free)]
        return " ".join(words)

    def _is_rare(self, word: str) -> bool:
        return any(part in self.rare or part in _rules()["question_words"] for part in _words(word))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _common_names(questions: Sequence[str]) -> frozenset[str]:
    """Return the names that a tenth of the questions have, and three at least, and that do or own something in one.

    So a weekday that many questions have is none. A name may be of several words.
    """
    counts = Counter(name for each in set(questions) for name in set(_NAME.findall(each.partition(" ")[2])))
    least, together = max(3, len(set(questions)) / 10), "\n".join(questions)
    acting = r"\b(?:does|did|has) {0}\b|\b{0}'s\b"
    return frozenset(
        name
        for name, count in counts.items()
        if count >= least and re.search(acting.format(re.escape(name)), together, re.IGNORECASE)
    )


def _is_english(questions: Sequence[str]) -> bool:
    """Return whether most questions have two English function words."""
    english = sum(len(_rules()["function_words"].intersection(_words(each))) > 1 for each in questions)
    return 2 * english >= len(questions)


def _decapitalised(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first.casefold() in _rules()["function_words"] else text


def _reframed(text: str, draw: random.Random) -> str:
    for frame in _rules()["frames"]:
        match = re.fullmatch(frame["pattern"], text, re.IGNORECASE)
        if match is not None:
            other: str = draw.choice(frame["others"])
            return other.format(**match.groupdict())
    return text


def _with_synonyms(text: str, draw: random.Random) -> str:
    synonyms = _rules()["synonyms"]
    for first, *others in draw.sample(synonyms, len(synonyms)):
        pattern = rf"(?<![\w-]){re.escape(first)}(?![\w-])"
        if re.search(pattern, text, re.IGNORECASE) and draw.random() < 0.7:
            text = re.sub(pattern, draw.choice(others), text, count=1, flags=re.IGNORECASE)
    return text


def _with_typo(text: str, draw: random.Random) -> str:
    places = [at for at in range(1, len(text) - 2) if text[at].isalpha() and text[at + 1].isalpha()]
    if not places:
        return text
    at = draw.choice(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
