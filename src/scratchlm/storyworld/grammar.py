"""The one grammar: compiles rules.txt into productions that the generator expands and the recogniser parses.

`productions()` keeps classes and weights (generation); `recogniser_productions()` drops both (recognition).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from scratchlm.storyworld.lexicon import lexicon, stripped
from scratchlm.storyworld.morphology import verb_forms
from scratchlm.storyworld.written import rules, words

# Tense and agreement of a verb phrase, with the form that its verb takes.
TENSES = {
    "pastsg": "past", "pastpl": "past", "pressg": "s", "prespl": "base", "pres1": "base", "base": "base", "ing": "ing",
    "pp": "pp",
}  # fmt: skip
NOUN_CLASSES = """role animal bird fruit food plant tree tool toy clothing treasure book container furniture vehicle
    building room outdoor sky body idea event sound part"""


@dataclass(frozen=True)
class Symbol:
    """A category; `percent` below 100 makes it optional in generation and in recognition."""

    name: str
    percent: int = 100


Item = str | Symbol
"""A literal word of a rule, frame or sentence, or a category."""
Alternative = tuple[int, tuple[Item, ...]]


@dataclass(eq=False)
class Node:
    """A compiled category: either `words` to choose from, or weighted `alternatives` of words and nodes."""

    words: tuple[str, ...] = ()
    alternatives: list[tuple[str | Node, ...]] = field(default_factory=list)
    deck: list[str] = field(default_factory=list)  # words that were not drawn yet in this round (without replacement)


@cache
def _verbs() -> dict[str, dict[str, str]]:
    """Return the forms of every verb of the lexicon, for rules that name it."""
    table: dict[str, dict[str, str]] = {}
    for text in words("verbs").values():
        for entry in text.split():
            table.setdefault(entry.partition("/")[0], verb_forms(entry))
    return table


def parse_items(text: str) -> tuple[Item, ...]:
    """Read the items of one alternative or frame; a slot is a category whose name starts with `$`.

    A verb category of one tense is the lexical category of its form, `Vt.pastsg` is `Vt.past`; a single verb such as
    `become.pastsg` is written out.
    """
    items: list[Item] = []
    for part in text.split():
        name, _, percent = part.partition("?") if part != "?" else (part, "", "")
        base, dot, tense = name.partition(".")
        if name[0] == "$":
            items.append(Symbol(name))
        elif name[0].isupper() and name != "I":
            lexical = dot and base[0] == "V" and not base.startswith("VP")
            items.append(Symbol(f"{base}.{TENSES.get(tense, tense)}" if lexical else name, int(percent or 100)))
        elif name[0].islower() and tense in TENSES:
            items.extend((_verbs().get(base) or verb_forms(base))[TENSES[tense]].split())
        else:
            items.extend(name.replace("_", " ").split())
    return tuple(items)


def _expanded_rules() -> Iterator[str]:
    """Write out the rules with `.T`, `/c` and `.n` for every tense, class and number."""
    for rule in rules().replace("\n    ", " ").splitlines():
        versions = [rule] if rule else []
        if ".T" in rule:
            versions = [re.sub(r"\.T\b", f".{tense}", rule) for tense in TENSES]
        if re.search(r"(\.|past|pres)n\b", rule):
            versions = [re.sub(r"(\.|past|pres)n\b", rf"\1{number}", v) for v in versions for number in ("sg", "pl")]
        # True of `A/clothing` too, whose alternatives are thus repeated; the stories of a seed depend on it.
        if "/c" in rule.partition(" ")[0]:
            versions = [re.sub(r"/c\b", f"/{kind}", version) for version in versions for kind in NOUN_CLASSES.split()]
        yield from versions


@cache
def productions() -> dict[str, list[Alternative]]:
    """Return every category's weighted alternatives, classes kept."""
    table: dict[str, list[Alternative]] = {}
    for rule in _expanded_rules():
        head, arrow, body = rule.split(" ", 2)
        for part in body.split("|"):
            weight, _, text = part.rpartition(":")
            table.setdefault(head, []).append((int(weight or arrow == "->"), parse_items(text)))
    return table


@cache
def recogniser_productions() -> dict[str, list[tuple[Item, ...]]]:
    """Return the same productions without weights and classes, and without what cannot derive any word."""
    merged: dict[str, dict[tuple[Item, ...], None]] = {}
    for head, alternatives in productions().items():
        name = stripped(head)
        for _, items in alternatives:
            plain = tuple(i if isinstance(i, str) else Symbol(stripped(i.name), i.percent) for i in items)
            if plain != (Symbol(name),):
                merged.setdefault(name, {})[plain] = None
    known = {stripped(category) for category in lexicon()} | set(merged)
    return {
        head: [items for items in alternatives if all(isinstance(item, str) or item.name in known for item in items)]
        for head, alternatives in merged.items()
    }


class Generator:
    """The grammar compiled, to be expanded at random; a slot such as `$A` is a node whose one word a story sets."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        """Return the compiled node of a category, compiling what it reaches on first use."""
        known = self.nodes.get(name)
        if known is not None:
            return known
        made = self.nodes[name] = Node(("",) if name[0] == "$" else lexicon().get(name, ()))
        alternatives = [(weight, items) for weight, items in productions().get(name, []) if weight]
        if bool(made.words) == bool(alternatives):
            raise KeyError(f"{name!r} needs words or a weighted rule, and not both")
        for weight, items in alternatives:
            made.alternatives += [tuple(map(self.compiled, items))] * weight
        return made

    def compiled(self, item: Item) -> str | Node:
        """Compile one item; an optional one becomes a node with an empty alternative."""
        if isinstance(item, str):
            return item
        return self.node(item.name) if item.percent == 100 else self.optional(item.name, item.percent)

    def optional(self, name: str, percent: int) -> Node:
        """Return a node that yields the category in `percent` of cases and nothing otherwise."""
        tenths = max(1, round(percent / 10))
        return Node(alternatives=[(self.node(name),)] * tenths + [()] * (10 - tenths))
