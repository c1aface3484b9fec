"""Question answering without a neural model: the answer of each method, by hand."""

from __future__ import annotations

import pytest

from scratchlm.classic.reading import Retrieval, by_overlap, by_rules, content, first_sentence, sentences

PASSAGE = (
    "Once a miller lived in a small village. He had two donkeys and a cat. One night the cat ran into the forest "
    "because the miller had shouted. Then Martha found the cat near the old bridge."
)


def test_a_passage_is_split_into_sentences_and_content_words() -> None:
    assert len(sentences(PASSAGE)) == 4
    assert sentences("no mark") == ["no mark"]
    assert content("The millers had shouted at it") == ["miller", "shout"]


def test_word_overlap_chooses_the_sentence() -> None:
    assert first_sentence(PASSAGE, "Where?") == "Once a miller lived in a small village."
    assert by_overlap(PASSAGE, "How many donkeys did he have?") == "He had two donkeys and a cat."
    assert by_overlap(PASSAGE, "Zebras?") == first_sentence(PASSAGE, "")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many donkeys did he have?", "two"),
        ("Why did the cat run into the forest?", "the miller had shouted"),
        ("Where did the miller live?", "in a small village"),
        ("Who found the cat near the bridge?", "Martha"),
        (
            "When did the cat run into the forest?",
            "one night the cat ran into the forest because the miller had shouted",
        ),
        ("What did the miller own besides two donkeys?", "and a cat"),
    ],
)
def test_rules_answer_by_the_question_word(question: str, answer: str) -> None:
    assert by_rules(PASSAGE, question) == answer


def test_retrieval_weights_rare_words_more() -> None:
    finder = Retrieval([PASSAGE])
    # `cat` occurs in three sentences, `bridge` in one: one shared rare word outweighs one frequent one.
    assert finder.answer(PASSAGE, "What of a cat at the bridge?") == sentences(PASSAGE)[3]
    assert finder.evidence(PASSAGE, "bridge donkeys", 100) == " ".join([sentences(PASSAGE)[1], sentences(PASSAGE)[3]])
    assert finder.evidence(PASSAGE, "bridge", 1) == sentences(PASSAGE)[3][:2]
    assert finder.nearest(["the donkeys", "the bridge"], ["a bridge", "two donkeys", "zebras"]) == [1, 0, -1]
    assert finder.size() > 0


def test_a_sentence_goes_on_over_the_end_of_a_line_and_ends_with_its_paragraph() -> None:
    passage = "There was a king who had a wife\nwith golden hair. She fell\nill\n\nThe king wept."
    assert sentences(passage) == ["There was a king who had a wife with golden hair.", "She fell ill", "The king wept."]
    assert sentences("") == [""]
