"""The recogniser: decides whether a sentence belongs to the generator's grammar.

A memoised top-down parser over words. Every category and start position is parsed once, and a table of left corners
rules out what cannot start there, so a sentence takes about a millisecond.
"""

from __future__ import annotations

import re
from functools import cache

from scratchlm.storyworld.grammar import Item, Symbol, recogniser_productions
from scratchlm.storyworld.lexicon import lexicon, stripped

_TOKEN = re.compile(r"'s\b|[A-Za-z]+|[.,!?;\"]|\S")


def sentences(text: str) -> list[str]:
    """Split a story into the sentences that `parses` judges; direct speech and its speech tag are one sentence."""
    return [part for paragraph in text.splitlines() for part in _split_paragraph(paragraph.strip())]


def _split_paragraph(text: str) -> list[str]:
    """Cut after `.`, `!` or `?` outside quotation marks, and after a closing mark before a capital or the end."""
    parts: list[str] = []
    start, quoted = 0, False
    for i, character in enumerate(text):
        if character == '"':
            quoted = not quoted
            closes = not quoted and text[i - 1 : i] in {".", "!", "?"}
        else:
            closes = character in ".!?" and not quoted
        if closes and (i + 1 == len(text) or (text[i + 1] == " " and not text[i + 2 : i + 3].islower())):
            parts.append(text[start : i + 1].strip())
            start = i + 1
    rest = text[start:].strip()
    return [*parts, rest] if rest else parts


def tokenize(sentence: str) -> list[str] | None:
    """Return the words and marks as the grammar writes them, or None where a/an or capitals are wrong.

    Quotation marks become `<<` and `''`, sentence-initial words lose their capital unless they are names.
    """
    raw = _TOKEN.findall(sentence)
    tokens: list[str] = []
    quoted, initial = False, True
    proper = _proper_words()
    for i, token in enumerate(raw):
        if token == '"':
            quoted = not quoted
            tokens.append("<<" if quoted else "''")
            initial = quoted
            continue
        if initial and token[0].isalpha():
            if not token[0].isupper():
                return None
            token = token if token in proper or token == "I" else token[0].lower() + token[1:]
        if token in {"a", "an"} and i + 1 < len(raw):
            if (token == "an") != (raw[i + 1][0] in "aeiouAEIOU"):
                return None
            token = "a"
        initial = quoted and token in {".", "!", "?"}
        tokens.append(token)
    return None if quoted else tokens


@cache
def _proper_words() -> frozenset[str]:
    words = (part for words in lexicon().values() for word in words for part in word.split())
    return frozenset(word for word in words if word[0].isupper())


@cache
def _entries() -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Index the lexicon by first word: (words of the entry, category)."""
    index: dict[str, dict[tuple[tuple[str, ...], str], None]] = {}
    for category, words in lexicon().items():
        name = stripped(category)
        for word in words:
            parts = tuple(word.split())
            index.setdefault(parts[0], {})[(parts, name)] = None
    return {first: list(entries) for first, entries in index.items()}


@cache
def _alternatives() -> dict[str, list[tuple[tuple[Item, ...], frozenset[str], bool]]]:
    """Return the alternatives of each category: items, left corners, whether they may be empty.

    A left corner is a category, or a word after `=`.
    """
    productions = recogniser_productions()
    nullable: set[str] = set()
    corners: dict[str, set[str]] = {head: set() for head in productions}

    def empty(items: tuple[Item, ...]) -> bool:
        return all(isinstance(i, Symbol) and (i.percent < 100 or i.name in nullable) for i in items)

    def corner(items: tuple[Item, ...]) -> set[str]:
        reached: set[str] = set()
        for item in items:
            if isinstance(item, str):
                return reached | {"=" + item}
            reached |= {item.name} | corners.get(item.name, set())
            if item.percent == 100 and item.name not in nullable:
                break
        return reached

    changed = True
    while changed:
        changed = False
        for head, alternatives in productions.items():
            for items in alternatives:
                if head not in nullable and empty(items):
                    nullable.add(head)
                    changed = True
                if fresh := corner(items) - corners[head]:
                    corners[head] |= fresh
                    changed = True
    return {
        head: [(items, frozenset(corner(items)), empty(items)) for items in alternatives]
        for head, alternatives in productions.items()
    }


class Recogniser:
    """One parse of a list of items: words, and symbols where the list is a sentential form."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.lexical: list[dict[str, set[int]]] = [self._lexical_at(i) for i in range(len(items))]
        self.starts = [
            frozenset({"=" + item if isinstance(item, str) else item.name, *categories})
            for item, categories in zip(items, self.lexical, strict=True)
        ]
        self.starts.append(frozenset())
        self.memo: dict[tuple[str, int], frozenset[int]] = {}

    def _lexical_at(self, i: int) -> dict[str, set[int]]:
        categories: dict[str, set[int]] = {}
        item = self.items[i]
        if isinstance(item, Symbol):
            return {item.name: {i + 1}}
        for parts, category in _entries().get(item, ()):
            span = self.items[i : i + len(parts)]
            if len(parts) == 1 or span == list(parts):
                categories.setdefault(category, set()).add(i + len(parts))
        return categories

    def derives(self, category: str) -> bool:
        """Say whether the category derives exactly the whole list."""
        return len(self.items) in self.ends(category, 0)

    def ends(self, category: str, start: int) -> frozenset[int]:
        """Return the positions at which the category can end when it starts at `start`."""
        key = (category, start)
        known = self.memo.get(key)
        if known is not None:
            return known
        # A left-recursive rule would meet its own unfinished entry here: it finds nothing and ends.
        self.memo[key] = frozenset()
        reached = set(self.lexical[start].get(category, ())) if start < len(self.items) else set()
        starts = self.starts[start]
        for items, corner, empty in _alternatives().get(category, ()):
            if empty or not corner.isdisjoint(starts):
                reached |= self._sequence(items, start)
        result = self.memo[key] = frozenset(reached)
        return result

    def _sequence(self, items: tuple[Item, ...], start: int) -> set[int]:
        positions = {start}
        for item in items:
            reached: set[int] = set()
            for position in positions:
                if isinstance(item, Symbol):
                    reached |= self.ends(item.name, position)
                    if item.percent < 100:
                        reached.add(position)
                elif position < len(self.items) and self.items[position] == item:
                    reached.add(position + 1)
            if not reached:
                return reached
            positions = reached
        return positions


def parses(sentence: str) -> bool:
    """Say whether one sentence, with its final mark, belongs to the generator's grammar.

    It judges syntax, agreement, a/an and capitals, not facts. Takes about a millisecond.
    """
    tokens = tokenize(sentence)
    return bool(tokens) and Recogniser([*(tokens or ())]).derives("S")
