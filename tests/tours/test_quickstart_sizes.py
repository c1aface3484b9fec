"""A quickstart's size follows the machine's speed, and what it asks at the end keeps its deadlines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.evaluation.bits import HeldOutLoss
from scratchlm.model.config import DecoderConfig
from scratchlm.runs.hooks import WriteSample
from scratchlm.storyworld import questions
from scratchlm.tokens.simple import CharacterTokenizer
from scratchlm.tours.quickstart.qa_eval import SENTENCES, TOGETHER, ask, read_aloud
from scratchlm.tours.quickstart.result import Phase, QuickstartResult
from scratchlm.tours.quickstart.run import PRETRAIN_SHARE, Clock, minutes_to_ngram
from scratchlm.tours.quickstart.sizes import (
    SHAPES,
    TIMED,
    QuickstartSize,
    Speed,
    best_for_facts,
    best_for_text,
    minutes_to_reach,
    relative_time,
    shape_of,
    speeds_of,
)
from scratchlm.tours.quickstart.text import QuickstartText, storyworld_corpus
from scratchlm.training.config import TrainingConfig
from scratchlm.training.profiling import Deadline, fitted_to_minutes
from toys import random_decoder, toy_config

FAST = {shape: relative_time(*shape) / 60_000 for shape in TIMED}


class Ticking:
    """A clock on which every look takes so long."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.seconds = seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


class Parrot:
    """A model that says one thing."""

    def __init__(self, text: str = "One day. Kira lives in Redport. ") -> None:
        self.text = text
        self.asked: list[str] = []

    def replies(self, conversations, **settings) -> list[str]:
        self.asked += [conversation[0]["content"] for conversation in conversations]
        return ["yes" for _ in conversations]

    def stream_generate(self, prompt: str, **settings):
        yield from self.text.split(" ")


def slowed(by: float) -> list[Speed]:
    return speeds_of({shape: by * seconds for shape, seconds in FAST.items()})


def test_the_size_falls_with_the_speed() -> None:
    for best in (best_for_facts, best_for_text):
        chosen = [best(slowed(by), 100.0) for by in (0.2, 1.0, 5.0, 100.0)]
        places = [SHAPES.index((speed.layers, speed.width)) for speed in chosen]
        assert places == sorted(places, reverse=True)
        assert places[0] > places[-1] == 0


def test_a_machine_that_was_busy_during_some_probes_is_not_thought_slower() -> None:
    quiet = speeds_of(FAST)
    busy = {shape: (1.2 if shape == (2, 64) else 9.0) * seconds for shape, seconds in FAST.items()}
    assert [speed.tokens_per_second * 1.2 for speed in speeds_of(busy)] == pytest.approx(
        [speed.tokens_per_second for speed in quiet]
    )


def test_every_shape_is_one_that_exports_as_qwen3() -> None:
    from scratchlm.weights.families.known import family_of

    for layers, width in SHAPES:
        shape = shape_of(layers, width, 3072)
        assert isinstance(shape, DecoderConfig)
        assert family_of(shape).model_type == "qwen3"


def test_the_law_says_when_a_model_falls_below_the_ngram() -> None:
    longer = minutes_to_reach(1.90, 1.95, 2e6, 10_000)
    assert longer is not None
    assert 2e6 / 10_000 / 60 < longer < 60
    assert minutes_to_reach(0.5, 1.95, 2e6, 10_000) is None


def test_the_minutes_that_are_advised_are_more_than_those_that_did_not_do() -> None:
    trained = Phase("pretraining 0.5 million parameters", actual=151.0)
    result = QuickstartResult("out", "novels", 535_520, HeldOutLoss(1262.0, 300, 1000), 1.795, [trained], 0.0, 180.0)
    assert result.held_out.bits_per_byte > result.ngram_bits_per_byte
    for wanted in (result.held_out.bits_per_byte - 0.001, result.held_out.bits_per_byte - 0.02):
        minutes = minutes_to_ngram(dataclasses.replace(result, ngram_bits_per_byte=wanted), 5_000_000)
        assert minutes is not None
        assert minutes > 3
    assert minutes_to_ngram(dataclasses.replace(result, ngram_bits_per_byte=9.0), 5_000_000) is None


