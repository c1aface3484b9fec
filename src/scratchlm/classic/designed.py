"""Designed features for spam: what a person would measure in a message, with logistic regression on top.

A feature here is a number with a reason that somebody wrote down. Counted features, such as the TF-IDF weights of
`linear.py`, need no such reason: every word and word pair of the training texts becomes one.

`FEATURES` was written before any of it was tested, from what is generally known of advertising by text message. Its
author knew the SMS Spam Collection, though, so the list may suit it. `SPAMBASE` is a list by others: the 57 attributes
of Spambase, chosen in 1999 for e-mail (Hopkins, Reeber, Forman and Suermondt, UCI Machine Learning Repository, data
set 94).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from scratchlm.classic.linear import tfidf_of_words


class ParsedMessage:
    """A message with what several features need."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lower(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @cached_property
    def words(self) -> list[str]:
        """Runs of letters, digits and apostrophes, in lower case."""
        return re.findall(r"[a-z0-9']+", self.lower)

    @cached_property
    def letters(self) -> int:
        """The number of letters, at least 1."""
        return max(1, sum(map(str.isalpha, self.text)))


class Feature(NamedTuple):
    """A number measured in a message."""

    group: str
    name: str
    why: str
    """What it should show."""
    measure: Callable[[ParsedMessage], float]


def longest(pattern: str, message: ParsedMessage) -> float:
    """Return log(1 + length) of the longest match of a pattern in the text as written; 0 without one."""
    return math.log1p(max((len(run) for run in re.findall(pattern, message.text)), default=0))


def count(pattern: str, message: ParsedMessage) -> float:
    """Return log(1 + the number of matches of a pattern) in the lower-case text.

    The logarithm lets the second match count for less than the first.
    """
    return math.log1p(sum(1 for _ in re.finditer(pattern, message.lower)))


def words_of(listed: str, message: ParsedMessage) -> float:
    """Return log(1 + the number of words that are in a list), which is given as one text."""
    known = frozenset(listed.split())
    return math.log1p(sum(word in known for word in message.words))


def per_character(pattern: str, message: ParsedMessage) -> float:
    """Return the fraction of characters that match a pattern."""
    return len(re.findall(pattern, message.text)) / max(1, len(message.text))


PRIZES = "win wins won winner winners winning prize prizes award awarded reward jackpot lottery draw bonus lucky"
OFFERS = "free offer offers deal deals discount save sale cheap gift voucher vouchers coupon trial half guaranteed"
URGENCY = "urgent now today hurry immediately instantly last final expires expire ends limited chance waiting attempt"
ANSWERS = "call text txt reply send ring dial visit click claim collect contact order apply enter join"
OPT_OUT = "stop unsubscribe unsub cancel optout remove end"
TERMS = "terms conditions apply only over min mins per rate rates cost costs std standard charge charged network"
SERVICES = "mobile phone camera ringtone ringtones tone tones video sms subscription subscribe service services club"
ACCOUNTS = "customer account credit loan bank cash money pounds valued statement points member membership selected"
DATING = "sexy sex xxx adult singles dating date girls hot babes chat flirt"
FIRST_PERSON = "i i'm im i'll ill i've me my mine we we're our us"
CHAT = "ok okay yes yeah no hi hey hello lol haha sorry thanks thx love dear home later tomorrow tonight lunch sleep"

