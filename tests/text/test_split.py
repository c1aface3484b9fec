"""Held-out text: which documents, how much, and that nothing is lost or doubled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchlm.base.errors import UserError
from scratchlm.text.config import SplitConfig
from scratchlm.text.counts import Counts, Document
from scratchlm.text.documents import read_documents
from scratchlm.text.split import hash_fraction, held_out, parse_split, split_documents, split_of_rows, two_sides


def maker(documents: list[Document]) -> Callable[[], Iterator[Document]]:
    return lambda: iter(documents)


def corpus(number: int) -> list[Document]:
    return [Document(f"document number {index}", str(index)) for index in range(number)]


def sides(documents: list[Document], split: str) -> tuple[list[Document], list[Document]]:
    pairs = list(split_documents(maker(documents), parse_split(split)))
    train = [document for side, document in pairs if side == "train"]
    validation = [document for side, document in pairs if side == "validation"]
    return train, validation


def test_splits_are_read_as_written() -> None:
    assert parse_split("hash") == SplitConfig("hash", 0.05)
    assert parse_split("tail:0.1") == SplitConfig("tail", 0.1)
    assert parse_split(" hash:.2 ") == SplitConfig("hash", 0.2)


@pytest.mark.parametrize("text", ["", "0.1", "tial:0.1", "hash:x", "hash:", "tail:0", "tail:1", "hash:-1", "hash:nan"])
def test_wrong_splits_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="split"):
        parse_split(text)


def test_a_misspelt_method_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'tail'"):
        parse_split("tial:0.1")


def test_hash_holds_out_about_the_fraction_and_loses_nothing() -> None:
    documents = corpus(5000)
    train, validation = sides(documents, "hash:0.1")
    assert 430 < len(validation) < 570
    assert sorted(train + validation, key=lambda document: int(document.source)) == documents


def test_hash_depends_on_the_text_alone() -> None:
    sides_of_old = [held_out(f"document number {n}", 0.5) for n in range(8)]
    assert sides_of_old == [True, True, True, False, True, True, True, False]  # on every machine, in every process
    small = {document.text for document in sides(corpus(100), "hash:0.2")[1]}
    large = {document.text for document in sides(corpus(500), "hash:0.2")[1]}
    assert small == {text for text in large if int(text.split()[-1]) < 100}


def test_the_hash_is_the_same_on_every_machine() -> None:
    chosen = [index for index in range(60) if held_out(f"document number {index}", 0.1)]
    assert chosen == [12, 13, 32, 49]


def test_the_chunks_of_a_document_share_a_side() -> None:
    documents = [
        Document(f"{index} {part}", str(index), continued=part < 2) for index in range(200) for part in range(3)
    ]
    for side in sides(documents, "hash:0.3"):
        assert len(side) % 3 == 0
        assert [document.continued for document in side] == [True, True, False] * (len(side) // 3)


def test_with_few_documents_hash_falls_back_to_the_tail_and_says_so() -> None:
    counts = Counts()
    documents = [Document("x" * 100, "only")]
    pairs = list(split_documents(maker(documents), SplitConfig("hash", 0.05), counts))
    assert [(side, len(document.text)) for side, document in pairs] == [("train", 95), ("validation", 5)]
    assert "hash left one side empty, so the last 5 of 100 characters are held out" in counts.notes[0]


def test_one_document_is_split_by_its_tail_exactly() -> None:
    text = "".join(chr(97 + index % 26) for index in range(1003))
    train, validation = sides([Document(text, "only")], "tail:0.1")
    assert train[0].text == text[: int(1003 * 0.9)]
    assert validation[0].text == text[int(1003 * 0.9) :]


def test_many_documents_are_cut_at_the_nearest_border() -> None:
    train, validation = sides(corpus(100), "tail:0.1")
    assert [int(document.source) for document in validation] == list(range(90, 100))
    assert len(train) == 90


def test_a_document_that_dominates_is_cut_inside() -> None:
    documents = [Document("a", "1"), Document("b" * 1000, "2")]
    train, validation = sides(documents, "tail:0.1")
    assert [len(document.text) for document in train] == [1, 899]
    assert [len(document.text) for document in validation] == [101]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    chunk=st.integers(1, 10),
    fraction=st.floats(0.01, 0.99),
)
def test_a_tail_loses_nothing_and_ends_every_document(lengths: list[int], chunk: int, fraction: float) -> None:
    documents = []
    for number, length in enumerate(lengths):
        text = "x" * length
        documents += [
            Document(text[start : start + chunk], str(number), start + chunk < length)
            for start in range(0, length, chunk)
        ]
    pairs = list(split_documents(maker(documents), SplitConfig("tail", fraction)))
    assert "".join(document.text for _, document in pairs) == "x" * sum(lengths)
    order = [side for side, _ in pairs]
    assert order == sorted(order)  # train before validation
    for side in ("train", "validation"):
        mine = [document for own, document in pairs if own == side]
        assert sum(lengths) == 1 or mine
        assert not mine or not mine[-1].continued


def test_counts_hold_the_last_pass_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "some words"}\nbroken\n' * 10, encoding="utf-8")
    counts = Counts()

    def make() -> Iterator[Document]:
        return read_documents([path], text_column=None, split_on=None, strict=False, counts=counts)

    for split in ("tail:0.2", "hash:0.2"):
        assert len(list(split_documents(make, parse_split(split), counts))) == 10
        assert counts.read == 20
        assert counts.dropped == {"broken row": 10}
        assert len(counts.notes) == 1


def test_the_standard_shakespeare_split_comes_out() -> None:
    folder = os.environ.get("SCRATCHLM_DATA")
    if not folder:
        pytest.skip("SCRATCHLM_DATA names no folder of real data")
    path = Path(folder) / "pretrain" / "tinyshakespeare.txt"

    def make() -> Iterator[Document]:
        return read_documents([path], text_column=None, split_on=None, strict=True, counts=Counts())

    pairs = list(split_documents(make, parse_split("tail:0.1")))
    assert [len(document.text) for _, document in pairs] == [1_003_854, 111_540]


@pytest.mark.parametrize(("rows", "fraction"), [(0, 0.25), (48, 0.25), (160, 0.125), (200, 0.1), (10**6, 0.1)])
def test_of_few_rows_a_larger_part_is_held_out_unless_another_is_asked_for(rows: int, fraction: float) -> None:
    assert parse_split(split_of_rows("auto", rows)) == SplitConfig("hash", fraction)
    assert split_of_rows("tail:0.1", rows) == "tail:0.1"


@pytest.mark.parametrize("fraction", [1e-6, 0.1, 0.5, 0.999_999])
def test_of_few_rows_one_is_held_out_and_one_is_trained_on_at_the_least(fraction: float) -> None:
    rows = [f"row {number % 10}" for number in range(20)]
    train, held_out = two_sides(rows, SplitConfig("hash", fraction), str)
    assert sorted([*train, *held_out]) == sorted(rows)
    assert not set(train) & set(held_out)  # copies stay together
    assert max(map(hash_fraction, held_out)) < min(map(hash_fraction, train))
    assert (len(held_out), len(train)) in {1e-6: [(2, 18)], 0.999_999: [(18, 2)]}.get(
        fraction, [(count, 20 - count) for count in range(2, 20)]
    )
    with pytest.raises(UserError, match="of 3 rows one side has none"):
        two_sides(["alike"] * 3, SplitConfig("hash", fraction), str)
