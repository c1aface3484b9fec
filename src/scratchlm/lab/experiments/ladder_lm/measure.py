"""`experiment ladder-lm`: n-gram models and networks predict the same text; with grammar scores and samples.

All models share one tokenizer and the same training tokens, the beginnings of many books. Other books are held out, and
models are compared book by book. Both networks are tuned alike on validation text that no model trains on
(`shared/language_tuning.py`). Every model reads a book from its beginning: n-gram models their few tokens, the LSTM
with its state carried on, the transformer in windows of 256 tokens that overlap by half. Bits per byte include the
end-of-text tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from scratchlm.base.errors import UserError
from scratchlm.classic.counted import table_bytes
from scratchlm.classic.ngram import NgramModel
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.classic.smoothing import AddK, Katz
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.evaluation.pairs import Pair, read_pairs
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.experiments.config import LadderLmConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import (
    Column,
    Method,
    MethodResult,
    add_comparison,
    claim_gains,
    clocked,
    paired,
    paired_by,
)
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import every
from scratchlm.lab.shared.booktext import BookText, book_text
from scratchlm.lab.shared.language_tuning import (
    KINDS,
    Choice,
    best_order,
    bits_of,
    cut,
    read_on,
    report_candidates,
    report_tuning,
    train,
    try_lower_rates,
    tune,
    tune_orders,
)
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.model.network import CausalLM

OPENING = "It was a "
COLUMNS = (
    Column("bits_per_byte", "bits per byte", interval=True),
    Column("windows", "from empty windows"),
    Column("blimp", "BLiMP", ".1%", interval=True),
)
CLAIMS = (
    ("kneser-ney-beats-katz", "katz", "kneser3"),
    ("context-helps", "unigram", "kneser"),
    ("recurrent-beats-counting", "kneser", "lstm"),
    ("transformer-beats-recurrent", "lstm", "transformer"),
    ("transformer-beats-recurrent-in-time", "lstm_in_time", "transformer"),
    ("transformer-beats-counting", "kneser", "transformer"),
    ("rereading-beats-counting", "kneser", "longer"),
    ("recurrent-rereading-beats-counting", "kneser", "lstm_longer"),
    ("transformer-beats-recurrent-rereading", "lstm_longer", "longer"),
)  # fmt: skip
"""Claims that the first of two methods needs more bits per byte than the second."""
SAME_TIME = 0.15
"""Difference in seconds, as a fraction, within which two trainings count as equally long."""


@dataclass(frozen=True)
class Counted:
    """An n-gram model; its context is the document before a token, up to n - 1 tokens."""

    model: NgramModel
    text: BookText

    def nats(self) -> Float[np.ndarray, " N"]:
        """Return the loss of each held-out token, in nats."""
        rows = self.text.documents(self.text.held_out)
        return -np.concatenate([self.model.token_log_probabilities(row)[1:] for row in rows])

    def log_likelihoods(self, sentences: Sequence[str]) -> list[float]:
        """Return the natural log of the probability of each sentence, as the beginning of a text."""
        rows = [np.concatenate([[self.text.end], ids]) for ids in self.text.tokenizer.encode_batch(sentences)]
        return [float(self.model.token_log_probabilities(row.astype(np.int64))[1:].sum()) for row in rows]

    def write(self, opening: str, tokens: int, seed: int) -> list[int]:
        """Sample `tokens` tokens after an opening."""
        return self.model.sample([self.text.end, *self.text.tokenizer.encode(opening)], tokens, seed)

    def size(self) -> int:
        """Return the bytes of the tables."""
        return table_bytes(getattr(self.model, "levels", []))


@dataclass(frozen=True)
class Network:
    """A transformer or an LSTM."""

    model: CausalLM
    text: BookText

    def nats(self) -> Float[np.ndarray, " N"]:
        """Return the loss of each held-out token, in nats, with as much of the book before it as the network reads."""
        return read_on(self.model, self.text, self.text.held_out)

    def window_nats(self) -> Float[np.ndarray, " N"]:
        """Return the same where each window of the context's length begins from an empty context."""
        return token_nats(self.model, self.text.tokenizer, ArrayTokens(self.text.held_out))

    def log_likelihoods(self, sentences: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each sentence."""
        requests = encode_requests(self.text.tokenizer, [("", sentence) for sentence in sentences])
        return [each.nats for each in likelihoods(self.model, requests, rows=64)]

    def write(self, opening: str, tokens: int, seed: int) -> list[int]:
        """Sample tokens."""
        prompt = [self.text.end, *self.text.tokenizer.encode(opening)]
        return list(generate_ids(self.model, prompt, SamplingConfig(max_tokens=tokens, temperature=1.0, seed=seed)))

    def size(self) -> int:
        """Return the bytes of the weights."""
        return 4 * self.model.parameter_count()


Predictor = Counted | Network
Make = Callable[[BookText], Predictor]


def methods(config: LadderLmConfig, chosen: Mapping[str, Choice], order: int) -> list[Method[Make]]:
    """Return the methods, the oldest first: networks with the chosen settings, n-grams of the chosen order."""

    def counting(kind: Any, order: int, **named: float) -> Make:
        def make(text: BookText) -> Predictor:
            return Counted(kind.fit(text.documents(text.train), text.tokenizer.vocabulary_size, order, **named), text)

        return make

    lstm, transformer = (chosen[kind] for kind in KINDS)
    in_time, again = config.recurrent_flops * transformer.flops / lstm.flops, config.passes / config.epochs
    return [
        Method("unigram", "unigrams, add-k", counting(AddK, 1, k=0.1)),
        Method("bigram", "bigrams, add-k", counting(AddK, 2, k=0.01)),
        Method("katz", "trigrams, Katz's back-off", counting(Katz, 3)),
        Method("kneser3", "trigrams, Kneser-Ney", counting(KneserNey, 3)),
        Method("kneser", "n-grams, Kneser-Ney, tuned order", counting(KneserNey, order)),
        network("lstm", lstm, config, "lstm", "recurrent network (LSTM), tuned"),
        network("lstm", lstm, config, "lstm_in_time", "recurrent network, trained as long as the transformer", in_time),
        network("lstm", lstm, config, "lstm_longer", f"recurrent network, {config.passes} passes", again),
        network("transformer", transformer, config, "transformer", "transformer, tuned"),
        network("transformer", transformer, config, "longer", f"transformer, {config.passes} passes", again),
    ]


def network(
    kind: str, choice: Choice, config: LadderLmConfig, key: str, name: str = "", ratio: float = 1.0
) -> Method[Make]:
    """Return the method that trains a network with a setting, on `ratio` times the usual tokens."""

    def make(text: BookText) -> Predictor:
        tokens = round(ratio * config.epochs * len(text.train))
        return Network(train(kind, choice.setting, text, tokens, config.seed), text)

    return Method(key, name, make, seeded=True)


def run(config: LadderLmConfig, steps: Steps, out: Findings) -> None:
    """Tune, train and compare all methods."""
    files = config.files()
    text_of_books = book_text(config.books, int(config.megabytes * 1e6), config.vocabulary_size, steps.shared)
    sets = {file.stem: read_pairs(file)[: config.pairs] for file in sorted(files["blimp"].glob("*.jsonl"))}
    if not sets or not all(sets.values()):
        raise UserError(f"{files['blimp']}: holds no sets of pairs, or an empty one; see notes/data.md")
    text, validation = cut(text_of_books)
    sizes = {"lstm": config.recurrent_widths, "transformer": config.depths}
    tuned = {kind: tune(kind, sizes[kind], text, validation, config.tuning_fraction, steps.shared) for kind in KINDS}
    orders = tune_orders(text, validation, steps.shared)
    measured = partial(_measure, text=text, validation=validation, sets=sets, config=config)

    def in_full(kind: str) -> dict[Choice, dict[str, Any]]:
        """Train at each rate with the first seed; for the other seeds this is stored."""

        def measure(choice: Choice) -> dict[str, Any]:
            method = network(kind, choice, config, f"{kind}-{choice.setting.key}")
            return steps.shared.once(method.key, measured, method)

        return try_lower_rates(tuned[kind], measure)

    full = {kind: in_full(kind) for kind in KINDS}
    chosen = {kind: min(full[kind], key=lambda each: full[kind][each]["validation"]) for kind in KINDS}
    order = best_order(orders["kneser"])
    made = methods(config, chosen, order)
    first = {kind: full[kind][chosen[kind]] for kind in KINDS} if steps is steps.shared else {}
    results = {each.key: first.get(each.key) or each.steps(steps).once(each.key, measured, each) for each in made}
    out.values |= {f"{kind}.size": Value(chosen[kind].setting.size) for kind in KINDS} | {
        "kneser.order": Value(order), "longer.passes": Value(config.passes)
    }  # fmt: skip
    report(out, made, results, text)
    report_less(out, results, measure_less(text, validation, config, tuned, chosen["transformer"], steps), text)
    report_tuning(out, tuned, orders)
    report_candidates(out, full)
    out.samples = [TextSample(method.name, OPENING + results[method.key]["sample"]) for method in made]
    picked = (f"{kind} of {chosen[kind].setting.text(kind)}" for kind in KINDS)
    lowest = [kind for kind in KINDS if chosen[kind] == list(full[kind])[-1]]
    out.notes += [
        f"tuned on the last of the training text: {', '.join(picked)}; Kneser-Ney of order {order}",
        "the settings were chosen with one seed",
        *(f"the lowest learning rate that was trained in full is the best of the {kind}" for kind in lowest),
    ]


def report(
    out: Findings, made: Sequence[Method[Make]], results_of: Mapping[str, dict[str, Any]], text: BookText
) -> None:
    """Report the scores and costs of all methods, and add the claims."""
    books = results_of["unigram"]["block_book"]
    scale = len(books) / math.log(2) / text.held_out_bytes  # nats per block to bits per byte
    results = [result_of(method, results_of[method.key], scale) for method in made]
    compare = paired_by({key: each["block_nats"] for key, each in results_of.items()}, books, scale)
    sizes = {
        "training_tokens": len(text.train), "held_out_bytes": text.held_out_bytes, "held_out_books": len(set(books))
    }  # fmt: skip
    out.values |= {key: Value(size) for key, size in sizes.items()}
    title = f"{len(text.train):,} training tokens, {text.held_out_bytes:,} bytes of other books held out"
    add_comparison(out, title, results, COLUMNS, compare)
    by = {result.key: result for result in results}
    claim_gains(out, by, compare, CLAIMS)
    for kind in KINDS:
        lost = np.subtract(results_of[kind]["block_window_nats"], results_of[kind]["block_nats"])
        out.gain(f"{kind}.before_window", paired(scale * lost, books))
    claim_rest(out, *(results_of[key]["train_seconds"] for key in ("lstm_in_time", "transformer")))
    out.notes += [
        f"{len(set(books))} books are held out, and errors are clustered by book",
        "the LSTM carries its state through a book; the transformer's windows overlap by half; 'from empty windows' "
        "has neither",
    ]


def claim_rest(out: Findings, recurrent_seconds: float, transformer_seconds: float) -> None:
    """Add the claims about BLiMP and about equal time."""
    out.claim("grammar")
    same = abs(recurrent_seconds / transformer_seconds - 1) <= SAME_TIME
    out.claim("equal-time", same, timed=True, same_time=SAME_TIME)


def measure_less(
    text: BookText, validation: np.ndarray, config: LadderLmConfig, tuned: Mapping[str, Sequence[Choice]],
    chosen: Choice, steps: Steps,
) -> dict[str, Any]:  # fmt: skip
    """Return the losses of n-grams and networks that read the beginning of the training text, by kind.

    This is as much text as the settings of the search trained on, so each network has its best setting there. One more
    transformer, with the setting `chosen` for the whole text, reads this beginning again and again, as many tokens as
    the whole text has.
    """
    less = replace(text, train=text.train[: round(config.tuning_fraction * len(text.train))])
    order = best_order(tune_orders(less, validation, steps.shared, "less-orders")["kneser"])

    def counting() -> list[float]:
        rows = less.documents(less.train)
        nats = Counted(KneserNey.fit(rows, text.tokenizer.vocabulary_size, order), less).nats()
        return less.blocks(nats)["block_nats"]

    def training(kind: str, choice: Choice, tokens: int) -> list[float]:
        model = train(kind, choice.setting, less, tokens, config.seed)
        return less.blocks(read_on(model, less, less.held_out))["block_nats"]

    losses: dict[str, Any] = {"tokens": len(less.train), "kneser": steps.shared.once("less-kneser", counting)}
    for kind in KINDS:
        best = min(tuned[kind], key=lambda each: each.bits)
        losses[kind] = steps.once(f"less-{kind}", training, kind, best, len(less.train))
    losses["repeated"] = steps.once("less-repeated", training, "transformer", chosen, len(text.train))
    return losses


def report_less(
    out: Findings, losses: Mapping[str, Mapping[str, Any]], less: Mapping[str, Any], text: BookText
) -> None:
    """Report n-grams and networks on less text, and add the claim about what more text gives them."""
    books = losses["unigram"]["block_book"]
    scale = len(books) / math.log(2) / text.held_out_bytes  # nats per block to bits per byte
    names = ("kneser", *KINDS)
    out.values["less.tokens"] = Value(less["tokens"])
    out.values |= {f"less.{key}": mean_of(np.array(less[key]) * scale, books) for key in (*names, "repeated")}
    gains = {key: scale * np.subtract(less[key], losses[key]["block_nats"]) for key in names}
    for key in names:
        out.gain(f"{key}.of_text", paired(gains[key], books))
    rows: list[Row] = [
        [f"{less['tokens']:,}", *(Cell(f"less.{key}") for key in names)],
        [f"{less['tokens']:,}, read {len(text.train) / less['tokens']:.0f} times", "", "", Cell("less.repeated")],
        [f"{len(text.train):,}", *(Cell(f"{key}.bits_per_byte") for key in names)],
        ["gain of the last row over the first", *(Cell(f"{key}.of_text") for key in names)],
    ]
    header = ["training tokens", "n-grams, Kneser-Ney", "LSTM", "transformer"]
    out.table("What more text gives: bits per byte, each tuned at each amount", header, rows)
    more = (out.gain(f"{kind}.of_text.over.kneser", paired(gains[kind] - gains["kneser"], books)) for kind in KINDS)
    out.claim("networks-gain-more-from-text", every(*more))
    gained = paired(scale * np.subtract(less["repeated"], losses["transformer"]["block_nats"]), books)
    out.claim("new-text-beats-rereading", out.gain("less.repeated.over.transformer", gained))


def _measure(
    method: Method[Make], text: BookText, validation: np.ndarray, sets: dict[str, list[Pair]], config: LadderLmConfig
) -> dict[str, Any]:
    """Train a model, score the held-out text and the BLiMP pairs, and write a sample."""
    model, nats, costs = clocked(partial(method.make, text), lambda model: model.nats(), lambda model: model.size())
    judged = {}
    for name, pairs in sets.items():
        sentences = [sentence for pair in pairs for sentence in (pair.good, pair.bad)]
        scores = np.array(model.log_likelihoods(sentences)).reshape(-1, 2)  # good and bad
        judged[name] = [0.5 if good == bad else float(good > bad) for good, bad in scores]
    written = model.write(OPENING.rstrip(), config.sample_tokens, config.seed)
    sample = " ".join(text.tokenizer.decode([id for id in written if id != text.end]).split())
    more: dict[str, Any] = {}
    if isinstance(model, Network):
        more["block_window_nats"] = text.blocks(model.window_nats())["block_nats"]
        more["validation"] = bits_of(read_on(model.model, text, validation), validation, text)
    return {**text.blocks(nats), **more, **costs, "blimp": judged, "sample": sample}


def result_of(method: Method[Make], measured: Mapping[str, Any], scale: float) -> MethodResult:
    """Return the scores and costs of a method."""
    sets = [np.array(values) for values in measured["blimp"].values()]
    accuracy = float(np.mean([values.mean() for values in sets]))
    error = math.sqrt(sum(values.var(ddof=1) / len(values) for values in sets if len(values) > 1)) / len(sets)
    scores = {
        "bits_per_byte": mean_of(np.array(measured["block_nats"]) * scale, measured["block_book"]),
        "blimp": Value(accuracy, accuracy - 1.96 * error, accuracy + 1.96 * error),
    }
    if "block_window_nats" in measured:
        scores["windows"] = mean_of(np.array(measured["block_window_nats"]) * scale, measured["block_book"])
    return method.result(scores, measured)