def test_questions_that_no_time_is_left_for_are_not_asked() -> None:
    all_questions, model = questions(), Parrot()
    answers = ask(model, all_questions, seconds=10.0, clock=Ticking(3.0))  # type: ignore[arg-type]
    assert TOGETHER / 2 < len(answers) == len(model.asked) < len(all_questions) / 2
    assert {answer.split for answer in answers} == {"held-in", "held-out"}  # a part of every kind
    assert len(ask(model, all_questions, seconds=0.0, clock=Ticking(3.0))) > 0  # type: ignore[arg-type]
    assert [a.question for a in ask(model, all_questions)] == [q.question for q in all_questions]  # type: ignore[arg-type]


def test_sentences_that_no_time_is_left_for_are_not_written() -> None:
    corpus = QuickstartText(["One day."], ["One day."], grammatical=True)
    _, reading = read_aloud(Parrot(), corpus, 0, seconds=40.0, clock=Ticking(1.0))  # type: ignore[arg-type]
    assert reading is not None
    assert 0 < reading.sentences < SENTENCES
    _, whole = read_aloud(Parrot(), corpus, 0)  # type: ignore[arg-type]
    assert whole is not None
    assert whole.sentences == SENTENCES


def test_a_sample_is_cut_at_its_deadline(tmp_path: Path) -> None:
    tokenizer = CharacterTokenizer.train(["abcdefgh"])
    decoder = random_decoder(toy_config("default", vocabulary_size=tokenizer.vocabulary_size))
    whole, cut = (
        WriteSample(tokenizer, tmp_path, every=1, seed=0, max_tokens=30, seconds=seconds, clock=Ticking(1.0))(
            1, decoder
        )
        for seconds in (1e9, 5.0)
    )
    assert whole.text.startswith(cut.text)
    assert len(cut.text) < len(whole.text)


def test_the_run_says_at_its_start_what_it_will_do() -> None:
    corpus = storyworld_corpus(30_000, 0)
    size = QuickstartSize(Speed(2, 64, 98_304, 30_720.0), "fp32", 100.0, 36, 180)
    told = size.sentence(0.5, corpus, 50.0)
    assert told.startswith("0.5 minutes: 2 layers of width 64 in fp32, about 1,000 steps of pretraining")
    assert "180 questions, 36 sentences" in told


def test_the_ending_is_kept_whatever_the_budget() -> None:
    assert [Clock(60 * minutes).ending for minutes in (0.1, 0.5, 3.0)] == pytest.approx([1.2, 3.0, 10.8])
    assert PRETRAIN_SHARE < 1.0


def test_minutes_become_numbers_that_fit_them() -> None:
    config = TrainingConfig(batch_size=16, sequence_length=256, evaluate_every=50, evaluation_tokens=65_536)
    fitted = fitted_to_minutes(config, 2.0, 0.5, 5.0)
    forward = 3 * 16 * 256 / 0.5
    looks = (1 + fitted.steps // fitted.evaluate_every) * fitted.evaluation_tokens / forward
    assert fitted.last_evaluation_tokens is not None
    assert 5.0 + 0.5 * fitted.steps + looks + fitted.last_evaluation_tokens / forward <= 120.0
    assert fitted.steps > 190
    assert fitted_to_minutes(config, 60.0, 0.5, 5.0).evaluation_tokens == 65_536


@pytest.mark.parametrize("minutes", [0.5, 2.0, 60.0, 600.0])
@pytest.mark.parametrize("save", [7, 200])
def test_in_minutes_every_look_falls_on_a_checkpoint(minutes: float, save: int) -> None:
    fitted = fitted_to_minutes(TrainingConfig(checkpoint_every=save), minutes, 0.5, 5.0)
    assert fitted.evaluate_every % fitted.checkpoint_every == 0
    assert fitted.steps // fitted.evaluate_every <= 15
    other = fitted_to_minutes(TrainingConfig(checkpoint_every=save, keep_best=False), minutes, 0.5, 5.0)
    assert other.checkpoint_every == save


def test_minutes_in_which_not_one_step_fits_are_refused() -> None:
    with pytest.raises(UserError, match=r"--minutes 0.2: a step takes about 62 s .* give --minutes 1\.\d or more"):
        fitted_to_minutes(TrainingConfig(), 0.2, 62.0, 0.5)


def test_a_deadline_takes_a_second_step_before_it_believes_a_probe() -> None:
    now = 0.0
    pace = Deadline(100.0, 1e6, clock=lambda: now)
    step = 0
    while step < pace(step):
        step += 1
        now += 1.0
    assert step == pytest.approx(100, abs=2)
