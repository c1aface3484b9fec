"""Labels of words for linear probes, given by the generator of the stories, and hand-written rules that guess them.

The generator knows the category of the grammar that each word was drawn from, and the person that each name or pronoun
means. A rule sees the text up to the end of the word and no list of names, nouns or verbs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from scratchlm.storyworld.frames import Compiled
from scratchlm.storyworld.grammar import Node
from scratchlm.storyworld.teller import Teller
from scratchlm.storyworld.world import build_world

STORY: Mapping[str, str] = {
    "word-noun": "is a noun, not a verb, adjective or adverb",
    "object": "is the object of a verb, not a place or a time",
    "woman": "is the name of a woman, not of a man",
    "hero": "is a pronoun for the hero of the story",
}
"""Properties of words that the generator labels: key, description."""


class Word(NamedTuple):
    """A word of a story."""

    text: str
    path: tuple[str, ...]
    """The categories it was expanded from, outermost first; empty names are optional parts."""


class Mark(NamedTuple):
    """The label of one word for one property."""

    end: int
    """Where the word ends in the text."""
    label: int
    type: str
    """What a lookup table could answer by: the word itself, or the person."""
    rule: int
    """What the hand-written rule guesses."""


class LabelledStory(NamedTuple):
    """A story, with the labels of its words by property."""

    text: str
    marks: Mapping[str, list[Mark]]


class LabelledTeller(Teller):
    """A teller that keeps the words of its last story, with the categories they were drawn from, and its people."""

    def __init__(self, seed: int) -> None:
        """Write stories of the usual world. A plain teller of the same seed writes the same stories."""
        super().__init__(build_world(), seed)
        self.names = {node: name for name, node in self.generator.nodes.items()}
        self.words: list[Word] = []
        self.slots: dict[str, str] = {}
        self._path: list[str] = []

    def expand(self, items: Compiled, out: list[str]) -> None:
        """Append a random expansion of the items, and keep each word with its categories."""
        for item in items:
            ends = isinstance(item, str) or bool(item.words)
            self._path.append(self.names.get(item, "") if isinstance(item, Node) else "")
            super().expand((item,), out)
            if ends:
                self.words.append(Word(out[-1], tuple(self._path)))
            self._path.pop()

    def set_slot(self, name: str, text: str) -> None:
        """Give a slot its word. Words that were drawn for slots so far are in no sentence."""
        super().set_slot(name, text)
        self.slots[name] = text
        self.words.clear()


def labelled_stories(count: int, seed: int) -> Iterator[LabelledStory]:
    """Yield stories with labels; another seed gives other stories of the same people."""
    teller = LabelledTeller(seed)
    for _ in range(count):
        yield labelled(teller.story(), teller.words, teller.slots)


def labelled(text: str, words: Sequence[Word], slots: Mapping[str, str]) -> LabelledStory:
    """Label the words of a story; `slots` are its people: `$A` the hero's name, `$A.kind` woman or man."""
    ends = word_ends(text, [word.text for word in words])
    marks: dict[str, list[Mark]] = {key: [] for key in STORY}
    for at, (word, end) in enumerate(zip(words, ends, strict=True)):
        before, own = text[:end], word.path[-1]

        def mark(
            key: str, label: int, type: str, rule: Callable[[str], int], end: int = end, seen: str = before
        ) -> None:
            marks[key].append(Mark(end, label, type, rule(seen)))

        if (noun := noun_label(word)) >= 0:
            mark("word-noun", noun, word.text, noun_by_rule)
        if (object := object_label(word, words[at - 1].text)) >= 0:
            mark("object", object, word.text, object_by_rule)
        if own in ("$A", "$B", "Name/woman", "Name/man"):
            mark("woman", int((own + slots.get(f"{own}.kind", "")).endswith("woman")), word.text, woman_by_rule)
        if own in ("$a", "$a.o", "$a.p", "$b", "$b.o", "$b.p"):
            mark("hero", int(own[1] == "a"), slots[f"${own[1].upper()}"], hero_by_rule)
    return LabelledStory(text, marks)


def word_ends(text: str, words: Sequence[str]) -> list[int]:
    """Return where each word of the grammar ends in a finished text, which joins marks and writes a as an."""
    ends, at = [], 0
    for word in words:
        for sign in {"<<": '"', "''": '"'}.get(word, word):
            if not sign.isspace():
                while text[at].isspace():
                    at += 1
                at += text[at] == "n" != sign.lower()  # inside a phrase such as an instant later
                while text[at].isspace():
                    at += 1
                assert text[at].lower() == sign.lower(), f"{word!r} is not at {text[at - 20 : at + 20]!r}"
                at += 1
        if word in ("a", "A") and text[at] == "n":
            at += 1
        ends.append(at)
    return ends


def noun_label(word: Word) -> int:
    """Return 1 for a noun, 0 for a verb, an adjective or an adverb; -1 for other words and for several words."""
    own = word.path[-1]
    if " " in word.text or not own:
        return -1
    return 1 if own.startswith("N/") else 0 if re.match(r"V|Adj|Adv", own) else -1


