"""Plain English: no sentence of the notes, the README and the docs has more than 25 words.

A number from a result counts as one word, with or without its interval, and code as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = 25
PAGES = sorted(
    [*(ROOT / "notes" / "templates").rglob("*.jinja"), *(ROOT / "docs").glob("*.md"), ROOT / "ARCHITECTURE.md"]
)
NO_PROSE = (
    re.compile(r"```.*?```", re.DOTALL),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"\{%.*?%\}", re.DOTALL),
)
ONE_WORD = (
    (re.compile(r"\{\{.*?\}\}", re.DOTALL), "N"),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"`[^`]*`"), "code"),
)
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*[-*|>#]|\s*\d+\. )|<[^>]+>")
END = re.compile(r"(?<=[.!?:;])[)\"*_]*\s+")
WORD = re.compile(r"[^\W\d_][\w'’-]*")


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of Markdown or of a template; a colon or semicolon ends one too, as in a list."""
    for pattern in NO_PROSE:
        text = pattern.sub("\n\n", text)
    for pattern, word in ONE_WORD:
        text = pattern.sub(word, text)
    for block in BLOCK.split(text):
        line = " ".join(block.split())
        if not line.startswith(("|", "#", "!")):
            yield from END.split(line)


def too_long(text: str) -> list[str]:
    return [each for each in sentences(text) if len(WORD.findall(each)) > MOST]


def test_sentences_are_counted_in_words() -> None:
    words = " ".join(["word"] * 24)
    assert too_long(f"{words} end. {words} end.") == []
    assert too_long(f"{words} {{{{ r('a', 'b c') }}}}.") == []
    assert too_long(f"Too {words} long.") == [f"Too {words} long."]
    assert too_long(f"- {words}\n- {words}\n\n```\n{words} {words}\n```\n| {words} {words} |") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_is_longer_than_25_words(page: Path) -> None:
    assert too_long(page.read_text(encoding="utf-8")) == []
