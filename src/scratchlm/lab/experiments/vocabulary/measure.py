"""`experiment vocabulary`: bits per byte over the number of tokens, and by kind of tokenizer.

The same architecture is trained with BPE of several vocabulary sizes, then with WordPiece, Unigram and words of the
size in the middle, all with equal training compute. A search finds the learning rate of each, on a third of the
held-out books; the others are the test. Words outside a vocabulary of words are spelled by the model of bytes
(`shared/spelling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.lab.experiments.config import VocabularyConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.frozen import search_rates
from scratchlm.lab.shared.heldout import HeldOutBooks, split_books, token_places
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.spelling import byte_losses, unknown_spans
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.pretraining.depth_scaling import at_depth
from scratchlm.tokens import unigram_training
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.format import from_json, to_json
from scratchlm.tokens.pretrained import tokenizer_of
from scratchlm.tokens.simple import WordTokenizer
from scratchlm.tokens.wordpiece import WordPieceTokenizer
from scratchlm.training.config import MuonConfig, ScheduleConfig
from scratchlm.training.spikes import DivergenceError

BYTES = "bpe-256"
STEP_ROWS = 8
"""Rows of a step."""
FACTOR = 2.0
"""Factor between two learning rates of a search."""
NAMES = {"wordpiece": "WordPiece", "unigram": "Unigram", "words": "words"}
"""Kinds of tokenizers beside BPE."""


@dataclass(frozen=True)
class TokenizedBooks:
    """Training text, held-out books that choose and that test, and tokenizers by their keys."""

    text: str
    valid: HeldOutBooks
    test: HeldOutBooks
    tokenizers: Mapping[str, Tokenizer]
    middle: str
    """The key of BPE at the size in the middle."""

    @cached_property
    def learned(self) -> dict[str, np.ndarray]:
        """The training text as ids, by tokenizer."""
        return {key: np.array(each.encode(self.text), np.int64) for key, each in self.tokenizers.items()}


def prepare(config: VocabularyConfig, steps: Steps) -> TokenizedBooks:
    """Read the books and train all tokenizers."""
    text, books = split_books(config.books, int(config.megabytes * 1e6))
    sizes = config.vocabulary_sizes
    middle = sizes[len(sizes) // 2]

    def kept(name: str, train: Callable[..., Tokenizer]) -> Tokenizer:
        return tokenizer_of(from_json(steps.shared.once(name, lambda: to_json(train([text], middle).vocabulary))))

    tokenizers: dict[str, Tokenizer] = {f"bpe-{size}": FastBPE.train([text], size) for size in sizes}
    tokenizers["wordpiece"] = kept("wordpiece", WordPieceTokenizer.train)
    tokenizers["unigram"] = kept("unigram", unigram_training.train)
    tokenizers["words"] = WordTokenizer.train([text], middle - 1)
    half = max(1, len(books.books) // 3)
    valid, test = HeldOutBooks(books.books[:half]), HeldOutBooks(books.books[half:] or books.books)
    return TokenizedBooks(text, valid, test, tokenizers, f"bpe-{middle}")


def run(config: VocabularyConfig, steps: Steps, out: Findings) -> None:
    """Search the learning rate with each tokenizer, train the model and test it."""
    data = prepare(config, steps)
    results: dict[str, dict[str, Any]] = {}
    for key in data.tokenizers:
        best = steps.shared.once(f"search {key}", search, key, data, config)
        results[key] = {**best, **steps.once(f"train {key}", measure, key, data, config, best["factor"])}
    largest = f"bpe-{config.vocabulary_sizes[-1]}"
    factor = results[largest]["factor"]
    results["largest-text"] = steps.once("train largest-text", measure, largest, data, config, factor, True)
    report(out, results, data, config)
    out.notes += [
        f"{config.depth} layers, batches of {STEP_ROWS} rows; all have the training compute of {data.middle} at "
        f"{config.epochs:g} epochs, except the largest one at equal text",
        f"{len(data.test.books)} other books are the test, and errors are clustered by book; {len(data.valid.books)} "
        f"more choose the learning rates, by factors of {FACTOR:g}, at the first seed",
        "words outside the vocabulary of words are spelled by the model of bytes: an upper bound of their code length",
    ]


def steps_of(key: str, data: TokenizedBooks, config: VocabularyConfig, equal_text: bool = False) -> int:
    """Return the training steps with a tokenizer, at equal compute or at equal text."""
    _, training = at_depth(config.depth)
    size = STEP_ROWS * training.sequence_length
    if equal_text:
        return max(2, round(config.epochs * len(data.learned[key]) / size))
    costs = [_build(each, data, config, 0).flops_per_token(training.sequence_length) for each in (data.middle, key)]
    return max(2, round(config.epochs * len(data.learned[data.middle]) / size * costs[0] / costs[1]))


def _build(key: str, data: TokenizedBooks, config: VocabularyConfig, seed: int) -> Decoder:
    shape, _ = at_depth(config.depth)
    return build_decoder(replace(shape, vocabulary_size=data.tokenizers[key].vocabulary_size), seed)


def train(key: str, data: TokenizedBooks, config: VocabularyConfig, factor: float, steps: int) -> Decoder:
    """Train a model; one that diverges is returned as it began."""
    _, recipe = at_depth(config.depth)
    assert isinstance(recipe.optimizer, MuonConfig)
    length = min(recipe.sequence_length, len(data.learned[key]) // 4)
    schedule = ScheduleConfig(warmup_steps=min(20, steps // 5))
    optimizer = recipe.optimizer.times(factor)
    training = replace(
        recipe, steps=steps, batch_size=STEP_ROWS, sequence_length=length, optimizer=optimizer, schedule=schedule
    )
    decoder = _build(key, data, config, config.seed)
    try:
        fit_windows(decoder, ArrayTokens(data.learned[key]), training, config.seed)
    except DivergenceError:
        return _build(key, data, config, config.seed)
    return decoder


def search(key: str, data: TokenizedBooks, config: VocabularyConfig) -> dict[str, Any]:
    """Return the factor of the learning rates with the lowest loss on the books that choose, and all others tried."""
    steps = max(2, round(config.search_share * steps_of(key, data, config)))

    def loss(factor: float) -> float:
        decoder = train(key, data, config, factor, steps)
        return round(sum(blocks_of(decoder, data.tokenizers[key], data.valid)), 9)

    tried = search_rates(loss, 1.0, FACTOR)
    best = min(tried, key=lambda factor: tried[factor])
    return {"factor": best, "inside": min(tried) < best < max(tried), "tried": {str(at): tried[at] for at in tried}}


def blocks_of(decoder: Decoder, tokenizer: Tokenizer, books: HeldOutBooks) -> list[float]:
    """Return the loss of each block of books, in nats."""
    ids = np.array(tokenizer.encode(books.text), np.int64)
    nats = token_nats(decoder, tokenizer, ArrayTokens(ids), stride=decoder.config.context // 2)
    return books.by_block(token_places(tokenizer, books.text, ids), nats)


def measure(
    key: str, data: TokenizedBooks, config: VocabularyConfig, factor: float, equal_text: bool = False
) -> dict[str, Any]:
    """Train a model and test it; one of bytes also spells the words that a vocabulary of words lacks."""
    steps, tokenizer = steps_of(key, data, config, equal_text), data.tokenizers[key]
    decoder = train(key, data, config, factor, steps)
    tested = tokenizer.encode(data.test.text)
    counts = np.bincount(data.learned[key], minlength=tokenizer.vocabulary_size)
    made = {
        "steps": steps,
        "parameters": decoder.parameter_count(),
        "bytes_a_token": data.test.size / len(tested),
        "rare": float((counts[: len(counts) - len(tokenizer.specials)] < 10).mean()),
        "blocks": blocks_of(decoder, tokenizer, data.test),
    }
    if key == BYTES:
        words = data.tokenizers["words"]
        assert isinstance(words, WordTokenizer)
        spans = unknown_spans(words, data.test.text)
        losses = byte_losses(decoder, tokenizer, np.array(tested, np.int64))
        made["spelled"] = data.test.by_block(np.array([span.start for span in spans], int), losses.of(spans))
    return made


def report(
    out: Findings, results: Mapping[str, dict[str, Any]], data: TokenizedBooks, config: VocabularyConfig
) -> None:
    """Report bits per byte by tokenizer, and add the claims."""
    books = [book for _, book in data.test.blocks]
    scale = len(books) / math.log(2) / data.test.size  # nats per block to bits per byte
    blocks = {key: scale * np.array(each["blocks"]) for key, each in results.items()}
    blocks["words"] = blocks["words"] + scale * np.array(results[BYTES]["spelled"])
    for key, each in results.items():
        out.values[f"{key}.bits_per_byte"] = mean_of(blocks[key], books)
        out.gain(f"{key}.over", paired(blocks[key] - blocks[data.middle], books))
        for name in ("steps", "parameters", "bytes_a_token", "rare"):
            out.values[f"{key}.{name}"] = Value(each[name])
    sizes = config.vocabulary_sizes
    out.values |= {"bytes.over": out.values[f"{BYTES}.over"], "largest.over": out.values[f"bpe-{sizes[-1]}.over"]}
    rows: list[Row] = []
    for key in (*data.tokenizers, "largest-text"):
        label = NAMES.get(key, key.replace("bpe-", "BPE, ").replace("largest-text", f"BPE, {sizes[-1]}, at equal text"))
        forms = (("bytes_a_token", ".2f"), ("rare", ".0%"), ("steps", ",.0f"), ("parameters", ",.0f"))
        factor = f"{results[key].get('factor', results[f'bpe-{sizes[-1]}']['factor']):g}"
        facts = [Cell(f"{key}.{name}", form, interval=False) for name, form in forms]
        more = Cell(f"{key}.over", "+.3f") if key != data.middle else ""
        rows.append([label, *facts, factor, Cell(f"{key}.bits_per_byte"), more])
    header = ["tokenizer", "bytes per token", "tokens seen less than ten times", "steps", "parameters"]
    header += ["learning rate, times the recipe's", "bits per byte", "more than in the middle"]
    out.table("The same architecture with other tokenizers", header, rows)
    heights = [f"bpe-{size}.bits_per_byte" for size in sizes]
    out.curves("Bits per byte over the vocabulary size", "tokens in the vocabulary of BPE", "bits per byte",
               {"equal training compute": (list(sizes), heights)}, logarithmic=True)  # fmt: skip
    kinds = {f"BPE, {data.middle.removeprefix('bpe-')}": data.middle, **{name: key for key, name in NAMES.items()}}
    out.dots("Bits per byte by kind of tokenizer", "bits per byte",
             {label: f"{key}.bits_per_byte" for label, key in kinds.items()})  # fmt: skip
    middle, largest = f"{sizes[len(sizes) // 2]:,}", f"{sizes[-1]:,}"
    for key in ("more-than-bytes", "too-many-tokens", "too-many-tokens-at-equal-text"):
        out.claim(key, middle=middle, largest=largest)
    out.claim("bpe-beats-unigram")
    out.claim("bpe-beats-wordpiece")
    out.claim("rates-are-inside", all(results[key]["inside"] for key in data.tokenizers))
