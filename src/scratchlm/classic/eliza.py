"""A pattern-matching chatbot: it matches a phrase, swaps its pronouns and inserts it into a scripted answer.

It has no model of meaning. The form is that of ELIZA (Weizenbaum 1966, "ELIZA: a computer program for the study of
natural language communication between man and machine"): ranked keywords, decomposition patterns, reassembly rules
that alternate, and a memory for sentences that no rule matches. The script is our own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

TURNED = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "am": "are", "i'm": "you are",
    "i've": "you have", "i'll": "you will", "i'd": "you would", "was": "were", "you": "I", "your": "my",
    "yours": "mine", "yourself": "myself", "are": "am", "you're": "I am", "you've": "I have", "you'll": "I will",
}  # fmt: skip
"""First and second person, swapped."""


@dataclass(frozen=True)
class ElizaRule:
    """A pattern, its rank, and the answers that alternate; {0} is replaced by the phrase that the pattern captured."""

    pattern: str
    answers: Sequence[str]
    rank: int = 0
    kept: bool = False
    """Whether the captured phrase is remembered for a sentence that no rule matches."""


SCRIPT = (
    ElizaRule(r"\bi need (?P<rest>.+)", ["Why do you need {0}?", "What would {0} change for you?"], 3),
    ElizaRule(r"\bi (?:want|would like|wish for) (?P<rest>.+)", ["Suppose you had {0}: what then?", "Why {0}?"], 3),
    ElizaRule(r"\bi(?:'m| am) (?P<rest>.+)", ["How long have you been {0}?", "How do you feel about being {0}?"], 2),
    ElizaRule(r"\bi feel (?P<rest>.+)", ["Do you often feel {0}?", "What makes you feel {0}?"], 3),
    ElizaRule(r"\bi (?:can't|cannot) (?P<rest>.+)", ["What keeps you from it?", "How do you know you can't {0}?"], 3),
    ElizaRule(r"\bmy (?P<rest>mother|father|sister|brother|family|friend|dog|cat|teacher)\b",
         ["Tell me more about your {0}.", "What else comes to mind about your {0}?"], 4, kept=True),
    ElizaRule(r"\bi (?:remember|dreamt of|dreamed of) (?P<rest>.+)", ["Do you often think of {0}?", "Why {0} now?"], 4),
    ElizaRule(r"\bbecause (?P<rest>.+)", ["Is that the real reason?", "What other reason could there be?"], 2),
    ElizaRule(r"\bare you (?P<rest>.+)", ["Would it matter to you if I were {0}?", "Do you think I am {0}?"], 2),
    ElizaRule(r"\bcan you (?P<rest>.+)", ["What if I could {0}?", "Would you like me to {0}?"], 2),
    ElizaRule(r"\byou (?P<rest>.+) me\b", ["What makes you think I {0} you?"], 2),
    ElizaRule(r"\bwhy (?P<rest>.+)", ["Why do you ask?", "What answer would you like to hear?"], 1),
    ElizaRule(r"\b(?:what|who|where|when|how)\b(?P<rest>.*)", ["What do you think?", "Why do you ask that?"], 1),
    ElizaRule(r"\b(?:hello|hi|hey)\b(?P<rest>.*)", ["Hello. What is on your mind?"], 1),
    ElizaRule(r"\b(?:sorry)\b(?P<rest>.*)", ["There is nothing to be sorry for."], 3),
    ElizaRule(r"\bmy (?P<rest>.+)", ["Why does your {0} concern you?", "Tell me about your {0}."], 1, kept=True),
    ElizaRule(r"^yes\b(?P<rest>.*)", ["You seem quite sure.", "I see. And?"], 1),
    ElizaRule(r"^no\b(?P<rest>.*)", ["Why not?", "You are being a little negative."], 1),
)  # fmt: skip
NOTHING_FITS = ("Please go on.", "Tell me more.", "I see.", "What does that suggest to you?")


class Eliza:
    """A conversation with the script; the same sentences in the same order get the same answers."""

    def __init__(self, script: Sequence[ElizaRule] = SCRIPT, nothing_fits: Sequence[str] = NOTHING_FITS) -> None:
        self._rules = sorted(script, key=lambda rule: -rule.rank)  # of equal rank the earlier
        self._nothing_fits = nothing_fits
        self._turn: defaultdict[str, int] = defaultdict(int)
        self._memory: list[str] = []

    def respond(self, sentence: str) -> str:
        """Answer by the highest-ranked rule that matches, else from memory, else with a neutral sentence."""
        words = " ".join(re.sub(r"[^\w' ]+", " ", sentence.lower()).split())
        for rule in self._rules:
            match = re.search(rule.pattern, words)
            if match is None:
                continue
            rest = turned(match["rest"].strip())
            if rule.kept and rest:
                self._memory.append(rest)
            return self._next(rule.pattern, rule.answers).format(rest)
        if self._memory:
            return f"Earlier you spoke of your {self._memory.pop(0)}."
        return self._next("", self._nothing_fits)

    def _next(self, key: str, answers: Sequence[str]) -> str:
        """Return the next of the alternating answers of a rule."""
        self._turn[key] += 1
        return answers[(self._turn[key] - 1) % len(answers)]


def turned(phrase: str) -> str:
    """Swap first and second person: "my dog and i" becomes "your dog and you".

    >>> turned("i am afraid of you")
    'you are afraid of I'
    """
    return " ".join(TURNED.get(word, word) for word in phrase.split())
