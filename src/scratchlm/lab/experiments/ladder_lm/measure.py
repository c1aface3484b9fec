"""`experiment ladder-lm`: the same text, predicted by counting and by networks; and grammar and samples of each.

All models share one tokenizer and learn from the same tokens, the beginnings of many books; other books are held out,
and models are compared by the book. Networks see windows of 256 tokens, each from an empty start; the n-gram models see
what stands before a token, across windows. Bits per byte count the tokens that end documents.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import Comparison, comparison_of, standard_error
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.recurrent import build_recurrent
from scratchlm.classic.smoothing import AddK, Katz
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.evaluation.pairs import Pair, read_pairs
from scratchlm.lab.experiments.ladder_lm.config import LadderLmConfig
from scratchlm.lab.harness.methods import Column, Method, Rung, add_ladder
from scratchlm.lab.harness.outcome import Claim, Outcome, Sample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText, book_text
from scratchlm.lab.shared.predictors import Counted, Network, Predictor
from scratchlm.lab.shared.small_model import BOOKS
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.model.network import CausalNetwork
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

BLIMP = "evaluate/blimp"
OPENING = "It was a "
COLUMNS = (
    Column("bits_per_byte", "bits per byte", interval=True),
    Column("blimp", "BLiMP", ".1%", interval=True),
)
Make = Callable[[BookText], Predictor]


def files(config: LadderLmConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    return {"books": config.data_file(BOOKS), "blimp": config.data_file(BLIMP)}


def methods(config: LadderLmConfig) -> list[Method[Make]]:
    """Return the rungs, the oldest first."""

    def counting(kind: Any, order: int, **named: float) -> Make:
        def make(text: BookText) -> Predictor:
            return Counted(kind.fit(text.documents(text.train), text.tokenizer.vocabulary_size, order, **named), text)

        return make

    return [
        Method("unigram", "each token by itself", counting(AddK, 1, k=0.1)),
        Method("bigram", "pairs, add-k", counting(AddK, 2, k=0.01)),
        Method("katz", "triples, Katz's back-off", counting(Katz, 3)),
        Method("kneser3", "triples, Kneser-Ney", counting(KneserNey, 3)),
        Method("kneser5", "fives, Kneser-Ney", counting(KneserNey, 5)),
        Method("lstm", "recurrent network (LSTM)", partial(_recurrent, config)),
        Method("transformer", "transformer", partial(_transformer, config)),
    ]


def run(config: LadderLmConfig, steps: Steps, outcome: Outcome) -> None:
    """Climb the ladder."""
    size = int(config.megabytes * 1e6)
    text = book_text(config.data_file(BOOKS), size, config.vocabulary_size, steps)
    sets = {file.stem: read_pairs(file)[: config.pairs] for file in sorted(config.data_file(BLIMP).glob("*.jsonl"))}
    if not sets or not all(sets.values()):
        raise UserError(f"{config.data_file(BLIMP)}: holds no sets of pairs, or an empty one; see notes/data.md")
    found = {m.key: steps.once(m.key, partial(_measure, m, text, sets, config)) for m in methods(config)}
    blocks = {key: np.array(each["block_nats"]) for key, each in found.items()}
    books = found["unigram"]["block_book"]
    scale = len(books) / math.log(2) / text.held_out_bytes  # nats a block to bits a byte
    rungs = [_rung(method, found[method.key], scale) for method in methods(config)]

    def compare(below: Rung, above: Rung) -> Comparison:
        gaps = scale * (blocks[above.key] - blocks[below.key])
        return comparison_of(float(gaps.mean()), standard_error(gaps, books))

    outcome.values["training_tokens"] = Value(len(text.train))
    outcome.values["held_out_bytes"] = Value(text.held_out_bytes)
    title = f"{len(text.train):,} tokens of books learned from, {text.held_out_bytes:,} bytes of other books held out"
    outcome.values["held_out_books"] = Value(len(set(books)))
    outcome.notes += [
        f"{len(set(books))} books are held out, and errors are those of books: stretches of one book vary together",
        "one seed of each network; the LSTM is stepped by AdamW, the transformer by Muon, as its recipe says",
        "the networks begin each window of 256 tokens from nothing; counted models see what stands before it",
    ]
    add_ladder(outcome, title, rungs, COLUMNS, compare)
    outcome.samples = [Sample(m.name, OPENING + found[m.key]["sample"]) for m in methods(config)]
    claim(outcome, rungs, compare)


def claim(outcome: Outcome, rungs: list[Rung], compare: Callable[[Rung, Rung], Comparison]) -> None:
    """Judge what the notes say by these numbers."""
    by = {rung.key: rung for rung in rungs}

    def better(first: str, second: str, key: str, says: str) -> None:
        high = compare(by[second], by[first]).interval.high
        outcome.claims[key] = Claim(says, high < 0)

    better("kneser3", "katz", "kneser-ney-beats-katz", "Kneser-Ney beats Katz's back-off on the same counts")
    better("kneser5", "unigram", "context-helps", "Four tokens of context predict better than none")
    better("lstm", "kneser5", "recurrent-beats-counting", "An LSTM predicts better than counted fives")
    better("transformer", "lstm", "transformer-beats-recurrent", "A transformer predicts better than an LSTM")
    better("transformer", "kneser5", "transformer-beats-counting", "A transformer predicts better than counted fives")
    grammar = {key: rung.scores["blimp"] for key, rung in by.items()}
    high = grammar["kneser5"].high
    low = grammar["transformer"].low
    outcome.claims["grammar"] = Claim(
        "and knows more grammar: their intervals on BLiMP lie apart",
        high is not None and low is not None and low > high,
    )


def _recurrent(config: LadderLmConfig, text: BookText) -> Network:
    width = config.recurrent_width
    shape = DecoderConfig(text.tokenizer.vocabulary_size, width=width, layers=2, context=256, init_std=0.1, dropout=0.0)
    optimizer = AdamWConfig(learning_rate=4e-3, weight_decay=0.05)
    return _trained(config, text, build_recurrent(shape, "lstm", config.seed), TrainingConfig(optimizer=optimizer))


def _transformer(config: LadderLmConfig, text: BookText) -> Network:
    shape, training = at_depth(config.depth)
    shape = replace(shape, vocabulary_size=text.tokenizer.vocabulary_size)
    return _trained(config, text, build_decoder(shape, config.seed), training)


def _trained(config: LadderLmConfig, text: BookText, decoder: CausalNetwork, training: TrainingConfig) -> Network:
    """Read the text `epochs` times."""
    tokens = len(text.train)
    length = min(training.sequence_length, tokens // 4)
    steps = max(1, math.ceil(config.epochs * tokens / (training.batch_size * length)))
    schedule = ScheduleConfig(warmup_steps=20)
    training = replace(training, steps=steps, sequence_length=length, schedule=schedule)
    batches = WindowBatches(ArrayTokens(text.train), training.batch_size, length, config.seed)
    fit(Loop(decoder, batches, training, runtime=RuntimeConfig(seed=config.seed)))
    return Network(decoder, text)


def _measure(
    method: Method[Make], text: BookText, sets: dict[str, list[Pair]], config: LadderLmConfig
) -> dict[str, Any]:
    """Learn, predict the held-out text, judge the pairs, write a sample."""
    started = time.perf_counter()
    model = method.make(text)
    trained = time.perf_counter()
    nats = model.nats()
    ended = time.perf_counter()
    judged = {name: [_judge(*scores) for scores in _pair_scores(model, pairs)] for name, pairs in sets.items()}
    written = model.write(OPENING.rstrip(), config.sample_tokens, config.seed)
    return {
        **text.blocks(nats),
        "train_seconds": trained - started,
        "item_microseconds": 1e6 * (ended - trained) / len(nats),
        "megabytes": model.size() / 1e6,
        "blimp": judged,
        "sample": " ".join(text.tokenizer.decode([id for id in written if id != text.end]).split()),
    }


def _pair_scores(model: Predictor, pairs: list[Pair]) -> np.ndarray:
    """Return the log-likelihoods of good and bad sentences, shape (pairs, 2)."""
    sentences = [sentence for pair in pairs for sentence in (pair.good, pair.bad)]
    return np.array(model.log_likelihoods(sentences)).reshape(-1, 2)


def _judge(good: float, bad: float) -> float:
    """Return 1 where the good sentence is likelier, one half for a tie."""
    return 0.5 if good == bad else float(good > bad)


def _rung(method: Method[Make], found: dict[str, Any], scale: float) -> Rung:
    blocks = np.array(found["block_nats"]) * scale
    mean, half = float(blocks.mean()), 1.96 * standard_error(blocks, found["block_book"])
    sets = [np.array(values) for values in found["blimp"].values()]
    accuracy = float(np.mean([values.mean() for values in sets]))
    error = math.sqrt(sum(values.var(ddof=1) / len(values) for values in sets if len(values) > 1)) / len(sets)
    scores = {
        "bits_per_byte": Value(mean, mean - half, mean + half) if math.isfinite(half) else Value(mean),
        "blimp": Value(accuracy, accuracy - 1.96 * error, accuracy + 1.96 * error),
    }
    clocks = {key: found[key] for key in ("train_seconds", "item_microseconds", "megabytes")}
    return Rung(method.key, method.name, scores, **clocks)
