"""The spelling of the two-hour run keeps the meaning of its text, and keeps the sentences of test pairs distinct."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench.learning.sentences import book_sentences
from bench.learning.spelling import Spelling
from bench.moving import film

from scratchlm.evaluation.pairs import read_pairs

NOTES = Path(__file__).parent.parent / "notes"
TOLD = [
    "Every day the dog and its friend walk to Anna.",
    "They walk, they hug, and they carry a library away.",
    "One day they walk and hug Anna; they carry it.",
    "So they hug and carry what Anna likes; a library, perhaps a library.",
    "The king is kind and the slow dog is slow; a slow king.",
    "Here she and he saw one thing walking.",
]


@pytest.mark.parametrize(
    ("sentence", "spelled"),
    [
        ("She walks.", " she walk ES ."),
        ("He hugged Anna.", " he hug ED Anna ."),
        ("Walking slowly, they carried libraries.", " walk ING slow LY , they carry ED library ES ."),
        ("Anna hadn't walked; she can't, won't.", " Anna had not walk ED ; she can not , will not ."),
        ('"_One_ king!"', " one king !"),  # no letters before -ing that are a word, no italics, no quotation marks
        ("Kirsten's dog", " Kirsten's dog"),  # a name never seen keeps its capital
    ],
)
def test_endings_and_negations_are_words_and_only_names_keep_their_capital(sentence: str, spelled: str) -> None:
    assert Spelling(TOLD)(sentence) == spelled


@pytest.mark.slow
def test_sentences_of_a_pair_are_spelled_alike_only_where_they_are_alike(data: Path) -> None:
    spelling, alike = Spelling(book_sentences(data / "pretrain" / "books.jsonl")), []
    for file in sorted((data / "evaluate" / "blimp").glob("*.jsonl")):
        alike += [pair for pair in read_pairs(file) if spelling(pair.good) == spelling(pair.bad)]
    assert all(pair.good == pair.bad for pair in alike), alike
    assert len(alike) < 10


def test_the_film_shows_each_sample_and_escapes_its_text() -> None:
    drawn = film([(0, 3.0), (50, 1.0), (100, 0.5)], [(0, "<b> \x1b&"), (100, "It was cold.")], 0.7)
    page = ElementTree.fromstring(drawn)
    words = ["".join(each.itertext()) for each in page.iter("{http://www.w3.org/2000/svg}text")]
    assert {"written after 0 steps", "written after 100 steps", "<b> \u25a1&", "It was cold.", "5-gram: 0.70"} <= set(
        words
    )
    assert drawn.count("@keyframes k") == 2


def test_the_notes_tell_what_the_heads_of_a_published_model_look_at_as_it_was_measured() -> None:
    result = json.loads((NOTES.parent / "bench" / "results" / "attention.json").read_text(encoding="utf-8"))
    page = " ".join((NOTES / "findings" / "context.md").read_text(encoding="utf-8").split())
    counts, (head, share) = result["counts"], result["best"]["induction"]
    for pattern, each in result["scores"].items():
        assert pattern not in counts or counts[pattern] == sum(score > 0.5 for row in each for score in row)
    assert f"*{counts['first token']} of {result['heads']} heads give more than half of their attention" in page
    assert f"on average over {result['sentences']} other sentences. Equal" in page
    assert f"so far would give it {result['uniform']:.0%}.*" in page
    assert (counts["previous token"], counts["same token"], counts["induction"]) == (4, 3, 5)  # in words there
    before, after = result["induction_head_on_first"]
    assert f"this head ({head}) gives {before:.0%} of its attention to the first token." in page
    assert f"it gives {after:.0%} to the first token. {share:.0%} then go to" in page
    drawn = (NOTES / "figures" / "attention.svg").read_text(encoding="utf-8")
    tiles = re.findall(r'data-head="([\d.]+)"', drawn)
    assert len(tiles) == result["heads"] + len(counts)
    assert len(set(tiles)) == result["heads"]
    assert f">{counts['first token']} of {result['heads']} attention heads look mostly at the first token<" in drawn
    assert len(drawn) < 300_000


def test_the_notes_tell_the_birth_of_a_model_as_its_page_does() -> None:
    html = (NOTES / "figures" / "birth.html").read_text(encoding="utf-8")
    stored = re.search(r"id=lapse>(.*?)</script>", html, re.DOTALL)
    assert stored
    lapse = json.loads(stored[1])
    page = " ".join((NOTES / "findings" / "objective.md").read_text(encoding="utf-8").split())
    first, last = lapse["frames"][0], lapse["frames"][-1]
    assert f"In {lapse['steps']:,} steps, the loss on held-out text falls" in page
    assert f"falls from {first['loss']:.2f} to {last['loss']:.2f} nats per byte" in page
    assert f"replays {len(lapse['frames'])} moments" in page
    drawn = (NOTES / "figures" / "birth.svg").read_text(encoding="utf-8")
    for frame in (first, last):
        assert f">step {frame['step']:,}<" in drawn
        assert f">loss {frame['loss']:.2f} nats per byte<" in drawn
    assert (len(html) < 2_000_000, len(drawn) < 300_000) == (True, True)
    assert not re.search(r"\b(?:src|href)=|https?://|fetch\(|import\(|url\(", html)
