"""Splitting text, cutting runs, sampling: the steps that every trainer and encoder has in common."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.tokens import patterns
from scratchlm.tokens.patterns import PATTERNS, cut_runs, pattern_named, sample_bytes, split_safely
from scripts import SCRIPTS, fuzz

KINDS = {"space": " \n\t\u3000", "letter": "aé你я", "number": "1½٣Ⅻ", "other": "!-\u0301😀"}


@cache
def kind_of(character: str) -> str:
    for kind, expression in (("space", r"\s"), ("letter", r"\p{L}"), ("number", r"\p{N}")):
        if regex.match(expression, character):
            return kind
    return "other"


def cut_plainly(text: str) -> list[str]:
    """Cut runs as documented, character by character."""
    pieces, piece = [], ""
    for _, run in itertools.groupby(text, key=kind_of):
        characters = "".join(run)
        parts = [
            characters[start : start + patterns.LONGEST_RUN]
            for start in range(0, len(characters), patterns.LONGEST_RUN)
        ]
        for place, part in enumerate(parts):
            if place:
                pieces.append(piece)
                piece = ""
            piece += part
    return [*pieces, piece]


@pytest.mark.parametrize(
    ("name", "text", "chunks"),
    [
        ("qwen2", "I'LL don't 123 x", ["I", "'LL", " don", "'t", " ", "1", "2", "3", " x"]),
        ("gpt2", "I'LL don't 123 x", ["I", "'", "LL", " don", "'t", " 123", " x"]),
        ("cl100k", "I'LL 12345 x", ["I", "'LL", " ", "123", "45", " x"]),
        ("smollm", "a  12\n x", ["a", "  ", "1", "2", "\n", " x"]),
        ("qwen2", "a   b\n\n c?!\n", ["a", "  ", " b", "\n\n", " c", "?!\n"]),
        ("gpt2", "a   b\n\n c?!\n", ["a", "  ", " b", "\n\n", " c", "?!", "\n"]),
    ],
)
def test_each_pattern_splits_words_digits_and_space_in_its_own_way(name: str, text: str, chunks: list[str]) -> None:
    assert regex.findall(pattern_named(name), text) == chunks


@pytest.mark.parametrize("name", PATTERNS)
def test_chunks_joined_are_the_text(name: str) -> None:
    for text in fuzz(500, seed=1):
        assert "".join(regex.findall(PATTERNS[name], text)) == text


def test_the_smollm_pattern_equals_isolated_digits_before_gpt2s() -> None:
    pre = pytest.importorskip("tokenizers").pre_tokenizers
    step = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)])
    for text in [*fuzz(3_000, seed=2), "a  1", " 1", "\n\n2 \t3  x", "  ½"]:
        spans = [span for _, span in step.pre_tokenize_str(text)]
        assert [match.span() for match in regex.finditer(patterns.SMOLLM, text)] == spans, text


def test_an_unknown_pattern_name_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'qwen2'"):
        pattern_named("qwen3")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [100_000, 100_001, 200_000, 200_001, 350_007])
def test_a_run_is_cut_after_each_100000_characters(kind: str, length: int) -> None:
    run = (KINDS[kind] * (length // 3))[:length]
    assert len(run) == length
    for text in (run, "x 1." + run + ".1 x", "1x ." + run):
        assert cut_runs(text) == cut_plainly(text)
    assert max(map(len, cut_runs(run))) <= patterns.LONGEST_RUN
    assert len(cut_runs(run)) == -(-length // patterns.LONGEST_RUN)


@pytest.mark.parametrize("offset", [0, 1, 499, 998, 999, 1000, 1001])
def test_the_quick_check_misses_no_run_wherever_it_starts(offset: int) -> None:
    text = "a b" * 100_000 + "." + "x" * offset + "." + "\n" * 100_001 + "a b" * 1_000
    segments = cut_runs(text)
    assert len(segments) == 2
    assert "".join(segments) == text
    assert segments[1].startswith("\na b")


def test_ordinary_text_is_not_cut() -> None:
    text = SCRIPTS["english"] * 10_000
    assert cut_runs(text) == [text]
    assert cut_runs("") == []
    assert cut_runs("a" * 100_000) == ["a" * 100_000]


@pytest.mark.parametrize("name", PATTERNS)
@settings(deadline=None, max_examples=300, database=None, derandomize=True)
@given(text=st.text(alphabet=" \n\r\t\u3000\x1c\x85aé你1½'!s-", max_size=60), length=st.integers(1, 12))
def test_splitting_at_safe_places_changes_no_chunk(name: str, text: str, length: int) -> None:
    pieces = split_safely(text, PATTERNS[name], length)
    assert "".join(pieces) == text
    chunks = [chunk for piece in pieces for chunk in regex.findall(PATTERNS[name], piece)]
    assert chunks == regex.findall(PATTERNS[name], text)


def test_long_text_is_indeed_split_at_spaces_and_at_single_newlines() -> None:
    for text in (SCRIPTS["english"] * 3_000, (SCRIPTS["chinese"] + "\n") * 9_000):
        pieces = split_safely(text, patterns.QWEN2)
        assert len(pieces) >= 3
        assert max(map(len, pieces)) < 70_000
    whole = "你" * 300_000
    assert split_safely(whole, patterns.QWEN2) == [whole]
    assert split_safely("a b " * 50_000, r"[\s\S]+") == ["a b " * 50_000]


def test_a_lone_surrogate_is_named_with_its_place() -> None:
    with pytest.raises(UserError, match=r"character 3 .*U\+D800"):
        patterns.require_encodable("né \ud800")


def test_a_sample_of_known_total_reaches_from_first_to_last_text() -> None:
    texts = [f"{place:03} " * 25 for place in range(100)]
    sample = list(sample_bytes(texts, 2_500, total=10_000))
    assert len(sample) == 100
    assert sum(map(len, sample)) == 2_500
    assert sample[-1].startswith("099")


def test_a_sample_of_unknown_total_is_the_beginning_and_reads_no_further() -> None:
    read = []

    def texts():  # type: ignore[no-untyped-def]
        for place in range(100):
            read.append(place)
            yield "én" * 10

    sample = list(sample_bytes(texts(), 100))
    assert "".join(sample) == "én" * 33  # the hundredth byte falls inside an é
    assert read == [0, 1, 2, 3]


def test_a_sample_larger_than_the_text_is_the_text(scripts: list[str]) -> None:
    assert list(sample_bytes(scripts, 1_000_000, total=3_000)) == scripts
    assert list(sample_bytes(scripts, 1_000_000)) == scripts
