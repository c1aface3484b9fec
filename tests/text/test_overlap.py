"""What held-out text shares with training text."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchlm.text import words
from scratchlm.text.counts import Document
from scratchlm.text.overlap import overlap_report, shared_paragraphs
from scratchlm.text.words import run_hashes, word_hashes


def sentence(seed: int, words: int) -> str:
    chooser = random.Random(seed)
    return " ".join(f"w{chooser.randrange(10**6)}" for _ in range(words))


def documents(*texts: str) -> list[Document]:
    return [Document(text, f"document {number}") for number, text in enumerate(texts)]


def test_unrelated_texts_share_nothing() -> None:
    report = overlap_report(documents(sentence(1, 500)), documents(sentence(2, 100)))
    assert (report.runs, report.runs_in_train, report.documents, report.documents_touched) == (88, 0, 1, 0)


def test_a_copied_document_is_found_whatever_its_case_and_punctuation() -> None:
    text = sentence(1, 40)
    report = overlap_report(
        documents(sentence(2, 50), text), documents(text.upper().replace(" ", ", "), sentence(3, 40))
    )
    assert (report.runs, report.runs_in_train) == (56, 28)
    assert (report.documents, report.documents_touched, report.documents_mostly) == (2, 1, 1)
    assert report.examples == ("document 0",)
    assert json.loads(json.dumps(report.as_dict()))["share"] == 0.5


def test_a_shared_passage_marks_its_document_as_overlapping() -> None:
    passage = sentence(1, 20)
    report = overlap_report(
        documents(f"{sentence(2, 30)} {passage} {sentence(3, 30)}"), documents(f"{sentence(4, 30)} {passage}")
    )
    assert report.runs_in_train == 20 - 13 + 1
    assert (report.documents_touched, report.documents_mostly) == (1, 0)


def test_no_n_gram_spans_two_documents() -> None:
    text = sentence(1, 26)
    words = text.split()
    report = overlap_report(documents(" ".join(words[:13]), " ".join(words[13:])), documents(text))
    assert report.runs_in_train == 2


def test_n_grams_span_the_chunks_of_a_document() -> None:
    text = sentence(1, 60)
    middle = text.index(" ", len(text) // 2)
    pieces = [Document(text[:middle], "long", continued=True), Document(text[middle:], "long")]
    for train, held in ((pieces, documents(text)), (documents(text), pieces), (pieces, pieces)):
        report = overlap_report(train, held)
        assert (report.documents, report.runs, report.runs_in_train) == (1, 48, 48)


def test_a_short_document_counts_when_a_training_document_equals_it() -> None:
    report = overlap_report(documents("Go on!", "Stop there now"), documents("go on", "stop there", "...", ""))
    assert (report.runs, report.runs_in_train, report.documents, report.documents_mostly) == (2, 1, 2, 1)


def test_nothing_held_out_is_no_error() -> None:
    report = overlap_report(documents("some text"), [])
    assert (report.runs, report.fraction) == (0, 0.0)
    assert overlap_report([], documents("some text")).fraction == 0.0


@given(st.lists(st.sampled_from(["the", "fox", "naïve", "हिन्दी", "x1", "日"]), max_size=30))
def test_the_hash_of_a_word_does_not_depend_on_its_position(words: list[str]) -> None:
    hashes = word_hashes("-- " + ", ".join(words) + "!")
    assert len(hashes) == len(words)
    assert [int(value) for value in hashes] == [int(word_hashes(word)[0]) for word in words]
    runs = run_hashes(hashes, 3)
    assert len(runs) == max(0, len(words) - 2)
    for start in range(len(runs)):
        assert runs[start] == run_hashes(hashes[start : start + 3], 3)[0]


def test_long_texts_are_hashed_as_short_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sentence(1, 300) + "x" * 500 + " end"
    whole = word_hashes(text).tolist()
    monkeypatch.setattr(words, "_BLOCK", 64)
    assert word_hashes(text).tolist() == whole


def test_hashes_are_the_same_on_every_machine() -> None:
    assert [hex(value) for value in word_hashes("Hello, 世界")] == [
        "0x8701ca775b4c91a0",
        "0x5bdf868bf7f5aed4",
        "0x79cbc04b88449d79",
    ]


def test_paragraphs_that_share_an_n_gram_are_found() -> None:
    held_out = ["The quick brown fox jumps over the lazy dog again and again."]
    paragraphs = ["see: the QUICK brown fox, jumps over the lazy dog!", "the quick brown fox sleeps", ""]
    assert shared_paragraphs(paragraphs, held_out) == [True, False, False]
    assert shared_paragraphs(paragraphs, held_out, run=4) == [True, True, False]
    assert shared_paragraphs(paragraphs, ["too short"]) == [False, False, False]
