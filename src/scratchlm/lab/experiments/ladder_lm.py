"""`experiment ladder-lm`: n-gram models and networks predict the same text; with grammar scores and samples.

All models share one tokenizer and the same training tokens, the beginnings of many books. Other books are held out, and
models are compared book by book. Networks read windows of 256 tokens, each from an empty context. The n-gram models
read across windows. Bits per byte include the end-of-text tokens.
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
from scratchlm.classic.recurrent import build_recurrent
from scratchlm.classic.smoothing import AddK, Katz
from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.evaluation.likelihood import encode_requests, likelihoods
from scratchlm.evaluation.pairs import Pair, read_pairs
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.experiments.config import LadderLmConfig
from scratchlm.lab.harness.methods import Column, Method, MethodResult, add_comparison, claim_gains, clocked, paired_by
from scratchlm.lab.harness.outcome import Outcome, Sample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText, book_text
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.model.network import CausalLM
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig

OPENING = "It was a "
COLUMNS = (Column("bits_per_byte", "bits per byte", interval=True), Column("blimp", "BLiMP", ".1%", interval=True))
CLAIMS = (
    ("kneser-ney-beats-katz", "katz", "kneser3", "Kneser-Ney beats Katz's back-off on the same counts"),
    ("context-helps", "unigram", "kneser5",
     "A model with four tokens of context predicts better than one without"),
    ("recurrent-beats-counting", "kneser5", "lstm", "An LSTM predicts better than 5-grams"),
    ("transformer-beats-recurrent", "lstm", "transformer", "A transformer predicts better than an LSTM"),
    ("transformer-beats-counting", "kneser5", "transformer", "A transformer predicts better than 5-grams"),
)  # fmt: skip
"""Claims that the first of two methods needs more bits per byte than the second."""


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
    """A network; it reads windows of its context length, each starting from an empty context."""

    model: CausalLM
    text: BookText

    def nats(self) -> Float[np.ndarray, " N"]:
        """Return the loss of each held-out token, in nats."""
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
    files = config.files()
    text = book_text(config.books, int(config.megabytes * 1e6), config.vocabulary_size, steps)
    sets = {file.stem: read_pairs(file)[: config.pairs] for file in sorted(files["blimp"].glob("*.jsonl"))}
    if not sets or not all(sets.values()):
        raise UserError(f"{files['blimp']}: holds no sets of pairs, or an empty one; see notes/data.md")
    chosen = methods(config)
    found = {method.key: steps.once(method.key, _measure, method, text, sets, config) for method in chosen}
    books = found["unigram"]["block_book"]
    scale = len(books) / math.log(2) / text.held_out_bytes  # nats per block to bits per byte
    results = [_result(method, found[method.key], scale) for method in chosen]
    compare = paired_by({key: each["block_nats"] for key, each in found.items()}, books, scale)
    sizes = {
        "training_tokens": len(text.train), "held_out_bytes": text.held_out_bytes, "held_out_books": len(set(books))
    }  # fmt: skip
    outcome.values |= {key: Value(size) for key, size in sizes.items()}
    title = f"{len(text.train):,} training tokens, {text.held_out_bytes:,} bytes of other books held out"
    outcome.notes += [
        f"{len(set(books))} books are held out, and errors are clustered by book",
        "one seed of each network; AdamW trains the LSTM, Muon the transformer, as in its recipe",
        "the networks start each window of 256 tokens from an empty context; n-gram models read across windows",
    ]
    add_comparison(outcome, title, results, COLUMNS, compare)
    outcome.samples = [Sample(method.name, OPENING + found[method.key]["sample"]) for method in chosen]
    by = {result.key: result for result in results}
    claim_gains(outcome, by, compare, CLAIMS)
    claim_grammar(outcome, by)


def claim_grammar(outcome: Outcome, by: Mapping[str, MethodResult]) -> None:
    """Add the claim about BLiMP."""
    more = by["transformer"].scores["blimp"].above(by["kneser5"].scores["blimp"])
    outcome.claim("grammar", "and knows more grammar: its BLiMP interval is above that of the 5-grams", more)


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
    training = replace(training, steps=steps, sequence_length=length, schedule=ScheduleConfig(warmup_steps=20))
    fit_windows(decoder, ArrayTokens(text.train), training, config.seed)
    return Network(decoder, text)


def _measure(
    method: Method[Make], text: BookText, sets: dict[str, list[Pair]], config: LadderLmConfig
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
    return {**text.blocks(nats), **costs, "blimp": judged, "sample": sample}


def _result(method: Method[Make], found: dict[str, Any], scale: float) -> MethodResult:
    sets = [np.array(values) for values in found["blimp"].values()]
    accuracy = float(np.mean([values.mean() for values in sets]))
    error = math.sqrt(sum(values.var(ddof=1) / len(values) for values in sets if len(values) > 1)) / len(sets)
    bits = mean_of(np.array(found["block_nats"]) * scale, found["block_book"])
    blimp = Value(accuracy, accuracy - 1.96 * error, accuracy + 1.96 * error)
    return method.result({"bits_per_byte": bits, "blimp": blimp}, found)
