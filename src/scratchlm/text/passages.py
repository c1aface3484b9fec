"""Sentences and passages of a document, for questions about it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]*[A-Z0-9])")
_SHORT = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|e\.g|i\.e|[A-Z])\.$")
"""Abbreviations: a full stop that ends no sentence."""
_WORD = re.compile(r"[^\W\d_]{3,}")


def sentences_of(paragraph: str) -> list[str]:
    """Split a paragraph into sentences at punctuation; abbreviations and initials do not end one."""
    text = " ".join(paragraph.split())
    parts: list[str] = []
    start = 0
    for match in _END.finditer(text):
        sentence = text[start : match.end()].strip()
        if not _SHORT.search(sentence):
            parts.append(sentence)
            start = match.end()
    last = text[start:].strip()
    return [*parts, last] if last else parts


def is_whole(sentence: str) -> bool:
    """Return whether a string looks like a whole sentence, by its beginning, its end and its words."""
    return bool(re.match(r"[\"'“‘(]*[A-Z]", sentence) and re.search(r"[.!?][\"'”’)]*$", sentence)) and (
        4 <= len(_WORD.findall(sentence)) <= 60
    )


def passages_of(text: str, most: int = 800) -> Iterator[list[str]]:
    """Yield passages: consecutive whole sentences of one paragraph, of at most `most` characters."""
    for paragraph in re.split(r"\n\s*\n", text):
        run: list[str] = []
        for sentence in sentences_of(paragraph):
            if not is_whole(sentence):
                if run:
                    yield run
                run = []
                continue
            if run and sum(map(len, run)) + len(run) + len(sentence) > most:
                yield run
                run = []
            run.append(sentence)
        if run:
            yield run


def content_words(sentence: str) -> list[str]:
    """Return the content words of a sentence: at least five letters, without a name at its beginning."""
    words = [match.group() for match in _WORD.finditer(sentence)]
    return [word for word in words[1:] if len(word) >= 5 and word.islower()]
