"""The one grammar: compiles `rules` into productions that the generator expands and the recogniser parses.

`productions()` keeps classes and weights (generation); `recogniser_productions()` drops both (recognition).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from scratchlm.storyworld import rules
from scratchlm.storyworld.lexicon import lexicon, stripped
from scratchlm.storyworld.morphology import verb_forms

VERB_FORM_OF_TENSE = {
    "pastsg": "past",
    "pastpl": "past",
    "pressg": "s",
    "prespl": "base",
    "pres1": "base",
    "base": "base",
    "ing": "ing",
    "pp": "pp",
}
_OPTIONAL = re.compile(r"^(.+)\?(\d+)$")


@dataclass(frozen=True)
class Word:
    """A literal word of a rule, frame or sentence."""

    text: str


@dataclass(frozen=True)
class Symbol:
    """A category; `percent` below 100 makes it optional in generation and in recognition."""

    name: str
    percent: int = 100


Item = Word | Symbol
Alternative = tuple[int, tuple[Item, ...]]


@dataclass(eq=False)
class Node:
    """A compiled category: either `words` to choose from, or weighted `alternatives` of words and nodes."""

    name: str
    words: tuple[str, ...] = ()
    alternatives: list[tuple[str | Node, ...]] = field(default_factory=list)
    deck: list[str] = field(default_factory=list)  # words that were not drawn yet in this round (without replacement)


def _with_form(name: str) -> str:
    """Write a verb category of one tense as the lexical category of its form: `Vt.pastsg` is `Vt.past`."""
    base, dot, tense = name.partition(".")
    if dot and base[0] == "V" and not base.startswith("VP"):
        return f"{base}.{VERB_FORM_OF_TENSE.get(tense, tense)}"
    return name


def _inflected(word: str) -> str | None:
    """Return the form of a single verb written as `become.pastsg`, or None for a plain word."""
    verb, dot, tense = word.partition(".")
    if not dot or tense not in VERB_FORM_OF_TENSE:
        return None
    form = VERB_FORM_OF_TENSE[tense]
    return _irregular().get(verb, verb_forms(verb))[form]


@cache
def _irregular() -> dict[str, dict[str, str]]:
    """Map every verb of the lexicon to its forms, for rules that name it."""
    table: dict[str, dict[str, str]] = {}
    words = lexicon()
    for category in words:
        base, _, form = category.partition(".")
        if base[0] == "V" and form == "base":
            for position, verb in enumerate(words[category]):
                forms = {f: words[f"{base}.{f}"] for f in ("base", "past", "pp", "s", "ing")}
                if all(len(entries) == len(words[category]) for entries in forms.values()):
                    table.setdefault(verb.replace(" ", "_"), {f: e[position] for f, e in forms.items()})
    return table


def parse_items(text: str) -> tuple[Item, ...]:
    """Read the items of one alternative or frame."""
    items: list[Item] = []
    for part in text.split():
        optional = _OPTIONAL.match(part)
        name, percent = (optional[1], int(optional[2])) if optional else (part, 100)
        inflected = _inflected(name) if name[0].islower() else None
        if name[0].isupper() and name != "I":
            items.append(Symbol(_with_form(name), percent))
        else:
            items.extend(Word(word) for word in (inflected or name).replace("_", " ").split())
    return tuple(items)


def _expanded_lines() -> list[str]:
    """Write out the lines with `.T`, `/c` and `.n` for every tense, class and number."""
    lines: list[str] = []
    texts = (rules.MODIFIERS, rules.NOUN_PHRASES, rules.VERB_PHRASES, rules.ADJUNCTS, rules.SENTENCES)
    for line in "".join(texts).splitlines():
        versions = [line] if line.strip() else []
        if ".T" in line:
            versions = [re.sub(r"\.T\b", f".{tense}", line) for tense in rules.TENSES]
        if re.search(r"\.n\b|(past|pres)n\b", line):
            versions = [
                re.sub(r"(past|pres)n\b", rf"\1{number}", re.sub(r"\.n\b", f".{number}", version))
                for version in versions
                for number in ("sg", "pl")
            ]
        if "/c" in line.split("->")[0] or "/c." in line:
            versions = [re.sub(r"/c\b", f"/{kind}", version) for version in versions for kind in rules.NOUN_CLASSES]
        lines.extend(versions)
    return lines


@cache
def productions() -> dict[str, list[Alternative]]:
    """Return every category's weighted alternatives, classes kept."""
    table: dict[str, list[Alternative]] = {}
    for line in _expanded_lines():
        head, _, body = line.partition(" -> ")
        alternatives = table.setdefault(head.strip(), [])
        for part in body.split(" | "):
            weight, colon, rest = part.strip().partition(":")
            if colon and weight.strip().isdigit():
                alternatives.append((int(weight), parse_items(rest)))
            else:
                alternatives.append((1, parse_items(part)))
    return table


@cache
def recogniser_productions() -> dict[str, list[tuple[Item, ...]]]:
    """Return the same productions without weights and classes, and without what cannot derive any word."""
    lexical = {stripped(category) for category in lexicon()}
    merged: dict[str, dict[tuple[Item, ...], None]] = {}
    for head, alternatives in productions().items():
        name = stripped(head)
        for _, items in alternatives:
            plain = tuple(
                Symbol(stripped(i.name), 50 if i.percent < 100 else 100) if isinstance(i, Symbol) else i for i in items
            )
            if plain != (Symbol(name),):
                merged.setdefault(name, {})[plain] = None
    known = lexical | set(merged)
    return {
        head: [items for items in alternatives if all(isinstance(item, Word) or item.name in known for item in items)]
        for head, alternatives in merged.items()
    }


class Generator:
    """The grammar compiled for expansion; slots are nodes whose single word is set before each use."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        """Return the compiled node of a category, compiling what it reaches on first use."""
        found = self.nodes.get(name)
        if found is not None:
            return found
        made = self.nodes[name] = Node(name)
        words = lexicon().get(name)
        alternatives = [(w, items) for w, items in productions().get(name, []) if w]
        if not words and not alternatives:
            raise KeyError(f"no words and no weighted rule for {name!r}")
        if words and alternatives:
            raise KeyError(f"{name!r} is both lexical and a rule")
        made.words = words or ()
        for weight, items in alternatives:
            made.alternatives += [self.sequence(items)] * weight
        return made

    def sequence(self, items: tuple[Item, ...]) -> tuple[str | Node, ...]:
        """Compile a sequence of items; an optional one becomes a node with an empty alternative."""
        compiled: list[str | Node] = []
        for item in items:
            if isinstance(item, Word):
                compiled.append(item.text)
            elif item.percent == 100:
                compiled.append(self.node(item.name))
            else:
                compiled.append(self.optional((self.node(item.name),), item.percent))
        return tuple(compiled)

    def optional(self, items: tuple[str | Node, ...], percent: int) -> Node:
        """Return a node that yields the items in `percent` of cases and nothing otherwise."""
        tenths = max(1, round(percent / 10))
        return Node("optional", alternatives=[items] * tenths + [()] * (10 - tenths))
