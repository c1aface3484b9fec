"""Long texts in chunks: no cut changes how a text is split into tokens."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.text.chunking import Chunker, cut_documents, fragments, last_line_start, last_safe_cut

PATTERNS = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "cl100k": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "qwen2": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
}
AWKWARD = st.text(alphabet="ab'sS1 \n\r\t.-\u3000\xa0\x1c字。é\u0301", max_size=60)


def chunks_of(text: str, size: int, limit: int, block: int = 7) -> list[str]:
    cutter = Chunker(size, limit)
    chunks = [chunk for start in range(0, len(text), block) for chunk in cutter.push(text[start : start + block])]
    return [*chunks, cutter.finish()]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@settings(max_examples=400)
@given(text=AWKWARD)
def test_a_safe_cut_never_changes_the_split(pattern: str, text: str) -> None:
    whole = regex.findall(pattern, text)
    stop = len(text)
    while stop := last_safe_cut(text, 0, stop):
        assert regex.findall(pattern, text[:stop]) + regex.findall(pattern, text[stop:]) == whole
    stop = len(text)
    while stop := last_line_start(text, stop - 1):
        assert regex.findall(pattern, text[:stop]) + regex.findall(pattern, text[stop:]) == whole


@given(text=AWKWARD, size=st.integers(1, 20), more=st.integers(1, 20))
def test_the_chunks_are_the_text(text: str, size: int, more: int) -> None:
    chunks = chunks_of(text, size, size + more)
    assert "".join(chunks) == text
    assert all(len(chunk) <= size + more for chunk in chunks)


def test_chunks_are_cut_before_a_space_that_follows_a_word() -> None:
    text = "several  words in a row " * 20
    chunks = chunks_of(text, 50, 200)
    assert len(chunks) > 8
    for before, after in pairwise(chunks):
        assert after[0] == " "
        assert not before[-1].isspace()
        assert 25 < len(before) <= 50


def test_a_text_without_spaces_is_cut_at_a_line_and_else_hard() -> None:
    lines = "字字字字。\n" * 40
    assert all(chunk.startswith("字") and chunk.endswith("\n") for chunk in chunks_of(lines, 20, 50)[:-1])
    assert [len(chunk) for chunk in chunks_of("x" * 130, 20, 50)] == [50, 50, 30]


@given(
    parts=st.lists(st.text(alphabet="ab|\n", max_size=9), max_size=8), block=st.integers(1, 5), size=st.integers(1, 9)
)
def test_documents_are_found_at_separators_wherever_blocks_end(parts: list[str], block: int, size: int) -> None:
    text = "||".join(parts)
    blocks = [text[start : start + block] for start in range(0, len(text), block)]
    found: dict[int, str] = {}
    last = True
    for chunk, number, continued in cut_documents(fragments(blocks, "||"), Chunker(size, 2 * size)):
        assert last == (number not in found)  # a new document begins exactly after a chunk that is not continued
        found[number] = found.get(number, "") + chunk
        last = not continued
    assert last
    # Chunks as short as here may hold nothing but the line feeds that end a document, which stay then.
    assert [part.rstrip("\n") for part in found.values() if part.strip()] == [
        part.strip("\n") for part in text.split("||") if part.strip()
    ]


def test_chunks_of_random_text_split_as_the_whole_does() -> None:
    random.seed(0)
    words = ["the", "fox's", "1234", "--", "日本", "naïve", "\n\n", "  ", "\t", "x" * 30]
    text = " ".join(random.choice(words) for _ in range(3000))
    chunks = chunks_of(text, 400, 1600, block=97)
    assert len(chunks) > 20
    for pattern in PATTERNS.values():
        assert [token for chunk in chunks for token in regex.findall(pattern, chunk)] == regex.findall(pattern, text)
