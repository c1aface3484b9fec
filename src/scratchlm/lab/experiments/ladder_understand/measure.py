"""`experiment ladder-understand`: questions on passages of fairy tales, from rules to a model taught to answer.

Stories are held out whole, and no paragraph that our model reads before it is taught holds eight words in a row of a
tested passage. The networks see what retrieval finds of a passage, as much as fits. Answers are free text: the score is
the F1 of shared words, beside the share that is right word for word. Questions on one passage stand or fall together,
so errors are those of passages. Each question is asked once more on the passage of another story: what answers as well
there has not read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import Comparison, comparison_of, standard_error
from scratchlm.classic.reading import Reader, Retrieval, by_overlap, by_rules, first_sentence
from scratchlm.classic.translator import build_translator, write_recurrent
from scratchlm.data.pairs import SourceTargetBatches
from scratchlm.evaluation.text_metrics import normalized_words, token_f1
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.experiments.ladder_understand.config import LadderUnderstandConfig
from scratchlm.lab.harness.methods import INIT, Column, Method, Rung, add_ladder, mark_of_init
from scratchlm.lab.harness.outcome import Claim, Outcome, Sample, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, asked, teach
from scratchlm.lab.shared.proportions import mean_of, share
from scratchlm.lab.shared.small_model import BOOKS, Ours, pieces_of_books, prepare_ours, write_texts
from scratchlm.model.presets import qwen3_shaped
from scratchlm.text.overlap import shared_paragraphs
from scratchlm.text.records import read_records
from scratchlm.tokens.base import PAD
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.weights.checkpoint import find_model, load_model

QUESTIONS = "instruct/fairytaleqa.jsonl"
EVIDENCE = 600
"""Characters of a passage that the networks see, at most."""
LONGEST = 24
"""Most tokens of an answer that is written."""
COLUMNS = (
    Column("f1", "F1 of words", ".3f", interval=True),
    Column("exact", "exact", ".1%", interval=True),
    Column("elsewhere", "F1 on another story's passage", ".3f", interval=True),
)


@dataclass(frozen=True)
class Item:
    """A question on a passage."""

    story: str
    passage: str
    question: str
    answer: str

    @property
    def explicit(self) -> bool:
        """Whether the answer stands in the passage, word for word."""
        return f" {' '.join(normalized_words(self.answer))} " in f" {' '.join(normalized_words(self.passage))} "


@dataclass(frozen=True)
class Questions:
    """Questions of both sides; no story stands on both."""

    train: list[Item]
    tested: list[Item]


Answer = Callable[[Sequence[Item]], list[str]]
Make = Callable[[], tuple[Answer, int]]
"""Learns; returns what answers, and the bytes of what was learned."""


def files(config: LadderUnderstandConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    found = {"questions": config.data_file(QUESTIONS), "books": config.data_file(BOOKS)}
    return found if config.init is None else {**found, INIT: find_model(config.init) / "files.json"}


def run(config: LadderUnderstandConfig, steps: Steps, outcome: Outcome) -> None:
    """Climb the ladder."""
    if config.init is not None and load_model(find_model(config.init)).template is None:
        raise UserError(
            f"--init {config.init}: has learned no conversations, so it cannot be asked; name another model"
        )
    items = read_items(config.data_file(QUESTIONS), config.questions, config.tested)
    ours = _ours(config, steps, items.tested, outcome)
    rungs = methods(config, items, ours, mark_of_init(outcome))
    found = {method.key: steps.once(f"rung-{method.step}", partial(_measure, method, items.tested)) for method in rungs}
    passages = [item.passage for item in items.tested]
    each = {key: np.array(result["f1"]) for key, result in found.items()}

    def compare(below: Rung, above: Rung) -> Comparison:
        gaps = each[above.key] - each[below.key]
        return comparison_of(float(gaps.mean()), standard_error(gaps, passages))

    climbed = [_rung(method, found[method.key], passages) for method in rungs]
    stories = len({item.story for item in items.tested})
    title = f"{len(items.tested):,} questions on {len(set(passages)):,} passages of {stories} stories"
    add_ladder(outcome, title, climbed, COLUMNS, compare)
    _by_kind(outcome, items.tested, each, climbed)
    claim(outcome, {rung.key: rung for rung in climbed}, compare)
    claim_reading(outcome, each["pretrained"], np.array(found["pretrained"]["elsewhere"]), passages)
    ours.tell(outcome)
    outcome.notes += [
        f"{len(items.train):,} questions on other stories were learned from, {config.epochs:g} times",
        "the data set holds one answer to each question here: another way to say the same scores less, for people too",
        "one seed of each network",
    ]
    for number in range(0, len(items.tested), max(1, len(items.tested) // 4)):
        item = items.tested[number]
        lines = [f"{method.name}: {found[method.key]['given'][number]}" for method in rungs]
        outcome.samples.append(Sample(f"{item.question} (expected: {item.answer})", "\n".join(lines)))


def methods(config: LadderUnderstandConfig, items: Questions, ours: Ours, mark: str = "") -> list[Method[Make]]:
    """Return the rungs, the oldest first."""
    retrieval = Retrieval({item.passage for item in items.train})

    def reading(reader: Reader, size: int = 0) -> Make:
        return lambda: (lambda items: [reader(item.passage, item.question) for item in items], size)

    found: list[Method[Make]] = [
        Method("first", "the first sentence", reading(first_sentence)),
        Method("overlap", "the sentence of most shared words", reading(by_overlap)),
        Method("rules", "rules of question words", reading(by_rules)),
        Method("tfidf", "TF-IDF retrieval of a sentence", partial(_retrieving, items)),
        Method(
            "recurrent", "recurrent with attention, from nothing", partial(_recurrent, config, items, ours, retrieval)
        ),
        Method("random", "our model, from random weights", partial(_taught, config, items, ours, retrieval, False)),
        Method("pretrained", "our model, pretrained", partial(_taught, config, items, ours, retrieval, True)),
    ]
    if config.init is not None:
        found.append(
            Method("asked", "a published model, only asked", partial(_published, config.init, retrieval), mark)
        )
    return found


def read_items(path: Path, most: int, tested: int) -> Questions:
    """Read questions. Raises `UserError` with a row that lacks a column, and where a side has none."""
    sides: dict[str, list[Item]] = {"train": [], "test": []}
    for record in read_records(path):
        missing = [name for name in ("split", "story", "context", "question", "answer") if name not in record.values]
        if missing:
            raise UserError(f"{record.place}: has no {', '.join(missing)}; notes/data.md tells what belongs there")
        values = {name: str(value) for name, value in record.values.items()}
        if values["split"] in sides:
            item = Item(values["story"], values["context"], values["question"], values["answer"])
            sides[values["split"]].append(item)
    learned = {item.story for item in sides["train"]}
    sides["test"] = [item for item in sides["test"] if item.story not in learned]
    if not all(sides.values()):
        raise UserError(f"{path}: holds no questions of the splits train and test, or no story of its own for the test")
    draw = np.random.default_rng(0)
    chosen = {
        side: [items[at] for at in np.sort(draw.permutation(len(items))[:count])]
        for (side, items), count in zip(sides.items(), (most, tested), strict=True)
    }
    return Questions(chosen["train"], chosen["test"])


def _ours(config: LadderUnderstandConfig, steps: Steps, tested: Sequence[Item], outcome: Outcome) -> Ours:
    """Pretrain on books without what they share with the passages that are tested."""

    def clean() -> dict[str, int]:
        size = 5 * config.pretraining_steps * 4096 + 2_000_000
        kept, removed = [], 0
        for text in pieces_of_books(config.data_file(BOOKS), size):
            paragraphs = text.split("\n\n")
            shared = shared_paragraphs(paragraphs, [item.passage for item in tested])
            removed += sum(shared)
            kept.append("\n\n".join(p for p, gone in zip(paragraphs, shared, strict=True) if not gone))
        write_texts(steps.file("clean.jsonl"), [text for text in kept if text.strip()])
        return {"removed": removed}

    removed = steps.once("clean", clean)["removed"]
    outcome.values["removed_paragraphs"] = Value(removed)
    outcome.notes.append(f"{removed:,} paragraphs of books share eight words in a row with a tested passage; left out")
    source = steps.folder / "clean.jsonl"
    return prepare_ours(source, config.vocabulary_size, config.pretraining_steps, config.seed, steps)


def _text(item: Item, retrieval: Retrieval) -> str:
    """Return what a network is asked: the likest part of the passage, then the question."""
    return f"{retrieval.evidence(item.passage, item.question, EVIDENCE)}\n{item.question}"


def _retrieving(items: Questions) -> tuple[Answer, int]:
    """Learn how rare words are, and answer by the likest sentence."""
    retrieval = Retrieval({item.passage for item in items.train})
    return (lambda tested: [retrieval.answer(item.passage, item.question) for item in tested]), retrieval.size()


def _taught(
    config: LadderUnderstandConfig, items: Questions, ours: Ours, retrieval: Retrieval, pretrained: bool
) -> tuple[Answer, int]:
    """Teach our model the answers."""
    model = ours.pretrained() if pretrained else ours.random()
    taught = teach(
        model,
        [asked(_text(item, retrieval), item.answer) for item in items.train],
        epochs=config.epochs,
        seed=config.seed,
    )
    return partial(_answered, taught, retrieval), 4 * model.decoder.parameter_count()


def _answered(model: LanguageModel, retrieval: Retrieval, items: Sequence[Item]) -> list[str]:
    return answers(model, [_text(item, retrieval) for item in items], LONGEST)


def _published(init: Path, retrieval: Retrieval) -> tuple[Answer, int]:
    """Ask a published model in words."""
    model = LanguageModel(load_model(find_model(init)))

    def answer(items: Sequence[Item]) -> list[str]:
        return answers(model, [f"{_text(item, retrieval)} Answer in a few words." for item in items], LONGEST)

    return answer, 4 * model.decoder.parameter_count()


def _recurrent(
    config: LadderUnderstandConfig, items: Questions, ours: Ours, retrieval: Retrieval
) -> tuple[Answer, int]:
    """Train a recurrent network with attention to write the answer after it read evidence and question."""
    tokenizer = ours.tokenizer
    end, pad = tokenizer.end_of_text, tokenizer.specials[PAD]
    assert end is not None
    rows = [(tokenizer.encode(_text(item, retrieval)), tokenizer.encode(item.answer)) for item in items.train]
    shape = replace(
        qwen3_shaped(tokenizer.vocabulary_size, width=ours.shape.width, layers=1, context=512), init_std=0.05
    )
    model = build_translator(replace(shape, dropout=0.1), attention=True, seed=config.seed)
    steps = max(1, round(config.epochs * len(rows) / 32))
    schedule = ScheduleConfig("linear", warmup_steps=50)
    training = TrainingConfig(
        steps=steps, optimizer=AdamWConfig(learning_rate=3e-3, weight_decay=0.01), schedule=schedule
    )
    fit(
        Loop(
            model,
            SourceTargetBatches(rows, 32, config.seed, end, pad),
            training,
            runtime=RuntimeConfig(seed=config.seed),
        )
    )

    def answer(tested: Sequence[Item]) -> list[str]:
        sources = [tokenizer.encode(_text(item, retrieval)) for item in tested]
        return [tokenizer.decode(ids).strip() for ids in write_recurrent(model, sources, end, LONGEST)]

    return answer, 4 * model.parameter_count()


def _measure(method: Method[Make], tested: Sequence[Item]) -> dict[str, Any]:
    """Learn, answer, score each answer; answer once more on passages of other stories."""
    started = time.perf_counter()
    answer, size = method.make()
    trained = time.perf_counter()
    given = answer(tested)
    ended = time.perf_counter()
    pairs = [(text, item.answer) for text, item in zip(given, tested, strict=True)]
    elsewhere = zip(answer(on_other_passages(tested)), tested, strict=True)
    return {
        "given": given,
        "f1": [round(token_f1(*pair), 9) for pair in pairs],
        "elsewhere": [round(token_f1(text, item.answer), 9) for text, item in elsewhere],
        "exact": [float(normalized_words(text) == normalized_words(wanted)) for text, wanted in pairs],
        "train_seconds": trained - started,
        "item_microseconds": 1e6 * (ended - trained) / len(tested),
        "megabytes": size / 1e6,
    }


def on_other_passages(items: Sequence[Item]) -> list[Item]:
    """Return the questions, each on the passage of the next question that is of another story."""
    found = []
    for at, item in enumerate(items):
        later = (items[(at + step) % len(items)] for step in range(1, len(items)))
        other = next((each for each in later if each.story != item.story), item)
        found.append(replace(item, passage=other.passage))
    return found


def _rung(method: Method[Make], found: dict[str, Any], passages: Sequence[str]) -> Rung:
    scores = {"f1": mean_of(found["f1"], passages), "exact": share(found["exact"], passages)}
    scores["elsewhere"] = mean_of(found["elsewhere"], passages)
    return Rung(method.key, method.name, scores, found["train_seconds"], found["item_microseconds"], found["megabytes"])


def _by_kind(outcome: Outcome, tested: Sequence[Item], each: dict[str, np.ndarray], rungs: Sequence[Rung]) -> None:
    """Tell apart what stands in the passage word for word and what must be put together."""
    explicit = np.array([item.explicit for item in tested])
    kinds = {name: chosen for name, chosen in (("explicit", explicit), ("implicit", ~explicit)) if chosen.any()}
    rows = []
    for rung in rungs:
        values = {}
        for name, chosen in kinds.items():
            of_kind = [item.passage for item, inside in zip(tested, chosen, strict=True) if inside]
            values[name] = outcome.values[f"{rung.key}.f1.{name}"] = mean_of(each[rung.key][chosen], of_kind)
        rows.append([rung.name, *(value.shown() for value in values.values())])
    shown = {"explicit": "stands in the passage", "implicit": "does not"}
    header = ["", *(f"{shown[name]}, {chosen.sum():,}" for name, chosen in kinds.items())]
    outcome.tables.append(Table("F1 by whether the expected answer stands in the passage", header, rows))


def claim(outcome: Outcome, by: dict[str, Rung], compare: Callable[[Rung, Rung], Comparison]) -> None:
    """Judge what the notes say by these numbers."""
    for key, above, below, says in (
        ("overlap-beats-first", "overlap", "first", "Shared words find a better sentence than the first one"),
        ("rules-help", "rules", "overlap", "Rules of question words answer better than the sentence they look into"),
        ("pretraining-helps", "pretrained", "random", "Pretraining helps a model that is taught to answer"),
        ("taught-beats-rules", "pretrained", "rules", "Our model, pretrained and taught, beats the rules"),
        ("taught-beats-retrieval", "pretrained", "tfidf", "and beats retrieval of a sentence"),
        ("rules-beat-taught", "rules", "pretrained", "Rules beat our model, pretrained and taught"),
        ("asked-beats-taught", "asked", "pretrained", "A published model, only asked, beats our model that was taught"),
        ("asked-beats-rules", "asked", "rules", "and beats the rules"),
    ):
        if above not in by:  # no published model was named
            continue
        outcome.claims[key] = Claim(says, compare(by[below], by[above]).interval.low > 0)
    best = max(rung.scores["exact"].value for rung in by.values())
    outcome.values["best_exact"] = Value(best)
    outcome.claims["half-stay-unanswered"] = Claim(
        "No rung gives half of the expected answers word for word", best < 0.5
    )


def claim_reading(outcome: Outcome, own: np.ndarray, elsewhere: np.ndarray, passages: Sequence[str]) -> None:
    """Tell whether what our taught model answers comes from the passage."""
    gap = outcome.values["pretrained.reading"] = mean_of(own - elsewhere, passages)
    says = "Our taught model answers better on a question's own passage than on that of another story"
    outcome.claims["taught-reads"] = Claim(says, gap.low is not None and gap.low > 0)