FEATURES: tuple[Feature, ...] = (
    Feature("length", "characters", "an advertisement fills the 160 characters that it paid for",
            lambda message: math.log1p(len(message.text))),
    Feature("length", "words", "a private message can be one word", lambda message: math.log1p(len(message.words))),
    Feature("length", "word length", "codes, links and company names are long",
            lambda message: sum(map(len, message.words)) / max(1, len(message.words))),
    Feature("capitals", "capital letters", "advertisements shout",
            lambda message: sum(map(str.isupper, message.text)) / message.letters),
    Feature("capitals", "words in capitals", "one capital opens a sentence, a whole word is a choice",
            lambda message: math.log1p(len(re.findall(r"\b[A-Z]{2,}\b", message.text)))),
    Feature("capitals", "longest run of capitals", "from a shouted word to a shouted sentence",
            partial(longest, r"[A-Z](?:[A-Z ]*[A-Z])?")),
    Feature("capitals", "lower-case start", "private messages are typed in haste",
            lambda message: float(message.text.lstrip()[:1].islower())),
    Feature("digits", "digits", "prices, codes and phone numbers", partial(per_character, r"\d")),
    Feature("digits", "numbers", "how many there are", partial(count, r"\d+")),
    Feature("digits", "phone numbers", "ten digits or more, perhaps with spaces: somebody to call",
            partial(count, r"\+?\d(?:[ -]?\d){9,}")),
    Feature("digits", "short codes", "four to six digits: a number to text to", partial(count, r"\b\d{4,6}\b")),
    Feature("digits", "letters and digits in one word", "codes such as KL341",
            partial(count, r"\b(?:[a-z]+\d|\d+[a-z])")),
    Feature("money", "currency signs", "prices and prizes", partial(count, r"[£$€]")),
    Feature("money", "prices", "an amount with its unit",
            partial(count, r"[£$€] ?\d|\d ?(?:p|pence|pounds?|usd|eur)\b")),
    Feature("money", "rates", "what a call or message costs",
            partial(count, r"(?:per|/|a|p) ?(?:min(?:ute)?|msg|message|text|txt|call|week|wk|day|month)\b")),
    Feature("money", "percent signs", "discounts", partial(count, r"\d ?%")),
    Feature("punctuation", "exclamation marks", "advertisements shout", partial(count, "!")),
    Feature("punctuation", "question marks", "people ask each other", partial(count, r"\?")),
    Feature("punctuation", "repeated marks", "!! or **: emphasis", partial(count, r"([!?*])\1+")),
    Feature("punctuation", "dots in a row", "people trail off", partial(count, r"\.{2,}")),
    Feature("punctuation", "other signs", "& / > # * + are rarely typed by thumb",
            partial(per_character, r"[&/<>#*+=@|_~]")),
    Feature("contact", "links", "somewhere to click",
            partial(count, r"https?:|www\.|\b[\w-]{2,}\.(?:com|net|org|info|biz|tv|co\.uk|uk)\b")),
    Feature("contact", "e-mail addresses", "somewhere to write", partial(count, r"\w@\w+\.\w")),
    Feature("contact", "postal addresses", "companies must give one", partial(count, r"\bp\.? ?o\.? ?box|\bbox ?\d")),
    Feature("contact", "text WORD to NUMBER", "how to answer a short code",
            partial(count, r"\b(?:te?xt|send|reply)\b.{0,30}?\bto\b\D{0,5}\d")),
    Feature("selling words", "requests to answer", "an advertisement wants something done", partial(words_of, ANSWERS)),
    Feature("selling words", "prizes", "a common bait", partial(words_of, PRIZES)),
    Feature("selling words", "offers", "another one", partial(words_of, OFFERS)),
    Feature("selling words", "urgency", "no time to think", partial(words_of, URGENCY)),
    Feature("selling words", "services", "what is sold by phone", partial(words_of, SERVICES)),
    Feature("selling words", "accounts and money", "what banks and lenders write", partial(words_of, ACCOUNTS)),
    Feature("selling words", "dating", "a common trade of such messages", partial(words_of, DATING)),
    Feature("small print", "opt-out words", "the law asks for a way out", partial(words_of, OPT_OUT)),
    Feature("small print", "terms", "and for conditions", partial(words_of, TERMS)),
    Feature("small print", "age limits and T&C", "18+, T&Cs",
            partial(count, r"\b1[68] ?\+|\b1[68]s?\b|t ?(?:&|and|n) ?c")),
    Feature("private words", "first person", "people write about themselves", partial(words_of, FIRST_PERSON)),
    Feature("private words", "small talk", "greetings, answers and plans", partial(words_of, CHAT)),
    Feature("private words", "smileys and kisses", "nobody sends them to thousands",
            partial(count, r"[:;=8]-?[)(dp]|<3|\bx{1,2}\b")),
)  # fmt: skip
"""Every designed feature, by group."""

_MAIL_WORDS = (
    "make address all 3d our over remove internet order mail receive will people report addresses free business email "
    "you credit your font 000 money hp hpl george 650 lab labs telnet 857 data 415 85 technology 1999 parts pm direct "
    "cs meeting original project re edu table conference"
)


