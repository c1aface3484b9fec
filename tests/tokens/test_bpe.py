"""Readable BPE against cases worked out by hand and a naive trainer, and the fast trainer against it."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.tokens import bpe, fast
from scratchlm.tokens.merging import merge, merge_all, merges_hold, merges_of
from scratchlm.tokens.patterns import PATTERNS, QWEN2
from scratchlm.tokens.vocabulary import trained_vocabulary
from scripts import SCRIPTS, fuzz

WHOLE = r"[\s\S]+"
LETTERS = st.text(alphabet="ab é", max_size=30)


def train_naively(texts: list[str], vocabulary_size: int, pattern: str) -> list[tuple[int, int]]:
    """Count all pairs again before each merge."""
    chunks = [list(chunk.encode()) for text in texts for chunk in regex.findall(pattern, text)]
    merges: list[tuple[int, int]] = []
    while len(merges) < vocabulary_size - 256:
        counts = Counter(pair for chunk in chunks for pair in itertools.pairwise(chunk))
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        chunks = [merge(chunk, best, 256 + len(merges)) for chunk in chunks]
        merges.append(best)
    return merges


def test_the_textbook_string_merges_as_worked_out_by_hand() -> None:
    # aaabdaaabac: aa 4 times; then (aa)a, ab twice each, of which (97, 98) is the smaller; then (aa)(ab).
    assert bpe.train(["aaabdaaabac"], 259, WHOLE) == [(97, 97), (97, 98), (256, 257)]


def test_equally_frequent_pairs_are_merged_smallest_ids_first() -> None:
    assert bpe.train(["cd ab ef"], 258, r"\S+") == [(97, 98), (99, 100)]


def test_no_merge_crosses_a_chunk() -> None:
    assert bpe.train(["ab ab ab"], 257, r"\S+|\s") == [(97, 98)]
    with pytest.raises(UserError, match="after 256 tokens"):
        bpe.train(["ab ab ab"], 257, r"\S|\s")


@settings(deadline=None, max_examples=150, database=None, derandomize=True)
@given(texts=st.lists(LETTERS, max_size=4), wanted=st.integers(256, 275), pattern=st.sampled_from([WHOLE, QWEN2]))
def test_incremental_counts_equal_counting_anew_and_rustbpe(texts: list[str], wanted: int, pattern: str) -> None:
    merges = train_naively(texts, wanted, pattern)
    reached = 256 + len(merges)
    assert bpe.train(texts, reached, pattern) == merges
    assert fast.train(texts, reached, pattern) == merges
    if reached < wanted:
        for train in (bpe.train, fast.train):
            with pytest.raises(UserError, match=f"after {reached} tokens nothing in the text is left to merge"):
                train(texts, wanted, pattern)


@pytest.mark.parametrize("name", PATTERNS)
def test_readable_and_fast_trainers_agree_on_many_scripts(name: str) -> None:
    texts = [*SCRIPTS.values(), *fuzz(400, seed=3)]
    merges = bpe.train(texts, 900, PATTERNS[name])
    assert len(merges) == 644
    assert fast.train(texts, 900, PATTERNS[name]) == merges


def test_readable_and_fast_trainers_agree_on_long_runs_and_long_texts() -> None:
    english = (SCRIPTS["english"] + " ") * 2_000
    texts = [" " * 250_000 + "x" + "!" * 130_000, english, SCRIPTS["chinese"] * 3_000]
    assert fast.train(texts, 340) == bpe.train(texts, 340)


@pytest.mark.parametrize("train", [bpe.train, fast.train])
def test_a_size_below_the_bytes_is_refused_with_limit_and_remedy(train) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"--vocabulary-size 255: below the 256 bytes .* at least 256"):
        train(["text"], 255)
    assert train(["text"], 256) == []


@pytest.mark.parametrize("train", [bpe.train, fast.train])
def test_the_size_that_a_refusal_names_can_be_trained(train) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        UserError, match=r"--vocabulary-size 5000: after 264 tokens.*give --vocabulary-size 264 or less"
    ):
        train(["hello hello world"], 5000, r"\w+|\s+")
    assert len(train(["hello hello world"], 264, r"\w+|\s+")) == 8
    with pytest.raises(UserError, match="after 264 tokens"):
        train(["hello hello world"], 265, r"\w+|\s+")


@pytest.mark.parametrize("train", [bpe.train, fast.train])
def test_training_on_a_lone_surrogate_is_refused(train) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"U\+DFFF"):
        train(["fine", "not \udfff fine"], 257)


def test_merging_replays_the_order_of_learning() -> None:
    assert merge([1, 1, 1, 1, 2, 1, 1], (1, 1), 9) == [9, 9, 2, 9]
    assert merge_all([97, 98, 99], {(98, 99): 256, (97, 98): 257}) == [97, 256]
    assert merge_all([], {}) == []


def test_merges_are_derived_from_a_vocabulary_in_order() -> None:
    merges = bpe.train([*SCRIPTS.values(), *fuzz(200, seed=4), "a" * 3_000], 900)
    vocabulary = trained_vocabulary(merges, QWEN2)
    assert list(merges_of(vocabulary.tokens)) == merges
    assert list(vocabulary.id_merges.values()) == list(range(256, 900))
    assert vocabulary.merges[0] == (bytes([merges[0][0]]), bytes([merges[0][1]]))


def test_a_vocabulary_that_no_merges_explain_is_refused() -> None:
    tokens = {bytes([value]): value for value in range(256)} | {b"ab": 256, b"bc": 257, b"abcd": 258}
    with pytest.raises(UserError, match=r"token 258 \(b'abcd'\): no merge"):
        merges_of(tokens)
    with pytest.raises(UserError, match="token 300"):
        merges_of({b"a": 0, b"ax": 300})


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=10))
def test_merges_hold_exactly_where_encoding_finds_them(places: list[tuple[int, int]]) -> None:
    tokens = {b"a": 0, b"b": 1}
    merges: list[tuple[int, int, int]] = []
    for left, right in places:
        spelled = list(tokens)
        merged = spelled[left % len(tokens)] + spelled[right % len(tokens)]
        if merged not in tokens:
            merges.append((left % len(tokens), right % len(tokens), len(tokens)))
            tokens[merged] = len(tokens)
    earlier: dict[tuple[int, int], int] = {}
    right_so_far = True
    for (left, right, id), token in zip(merges, list(tokens)[2:], strict=True):
        right_so_far &= merge_all([tokens[bytes([byte])] for byte in token], earlier) == [left, right]
        earlier[left, right] = id
    assert merges_hold(merges, tokens) == right_so_far
    assert not merges or not merges_hold(merges[:-1], tokens)
    assert not merges or not merges_hold([*merges, merges[-1]], tokens)
