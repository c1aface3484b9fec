"""`experiment compare-reading`: question answering on passages of fairy tales, from rules to a fine-tuned model.

Whole stories are held out, and pretraining excludes paragraphs that share eight consecutive words with a test passage.
The networks read the sentences of a passage that retrieval selects, as many as fit. Answers are free text, scored by
the F1 of shared words and by exact match. Errors are clustered by passage. Each question is also asked on a passage of
another story: a method that scores as high there does not use the passage (the wrong-passage baseline).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.classic.reading import Reader, Retrieval, by_overlap, by_rules, first_sentence, sentences
from scratchlm.classic.translator import build_translator, write_recurrent
from scratchlm.evaluation.text_metrics import normalized_words, token_f1
from scratchlm.generation.language_model import LanguageModel
from scratchlm.lab.experiments.config import CompareReadingConfig
from scratchlm.lab.harness.findings import Findings
from scratchlm.lab.harness.methods import Column, Method, add_comparison, add_groups, claim_gains, clocked, paired_by
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import Values
from scratchlm.lab.shared.fine_tuned import answers, conversation_of, fine_tune
from scratchlm.lab.shared.networks import fit_pairs
from scratchlm.lab.shared.proportions import mean_of, proportion
from scratchlm.lab.shared.small_model import SmallModel, pieces_of_books, prepare_small_model, write_texts
from scratchlm.model.presets import qwen3_shaped
from scratchlm.text.overlap import shared_paragraphs
from scratchlm.text.records import read_records
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model

EVIDENCE = 600
"""Characters of a passage that the networks read, at most."""
PARTS = ("split", "story", "context", "question", "answer")
"""Columns of the file of questions; all but the first make an item."""
LONGEST, ROWS = 24, 16
"""Most tokens of a generated answer, and rows of a batch of fine-tuning: a row holds one question with its passage."""
COLUMNS = (
    Column("f1", "word F1", ".3f", interval=True),
    Column("exact", "exact match", ".1%", interval=True),
    Column("elsewhere", "word F1, wrong passage", ".3f", interval=True),
)
CLAIMS = (
    ("overlap-beats-first", "overlap", "first"),
    ("overlap-beats-longest", "overlap", "longest"),
    ("rules-help", "rules", "overlap"),
    ("rules-choose", "rules", "cut"),
    ("pretraining-helps", "pretrained", "random"),
    ("pretraining-is-no-mere-training", "pretrained", "longer"),
    ("taught-beats-rules", "pretrained", "evidence"),
    ("taught-beats-retrieval", "pretrained", "tfidf"),
    ("rules-beat-taught", "rules", "pretrained"),
    ("asked-beats-taught", "asked", "pretrained"),
    ("asked-beats-rules", "asked", "evidence"),
)  # fmt: skip
"""Claims that the first of two methods scores higher than the second."""


@dataclass(frozen=True)
class PassageQuestion:
    """A question on a passage."""

    story: str
    passage: str
    question: str
    answer: str

    @property
    def explicit(self) -> bool:
        """Whether the answer occurs in the passage, word for word."""
        return f" {' '.join(normalized_words(self.answer))} " in f" {' '.join(normalized_words(self.passage))} "


class Questions(NamedTuple):
    """Training and test questions, on different stories."""

    train: list[PassageQuestion]
    tested: list[PassageQuestion]


Answer = Callable[[Sequence[PassageQuestion]], list[str]]
Make = Callable[[], tuple[Answer, int]]
"""Function that trains a method; returns a function from items to answers, and the size in bytes."""


def run(config: CompareReadingConfig, steps: Steps, out: Findings) -> None:
    """Run and compare all methods."""
    if config.init is not None and load_model(find_model(config.init)).template is None:
        raise UserError(f"--init {config.init}: has no chat template, so it cannot be asked; name a chat model")
    items = read_items(config.files()["questions"], config.questions, config.tested)
    small = _small_model(config, steps, items.tested, out)
    chosen = methods(config, items, small, out.init_hash)
    results_of = {m.key: m.steps(steps).once(f"method-{m.step}", _measure, m, items.tested) for m in chosen}
    passages = [item.passage for item in items.tested]
    each = {key: np.array(result["f1"]) for key, result in results_of.items()}
    compare = paired_by(each, passages)
    kinds = {"f1": mean_of, "exact": proportion, "elsewhere": mean_of}
    results = []
    for method in chosen:
        measured = results_of[method.key]
        results.append(method.result({key: of(measured[key], passages) for key, of in kinds.items()}, measured))
    stories = len({item.story for item in items.tested})
    title = f"{len(items.tested):,} questions on {len(set(passages)):,} passages of {stories} stories"
    add_comparison(out, title, results, COLUMNS, compare)
    explicit = np.array([item.explicit for item in items.tested])
    groups = {"explicit": ("answer in the passage", explicit), "implicit": ("answer not in it", ~explicit)}

    def mean(key: str, inside: np.ndarray) -> Value:
        return mean_of(each[key][inside], [passages[at] for at in np.flatnonzero(inside)])

    title = "Word F1 by whether the expected answer occurs in the passage"
    add_groups(out, title, "f1", results, groups, mean)
    claim_gains(out, {result.key: result for result in results}, compare, CLAIMS)
    claim_exact(out, [method.key for method in chosen])
    claim_reading(out, each["pretrained"], np.array(results_of["pretrained"]["elsewhere"]), passages)
    small.report(out)
    out.notes += [
        f"{len(items.train):,} training questions on other stories, {config.epochs:g} epochs",
        "each question has one reference answer, so a correct paraphrase scores less",
    ]
    for number in range(0, len(items.tested), max(1, len(items.tested) // 4)):
        item = items.tested[number]
        answers = {method.name: results_of[method.key]["given"][number] for method in chosen}
        out.samples.append(TextSample.asked(item.question, answers, item.answer))


def methods(
    config: CompareReadingConfig, items: Questions, small: SmallModel, hash_prefix: str = ""
) -> list[Method[Make]]:
    """Return the methods, the oldest first."""
    retrieval = Retrieval({item.passage for item in items.train})

    def reading(reader: Reader) -> Make:
        return lambda: (lambda items: [reader(item.passage, item.question) for item in items], 0)

    def fine_tuned(make: Callable[[], SavedModel], times: float = 1.0) -> Make:
        return partial(_fine_tuned, make, config, items.train, retrieval, times)

    def on_evidence(passage: str, question: str) -> str:
        return by_rules(retrieval.evidence(passage, question, EVIDENCE), question)

    recurrent = partial(_recurrent, config, items.train, small, retrieval)
    every: list[Method[Make]] = [
        Method("first", "first sentence", reading(first_sentence)),
        Method("longest", "longest sentence", reading(longest_sentence)),
        Method("overlap", "sentence with most shared words", reading(by_overlap)),
        Method("cut", "a random stretch of what the rules read, as long as their answer", reading(random_part)),
        Method("rules", "question-word rules", reading(by_rules)),
        Method("evidence", "question-word rules, on the shorter text that networks read", reading(on_evidence)),
        Method("tfidf", "TF-IDF sentence retrieval", partial(_retrieving, items.train)),
        Method("recurrent", "recurrent with attention, from random weights", recurrent, seeded=True),
        Method("random", "small model, from random weights", fine_tuned(small.random), seeded=True),
        Method(
            "longer", "small model, from random weights, twice the epochs", fine_tuned(small.random, 2.0), seeded=True
        ),
        Method("pretrained", "small model, pretrained", fine_tuned(small.pretrained), seeded=True),
    ]
    if config.init is not None:
        asked = partial(_published, config.init, retrieval)
        every.append(Method("asked", "published model, zero-shot", asked, hash_prefix))
    return every


def longest_sentence(passage: str, question: str) -> str:
    """Return the longest sentence, whatever the question."""
    return max(sentences(passage), key=len)


def random_part(passage: str, question: str) -> str:
    """Return as many words as the rules answer with, from a random place of the sentences that they extract from.

    These are the sentence that shares most words with the question, and the next one if the answer is not within it.
    """
    best, candidates, answer = by_overlap(passage, question), sentences(passage), by_rules(passage, question)
    place = candidates.index(best)
    words, wanted = " ".join(candidates[place : place + (1 if answer in best else 2)]).split(), len(answer.split())
    start = random.Random(f"{question}\n{passage}").randint(0, max(0, len(words) - wanted))
    return " ".join(words[start : start + wanted])


def read_items(path: Path, most: int, tested: int) -> Questions:
    """Read questions. Raises `UserError` with a row that lacks a column, and for an empty split."""
    sides: dict[str, list[PassageQuestion]] = {"train": [], "test": []}
    for record in read_records(path):
        missing = [name for name in PARTS if name not in record.values]
        if missing:
            raise UserError(f"{record.place}: has no {', '.join(missing)}; notes/data.md describes the file")
        split, *values = (str(record.values[name]) for name in PARTS)
        if split in sides:
            sides[split].append(PassageQuestion(*values))
    learned = {item.story for item in sides["train"]}
    sides["test"] = [item for item in sides["test"] if item.story not in learned]
    if not all(sides.values()):
        problem = "holds no questions of the splits train and test, or no test story that is not in train"
        raise UserError(f"{path}: {problem}")
    draw = np.random.default_rng(0)
    counts = {"train": most, "test": tested}
    places = {side: np.sort(draw.permutation(len(items))[: counts[side]]) for side, items in sides.items()}
    return Questions(*([sides[side][at] for at in chosen] for side, chosen in places.items()))


def _small_model(
    config: CompareReadingConfig, steps: Steps, tested: Sequence[PassageQuestion], out: Findings
) -> SmallModel:
    """Pretrain on books without the paragraphs that overlap a test passage."""

    def clean() -> dict[str, int]:
        size = 5 * config.pretraining_steps * 4096 + 2_000_000
        kept, removed = [], 0
        for text in pieces_of_books(config.books, size):
            paragraphs = text.split("\n\n")
            shared = shared_paragraphs(paragraphs, [item.passage for item in tested])
            removed += sum(shared)
            kept.append("\n\n".join(p for p, gone in zip(paragraphs, shared, strict=True) if not gone))
        write_texts(steps.shared.file("clean.jsonl"), [text for text in kept if text.strip()])
        return {"removed": removed}

    removed = steps.shared.once("clean", clean)["removed"]
    out.values["removed_paragraphs"] = Value(removed)
    out.notes.append(f"{removed:,} paragraphs of books share eight consecutive words with a test passage; left out")
    source = steps.shared.folder / "clean.jsonl"
    return prepare_small_model(source, config.vocabulary_size, config.pretraining_steps, config.seed, steps)


def text_of(item: PassageQuestion, retrieval: Retrieval) -> str:
    """Return the input of a network: the most similar part of the passage, then the question."""
    return f"{retrieval.evidence(item.passage, item.question, EVIDENCE)}\n{item.question}"


def _retrieving(train: Sequence[PassageQuestion]) -> tuple[Answer, int]:
    """Count document frequencies, and answer with the most similar sentence."""
    retrieval = Retrieval({item.passage for item in train})
    return (lambda tested: [retrieval.answer(item.passage, item.question) for item in tested]), retrieval.size()


def _fine_tuned(
    make: Callable[[], SavedModel],
    config: CompareReadingConfig,
    train: Sequence[PassageQuestion],
    retrieval: Retrieval,
    times: float,
) -> tuple[Answer, int]:
    """Fine-tune the small model on the answers, for `times` the epochs."""
    shown = [conversation_of(text_of(item, retrieval), item.answer) for item in train]
    model = fine_tune(make(), shown, epochs=times * config.epochs, seed=config.seed, rows=ROWS)
    return partial(_answered, model, retrieval), 4 * model.decoder.parameter_count()


def _answered(
    model: LanguageModel, retrieval: Retrieval, items: Sequence[PassageQuestion], asks: str = ""
) -> list[str]:
    return answers(model, [f"{text_of(item, retrieval)}{asks}" for item in items], LONGEST)


def _published(init: Path, retrieval: Retrieval) -> tuple[Answer, int]:
    """Ask a published chat model zero-shot."""
    model = LanguageModel(load_model(find_model(init)))
    answer = partial(_answered, model, retrieval, asks=" Answer in a few words.")
    return answer, 4 * model.decoder.parameter_count()


def _recurrent(
    config: CompareReadingConfig, train: Sequence[PassageQuestion], small: SmallModel, retrieval: Retrieval
) -> tuple[Answer, int]:
    """Train a recurrent network with attention to generate the answer from evidence and question."""
    tokenizer = small.tokenizer
    end = tokenizer.end_of_text
    assert end is not None
    rows = [(tokenizer.encode(text_of(item, retrieval)), tokenizer.encode(item.answer)) for item in train]
    shape = qwen3_shaped(tokenizer.vocabulary_size, width=small.shape.width, layers=1, context=512)
    model = build_translator(replace(shape, init_std=0.05, dropout=0.1), attention=True, seed=config.seed)
    fit_pairs(model, rows, tokenizer, 32, config.epochs, config.seed)

    def answer(tested: Sequence[PassageQuestion]) -> list[str]:
        sources = [tokenizer.encode(text_of(item, retrieval)) for item in tested]
        return [tokenizer.decode(ids).strip() for ids in write_recurrent(model, sources, end, LONGEST)]

    return answer, 4 * model.parameter_count()


def _measure(method: Method[Make], tested: Sequence[PassageQuestion]) -> dict[str, Any]:
    """Train a method, score its answers, and score its answers on passages of other stories."""
    (answer, _), texts, costs = clocked(method.make, lambda made: made[0](tested), lambda made: made[1])
    wanted = [item.answer for item in tested]
    pairs = list(zip(texts, wanted, strict=True))
    elsewhere = zip(answer(on_other_passages(tested)), wanted, strict=True)
    return {
        "given": texts,
        "f1": [round(token_f1(*pair), 9) for pair in pairs],
        "elsewhere": [round(token_f1(*pair), 9) for pair in elsewhere],
        "exact": [float(normalized_words(text) == normalized_words(right)) for text, right in pairs],
        **costs,
    }


def on_other_passages(items: Sequence[PassageQuestion]) -> list[PassageQuestion]:
    """Return each question with the passage of the next question on another story."""
    answers = []
    for at, item in enumerate(items):
        other = next((each for each in (*items[at:], *items[:at]) if each.story != item.story), item)
        answers.append(replace(item, passage=other.passage))
    return answers


def claim_exact(out: Findings, keys: Sequence[str]) -> None:
    """Add the claim about exact matches: the proportion of the best method."""

    def best(values: Values) -> Value:
        return max((values[f"{key}.exact"] for key in keys), key=lambda value: value.value)

    out.derive("best_exact", best)
    out.claim("half-stay-unanswered")


def claim_reading(out: Findings, own: np.ndarray, elsewhere: np.ndarray, passages: Sequence[str]) -> None:
    """Add the claim that the fine-tuned small model uses the passage."""
    out.values["pretrained.reading"] = mean_of(own - elsewhere, passages)
    out.claim("taught-reads")