def _frequency(word: str, message: ParsedMessage) -> float:
    return message.words.count(word) / max(1, len(message.words))


def _runs(message: ParsedMessage) -> list[int]:
    return [len(run) for run in re.findall(r"[A-Z]+", message.text)] or [0]


SPAMBASE: tuple[Feature, ...] = (
    *(Feature("words", word, "its fraction of all words", partial(_frequency, word)) for word in _MAIL_WORDS.split()),
    *(Feature("signs", sign, "its fraction of all characters", partial(per_character, re.escape(sign)))
      for sign in ";([!$#"),
    Feature("capitals", "mean run", "mean length of runs of capitals", lambda message: float(np.mean(_runs(message)))),
    Feature("capitals", "longest run", "the longest of them", lambda message: float(max(_runs(message)))),
    Feature("capitals", "total", "their lengths added", lambda message: float(sum(_runs(message)))),
)  # fmt: skip
"""The attributes of Spambase, as its documentation defines them."""


def measured(texts: Sequence[str], features: Sequence[Feature] = FEATURES) -> Float[np.ndarray, "N F"]:
    """Measure features in texts: one row for each text, one column for each feature."""
    rows = [[feature.measure(message) for feature in features] for message in map(ParsedMessage, texts)]
    return np.array(rows, np.float64).reshape(len(texts), len(features))


def without(*groups: str) -> tuple[Feature, ...]:
    """Return `FEATURES` without some groups. Raises `ValueError` for an unknown group."""
    if unknown := set(groups) - {feature.group for feature in FEATURES}:
        raise ValueError(f"no groups of features: {sorted(unknown)}")
    return tuple(feature for feature in FEATURES if feature.group not in groups)


def logistic_on(count: int, C: float) -> Any:
    """Return scikit-learn's pipeline for a table of `count` designed features: standardise, shrink, weigh.

    Standardised columns are divided by the root of their number, so that a row has length 1 on average, as a TF-IDF row
    has. So `C`, the inverse of the regularisation strength, means about the same for both.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*_standardised(count), LogisticRegression(C=C, max_iter=1000, random_state=0))


def _standardised(count: int) -> list[Any]:
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return [StandardScaler(), FunctionTransformer(partial(np.multiply, 1 / math.sqrt(count)))]


class DesignedTexts:
    """Designed features with logistic regression; with `words`, counted words and word pairs beside them."""

    def __init__(self, C: float = 10.0, features: Sequence[Feature] = FEATURES, words: bool = False) -> None:
        """Choose the features, at least one. `words` adds the TF-IDF columns of `LinearTexts("words")`."""
        assert len(features), "no feature to learn from"
        self.C, self.features, self.words = C, tuple(features), words
        self._model: Any = None

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> DesignedTexts:
        """Learn means, deviations and weights, and with `words` the vocabulary."""
        from sklearn.pipeline import make_pipeline, make_union
        from sklearn.preprocessing import FunctionTransformer

        count, measure = len(self.features), FunctionTransformer(partial(measured, features=self.features))
        if self.words:
            columns = make_union(make_pipeline(measure, *_standardised(count)), tfidf_of_words())
            self._model = make_pipeline(columns, logistic_on(count, self.C)[-1])
        else:
            self._model = make_pipeline(measure, logistic_on(count, self.C))
        self._model.fit(texts, labels)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class for each text."""
        probabilities: np.ndarray = self._model.predict_proba(texts)
        return probabilities

    def size(self) -> int:
        """Return the bytes of weights, means and deviations, and with `words` of the vocabulary."""
        last = self._model[-1] if self.words else self._model[-1][-1]
        numbers = int(last.coef_.nbytes + last.intercept_.nbytes) + 16 * len(self.features)
        if not self.words:
            return numbers
        names = self._model[0].transformer_list[1][1].get_feature_names_out()
        return numbers + 8 * len(names) + sum(len(name.encode("utf-8")) for name in names)


def groups_of(features: Collection[Feature] = FEATURES) -> list[str]:
    """Return the names of the groups, each once, in order."""
    return list(dict.fromkeys(feature.group for feature in features))