def object_label(word: Word, before: str) -> int:
    """Return 1 for a noun that is the object of a verb, 0 for one in a phrase of place, path or time; otherwise -1."""
    path = [name for name in word.path if name]
    if noun_label(word) != 1 or before == "of" or path[-2:-1] == ["NP/owned.sg"]:
        return -1
    if any(re.match(r"Loc|Path|Time", name) for name in path):
        return 0
    inner = path[1 + max((at for at, name in enumerate(path) if name.startswith("Do.")), default=len(path)) :]
    # "look at" counts as a verb in the grammar, and as a verb with a preposition elsewhere.
    simple = all(re.match(r"NP|Nb|N/", name) for name in inner) and not {"NP/sight", "NP/made.sg"} & set(inner)
    return 1 if inner and simple else -1


_DETERMINERS_TEXT = """
the a an this that every each another some no any his her its their my your our two three four five six seven
eight nine ten eleven twelve twenty thirty forty fifty
"""
_DETERMINERS = frozenset(_DETERMINERS_TEXT.split())
_PREPOSITIONS_TEXT = """
of with about for without after before like as during until since from to by on in inside under beside near
behind close outside next above below against at among between into through across along past towards around down
over onto off up beyond
"""
_PREPOSITIONS = frozenset(_PREPOSITIONS_TEXT.split())
_SUFFIXES = re.compile(r"(?:ed|ing|ly|y|ous|ful|ish|less|al|ible|able|ic|ive|est|ent|ant)$")
_OPENERS_TEXT = """
the a an this that in on at by but then they she he it there one late early soon first last so and all when
while although after before for from to of near not two three your you my his her i we what who why where how can
do please look let yes no oh thank come never suddenly sadly luckily finally later once long people everybody
everyone nothing around just under somewhere nobody every during
"""
_OPENERS = frozenset(_OPENERS_TEXT.split())
_PLACED = frozenset({"in", "to", "from", "of", "the"})
_NAME = re.compile(r"(?:\b(\w+) )?\b([A-Z][a-z]+)\b(?! [A-Z])")
_PRONOUN = re.compile(r"\b(?:(she|her|hers)|(?:he|him|his))\b", re.IGNORECASE)


def _last_words(before: str, count: int) -> list[str]:
    """Return the last words of the sentence so far, in lower case, the last first."""
    sentence = re.split(r"[.!?\"\n]", before[-120:])[-1]
    return [word.lower() for word in re.findall(r"[A-Za-z']+", sentence)[::-1][:count]]


def _last_word(before: str) -> str:
    """Return the word that the text ends with."""
    return re.split(r"[^A-Za-z]", before)[-1]


def noun_by_rule(before: str) -> int:
    """Guess whether the last word is a noun: no suffix of other classes, and a determiner one or two words before."""
    word, *others = _last_words(before, 3)
    return int(not _SUFFIXES.search(word) and any(other in _DETERMINERS | _PREPOSITIONS for other in others))


def object_by_rule(before: str) -> int:
    """Guess whether the last word is an object: no preposition before its determiner, or else right before it."""
    _, *others = _last_words(before, 5)
    for at, other in enumerate(others):
        if other in _DETERMINERS:
            return int(at + 1 >= len(others) or others[at + 1] not in _PREPOSITIONS)
        if other in _PREPOSITIONS:
            return 0
    return 1


def _named(before: str) -> list[tuple[str, int, int]]:
    """Return what looks like the name of a person, with its ends: capitalised, no opener of sentences, no place.

    A place follows in, to, from, of or the. A capitalised word that follows another belongs to the name of a thing.
    """
    names = []
    for match in _NAME.finditer(before):
        earlier, name = match.groups()
        opened = earlier is None or earlier.lower() in _OPENERS
        thing = earlier is not None and ((not opened and earlier[0].isupper()) or earlier.lower() in _PLACED)
        if name.lower() not in _OPENERS and not thing:
            names.append((name, match.start(2), match.end()))
    return names


def _gender(name: str, names: Sequence[tuple[str, int, int]], before: str) -> int:
    """Guess whether a name is a woman's: by the pronouns between it and the next name, else by its last letter."""
    votes = 0
    for at, (other, _, end) in enumerate(names):
        if other == name:
            stop = names[at + 1][1] if at + 1 < len(names) else len(before)
            votes += sum(1 if match[1] else -1 for match in _PRONOUN.finditer(before, end, stop))
    return int(votes > 0) if votes else int(name[-1] in "aeiy")


def woman_by_rule(before: str) -> int:
    """Guess whether the last word, a name, is a woman's."""
    name = _last_word(before)
    return _gender(name, _named(before), before)


def hero_by_rule(before: str) -> int:
    """Guess whether the last word, a pronoun, means the person named first: the last one named of its gender."""
    names = _named(before)
    woman = int(_last_word(before).lower() in ("she", "her", "hers"))
    earlier = before[: len(before) - 3]  # the pronoun itself is no vote
    fitting = [name for name, _, _ in names if _gender(name, names, earlier) == woman]
    meant = fitting or [name for name, _, _ in names]
    return int(bool(meant) and meant[-1] == names[0][0])
