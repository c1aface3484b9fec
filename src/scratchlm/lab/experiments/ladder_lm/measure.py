"""`experiment ladder-lm`: n-gram models and networks predict the same text; with grammar scores and samples.

All models share one tokenizer and the same training tokens, the beginnings of many books. Other books are held out, and
models are compared book by book. Networks read windows of 256 tokens, each from an empty context. The n-gram models
read across windows. Bits per byte include the end-of-text tokens.
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
from scratchlm.lab.harness.methods import Column, Method, MethodResult, add_comparison
from scratchlm.lab.harness.outcome import Claim, Outcome, Sample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText, book_text
from scratchlm.lab.shared.predictors import Counted, Network, Predictor
from scratchlm.lab.shared.small_model import BOOKS
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.model.network import CausalLM
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
    """Return the input files."""
    return {"books": config.data_file(BOOKS), "blimp": config.data_file(BLIMP)}


def methods(config: LadderLmConfig) -> list[Method[Make]]:
    """Return the methods, the oldest first."""

    def counting(kind: Any, order: int, **named: float) -> Make:
        def make(text: BookText) -> Predictor:
            return Counted(kind.fit(text.documents(text.train), text.tokenizer.vocabulary_size, order, **named), text)

        return make

    return [
        Method("unigram", "unigrams, add-k", counting(AddK, 1, k=0.1)),
        Method("bigram", "bigrams, add-k", counting(AddK, 2, k=0.01)),
        Method("katz", "trigrams, Katz's back-off", counting(Katz, 3)),
        Method("kneser3", "trigrams, Kneser-Ney", counting(KneserNey, 3)),
        Method("kneser5", "5-grams, Kneser-Ney", counting(KneserNey, 5)),
        Method("lstm", "recurrent network (LSTM)", partial(_recurrent, config)),
        Method("transformer", "transformer", partial(_transformer, config)),
    ]


def run(config: LadderLmConfig, steps: Steps, outcome: Outcome) -> None:
    """Train and compare all methods."""
    size = int(config.megabytes * 1e6)
    text = book_text(config.data_file(BOOKS), size, config.vocabulary_size, steps)
    sets = {file.stem: read_pairs(file)[: config.pairs] for file in sorted(config.data_file(BLIMP).glob("*.jsonl"))}
    if not sets or not all(sets.values()):
        raise UserError(f"{config.data_file(BLIMP)}: holds no sets of pairs, or an empty one; see notes/data.md")
    found = {m.key: steps.once(m.key, partial(_measure, m, text, sets, config)) for m in methods(config)}
    blocks = {key: np.array(each["block_nats"]) for key, each in found.items()}
    books = found["unigram"]["block_book"]
    scale = len(books) / math.log(2) / text.held_out_bytes  # nats per block to bits per byte
    results = [_result(method, found[method.key], scale) for method in methods(config)]

    def compare(below: MethodResult, above: MethodResult) -> Comparison:
        gaps = scale * (blocks[above.key] - blocks[below.key])
        return comparison_of(float(gaps.mean()), standard_error(gaps, books))

    outcome.values["training_tokens"] = Value(len(text.train))
    outcome.values["held_out_bytes"] = Value(text.held_out_bytes)
    title = f"{len(text.train):,} training tokens, {text.held_out_bytes:,} bytes of other books held out"
    outcome.values["held_out_books"] = Value(len(set(books)))
    outcome.notes += [
        f"{len(set(books))} books are held out, and errors are clustered by book",
        "one seed of each network; AdamW trains the LSTM, Muon the transformer, as in its recipe",
        "the networks start each window of 256 tokens from an empty context; n-gram models read across windows",
    ]
    add_comparison(outcome, title, results, COLUMNS, compare)
    outcome.samples = [Sample(m.name, OPENING + found[m.key]["sample"]) for m in methods(config)]
    claim(outcome, results, compare)


def claim(
    outcome: Outcome, results: list[MethodResult], compare: Callable[[MethodResult, MethodResult], Comparison]
) -> None:
    """Add the claims."""
    by = {result.key: result for result in results}

    def better(first: str, second: str, key: str, says: str) -> None:
        high = compare(by[second], by[first]).interval.high
        outcome.claims[key] = Claim(says, high < 0)

    better("kneser3", "katz", "kneser-ney-beats-katz", "Kneser-Ney beats Katz's back-off on the same counts")
    better(
        "kneser5", "unigram", "context-helps", "A model with four tokens of context predicts better than one without"
    )
    better("lstm", "kneser5", "recurrent-beats-counting", "An LSTM predicts better than 5-grams")
    better("transformer", "lstm", "transformer-beats-recurrent", "A transformer predicts better than an LSTM")
    better("transformer", "kneser5", "transformer-beats-counting", "A transformer predicts better than 5-grams")
    grammar = {key: result.scores["blimp"] for key, result in by.items()}
    high = grammar["kneser5"].high
    low = grammar["transformer"].low
    outcome.claims["grammar"] = Claim(
        "and knows more grammar: its BLiMP interval is above that of the 5-grams",
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


def _trained(config: LadderLmConfig, text: BookText, decoder: CausalLM, training: TrainingConfig) -> Network:
    """Train a network on the text for `epochs` epochs."""
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
    """Train a model, score the held-out text and the BLiMP pairs, and write a sample."""
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
    """Return 1 if the good sentence is likelier, one half for a tie, else 0."""
    return 0.5 if good == bad else float(good > bad)


def _result(method: Method[Make], found: dict[str, Any], scale: float) -> MethodResult:
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
    return MethodResult(method.key, method.name, scores, **clocks)
