"""Cleaning: what is kept, changed, cut off and dropped, and that the counts add up."""

from __future__ import annotations

import random

import pytest

from scratchlm.base.errors import UserError
from scratchlm.text.clean import clean
from scratchlm.text.config import CleanConfig
from scratchlm.text.counts import Counts, Document
from scratchlm.text.duplicates import DigestSet, NearDuplicates, choose_bands


def cleaned(texts: list[str], **options: object) -> tuple[list[str], Counts]:
    counts = Counts(read=len(texts))
    documents = [Document(text, f"row {number}") for number, text in enumerate(texts, start=1)]
    kept = list(clean(documents, CleanConfig(**options), counts))  # type: ignore[arg-type]
    assert counts.read == counts.kept + sum(counts.dropped.values())
    assert counts.characters == sum(len(document.text) for document in kept)
    assert counts.bytes == sum(len(document.text.encode()) for document in kept)
    return [document.text for document in kept], counts


def prose(seed: int, words: int) -> list[str]:
    chooser = random.Random(seed)
    return [f"word{chooser.randrange(5000)}" for _ in range(words)]


def test_by_default_only_exact_copies_go() -> None:
    kept, counts = cleaned(["a", "b", "a", "A", "a ", "ﬁne", "e\u0301"])
    assert kept == ["a", "b", "A", "a ", "ﬁne", "e\u0301"]
    assert counts.dropped == {"duplicate": 1}
    assert counts.named["duplicate"] == ["row 3"]
    assert cleaned(["a", "a"], deduplicate=False)[0] == ["a", "a"]


def test_normalisation_is_as_asked_and_counted() -> None:
    kept, counts = cleaned(["ﬁne", "e\u0301", "plain"], normalize="NFC")
    assert kept == ["ﬁne", "é", "plain"]
    assert counts.repaired == {"texts changed by NFC": 1}
    assert cleaned(["ﬁne", "fine"], normalize="NFKC")[0] == ["fine"]


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    kept, counts = cleaned(["bad \ud800 end", "pair \ud83d\ude00"])
    assert kept == ["bad \ufffd end", "pair 😀"]
    assert sum(counts.repaired.values()) == 2


def test_short_documents_go_and_long_ones_are_cut() -> None:
    kept, counts = cleaned(["ab", "abc", "abcdef"], min_characters=3, max_characters=4)
    assert kept == ["abc", "abcd"]
    assert counts.truncated == 1
    assert counts.dropped == {"too short": 1}


def chunks() -> list[Document]:
    return [
        Document("one", "a", continued=True),
        Document(" two", "a", continued=True),
        Document(" three", "a"),
        Document("next", "b"),
    ]


@pytest.mark.parametrize(
    ("limit", "expected", "truncated"),
    [
        (0, [("one", True), (" two", True), (" three", False), ("next", False)], 0),
        (13, [("one", True), (" two", True), (" three", False), ("next", False)], 0),
        (12, [("one", True), (" two", True), (" thre", False), ("next", False)], 1),
        (7, [("one", True), (" two", False), ("next", False)], 1),
        (3, [("one", False), ("nex", False)], 2),
        (2, [("on", False), ("ne", False)], 2),
    ],
)
def test_a_document_in_chunks_is_cut_across_them(limit: int, expected: list[object], truncated: int) -> None:
    counts = Counts(read=2)
    kept = list(clean(chunks(), CleanConfig(max_characters=limit), counts))
    assert [(document.text, document.continued) for document in kept] == expected
    assert (counts.kept, counts.truncated) == (2, truncated)


def test_a_document_in_chunks_is_never_dropped_and_counted_as_uncompared() -> None:
    counts = Counts(read=4)
    kept = list(clean(chunks() + chunks(), CleanConfig(near_duplicates=0.8), counts))
    assert len(kept) == 7  # the second "next" alone is gone
    assert counts.uncompared == 2
    assert counts.dropped == {"duplicate": 1}


def test_near_duplicates_go_and_merely_related_texts_stay() -> None:
    base = prose(1, 300)
    near = [*base[:150], "changed", *base[151:]]
    related = base[:150] + prose(2, 150)
    texts = [" ".join(words) for words in (base, near, related, prose(3, 300))]
    kept, counts = cleaned([*texts, texts[0].upper() + "!"], near_duplicates=0.8)
    assert kept == [texts[0], texts[2], texts[3]]
    assert counts.dropped == {"near-duplicate": 2}


def test_near_duplicates_are_found_in_scripts_without_spaces() -> None:
    chooser = random.Random(0)
    base = [chr(chooser.randrange(0x4E00, 0x9000)) for _ in range(300)]
    changed = [*base[:150], "改", *base[151:]]
    other = [chr(chooser.randrange(0x4E00, 0x9000)) for _ in range(300)]
    kept, _ = cleaned(["".join(base), "".join(changed), "".join(other)], near_duplicates=0.8)
    assert len(kept) == 2


def test_texts_without_words_and_short_texts_are_compared_safely() -> None:
    kept, _ = cleaned(["...", "!!!", "one two", "One, two!", "one three", ""], near_duplicates=0.5)
    assert kept == ["...", "!!!", "one two", "one three", ""]


@pytest.mark.parametrize("overlap", [0.5, 0.7, 0.9])
def test_the_signature_estimates_the_jaccard_similarity(overlap: float) -> None:
    total, finder = 2000, NearDuplicates(0.8)
    shared = int(total * overlap)
    first = prose(1, total)
    second = first[:shared] + prose(2, total - shared)
    one, two = finder.signature(" ".join(first)), finder.signature(" ".join(second))
    assert one is not None
    assert two is not None
    expected = shared / (2 * total - shared)
    assert abs(float((one == two).mean()) - expected) < 0.13  # three standard errors


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8, 0.9, 0.99, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    bands, rows = choose_bands(threshold)
    assert bands * rows <= 128
    assert 1 - (1 - threshold**rows) ** bands >= 0.95


def test_the_digest_set_agrees_with_a_set_as_it_grows() -> None:
    chooser = random.Random(0)
    mine, plain = DigestSet(), set()
    for _ in range(20_000):
        data = str(chooser.randrange(10_000)).encode()
        assert mine.add(data) == (data not in plain)
        plain.add(data)
    assert len(mine) == len(plain)


@pytest.mark.parametrize(
    "options",
    [
        {"normalize": "NFD"},
        {"near_duplicates": 1.5},
        {"near_duplicates": float("nan")},
        {"min_characters": -1},
        {"max_characters": -1},
        {"min_characters": 10, "max_characters": 5},
    ],
)
def test_values_outside_their_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"normalize|duplicates|characters"):
        CleanConfig(**options)  # type: ignore[arg-type]
