"""`experiment objective`: loss and samples before, during and after training; then other kinds of tokens.

Training only optimises the probability of the next token. The same architecture is trained for the same number of steps
on bytes, characters, sub-words and words of the same text, and compared in bits per byte on held-out text. An unknown
word counts eight bits per byte, as if it were spelled in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import token_nats
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.experiments.config import ObjectiveConfig
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Curves, Outcome, Sample, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.networks import fit_windows
from scratchlm.lab.shared.small_model import pieces_of_books
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.runs.hooks import Stateless
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.simple import CharacterTokenizer, WordTokenizer
from scratchlm.training.config import ScheduleConfig

HELD_OUT = 40
"""One in so many books is held out."""
OPENING = "It was a"
LOOKS = 10
"""Evaluations during training."""


def tokenizers(config: ObjectiveConfig) -> dict[str, Callable[[str], Tokenizer]]:
    """Return functions that train each tokenizer, the finest first."""
    size = config.vocabulary_size
    return {
        "bytes": lambda text: FastBPE.train([text], 256),
        "characters": lambda text: CharacterTokenizer.train([text], unknown=True),
        "sub-words": lambda text: FastBPE.train([text], size),
        "words": lambda text: WordTokenizer.train([text], size),
    }


def run(config: ObjectiveConfig, steps: Steps, outcome: Outcome) -> None:
    """Train on each kind of token, with evaluations during training."""
    books = pieces_of_books(config.books, int(config.megabytes * 1e6))
    held = max(1, len(books) // HELD_OUT)
    text, tested = "\n\n".join(books[held:]), "\n\n".join(books[:held])
    makers = tokenizers(config).items()
    found = {name: steps.once(name, _train, make, text, tested, config) for name, make in makers}
    report_training(outcome, found["sub-words"])
    report_tokens(outcome, found)
    outcome.notes += [
        "one seed; the held-out text is the beginnings of other books, and the interval is over blocks of it",
        "every kind of token gets equal steps and equal windows, so coarser tokens read more text",
        "a word outside the vocabulary counts eight bits per byte, as if it were spelled in bytes",
    ]


class _Look(Stateless):
    """A hook that records loss and a sample during training."""

    name = "look"

    def __init__(self, every: int, look: Callable[[int, Decoder], dict[str, Any]]) -> None:
        self.every, self._look = every, look
        self.seen: list[dict[str, Any]] = []

    def __call__(self, step: int, decoder: Decoder) -> None:
        """Record one evaluation."""
        self.seen.append({"step": step, **self._look(step, decoder)})


def _train(make: Callable[[str], Tokenizer], text: str, held_out: str, config: ObjectiveConfig) -> dict[str, Any]:
    """Train one model; return its losses and samples during training, and its loss on blocks of held-out text."""
    tokenizer = make(text)
    learned, tested = (np.array(tokenizer.encode(side), np.int64) for side in (text, held_out))
    size = len(held_out.encode("utf-8"))
    pieces = [tokenizer.token_bytes(int(id)) for id in tested]
    unknown = size - sum(len(piece) for piece in pieces if piece != b"<|unk|>")
    shape, training = at_depth(config.depth)
    decoder = build_decoder(replace(shape, vocabulary_size=tokenizer.vocabulary_size), config.seed)
    training = replace(training, steps=config.steps, schedule=ScheduleConfig(warmup_steps=20))

    opening = tokenizer.encode(OPENING)
    sampling = SamplingConfig(max_tokens=config.sample_tokens, temperature=0.8, seed=config.seed)

    def look(step: int, model: Decoder) -> dict[str, Any]:
        nats = token_nats(model, tokenizer, ArrayTokens(tested))
        blocks = np.array_split(nats, max(1, len(nats) // 64))
        last = step in (0, config.steps)
        return {
            "loss": float(nats.mean()),
            "bits_per_byte": (float(nats.sum()) / math.log(2) + 8 * unknown) / size,
            "blocks": [round(float(block.mean()), 9) for block in blocks] if last else [],
            "text": " ".join((OPENING + tokenizer.decode(list(generate_ids(model, opening, sampling)))).split()),
        }

    hook = _Look(max(1, config.steps // LOOKS), look)
    fit_windows(decoder, ArrayTokens(learned), training, config.seed, [hook])
    passed = config.steps * training.batch_size * training.sequence_length
    return {
        "looks": hook.seen,
        "vocabulary": tokenizer.vocabulary_size,
        "parameters": decoder.parameter_count(),
        "bytes_a_token": size / len(tested),
        "text_passes": passed / len(learned),
        "unknown_share": unknown / size,
    }


def report_training(outcome: Outcome, found: dict[str, Any]) -> None:
    """Report how loss and text change during training, and add the claims."""
    looks, guessing = found["looks"], math.log(found["vocabulary"])
    first, last = looks[0], looks[-1]
    outcome.values |= {"before": Value(first["loss"]), "after": Value(last["loss"]), "guessing": Value(guessing)}
    lines = {"sub-words": ([look["step"] for look in looks], [look["loss"] for look in looks])}
    outcome.curves.append(Curves("Loss on held-out text", "steps", "nats per token", lines))
    for each in (looks[0], looks[len(looks) // 10], looks[len(looks) // 3], looks[-1]):
        outcome.samples.append(Sample(f"after {each['step']:,} steps, loss {each['loss']:.2f}", each["text"]))
    near = abs(first["loss"] - guessing) < 0.05 * guessing
    says = "Before training the loss is the logarithm of the vocabulary size, within 5%"
    outcome.claim("begins-by-guessing", says, near)
    learned = outcome.gain("learned", paired(np.subtract(first["blocks"], last["blocks"])))
    outcome.claim("learns", "Training lowers the loss on held-out text", learned)


def report_tokens(outcome: Outcome, found: dict[str, dict[str, Any]]) -> None:
    """Compare the kinds of tokens in bits per byte, and add the claims."""
    rows, lines = [], {}
    bits, losses = ({name: each["looks"][-1][key] for name, each in found.items()} for key in ("bits_per_byte", "loss"))
    for name, each in found.items():
        measured = {"bits_per_byte": bits[name], "loss": losses[name]}
        for key in ("bytes_a_token", "text_passes", "unknown_share", "vocabulary", "parameters"):
            measured[key] = each[key]
        outcome.values |= {f"{name}.{key}": Value(value) for key, value in measured.items()}
        looks = each["looks"]
        lines[name] = ([look["step"] for look in looks[1:]], [look["bits_per_byte"] for look in looks[1:]])
        rows.append([
            name, f"{each['vocabulary']:,}", f"{each['bytes_a_token']:.2f}", f"{each['text_passes']:.2f}",
            f"{each['unknown_share']:.1%}", f"{losses[name]:.3f}", f"{bits[name]:.3f}",
        ])  # fmt: skip
        if name != "sub-words":
            outcome.samples.append(Sample(f"{name}, after the last step", looks[-1]["text"]))
    title = "The same architecture and number of steps on the same text"
    header = [
        "tokens", "vocabulary", "bytes per token", "epochs", "unknown bytes", "nats per token", "bits per byte"
    ]  # fmt: skip
    outcome.tables.append(Table(title, header, rows))
    outcome.curves.append(Curves("Bits per byte by kind of token", "steps", "bits per byte", lines))
    fewest = bits["sub-words"] == min(bits.values())
    outcome.claim("sub-words-win", "At equal steps sub-words need the fewest bits per byte", fewest)
    misleads = min(bits, key=lambda name: bits[name]) != min(losses, key=lambda name: losses[name])
    outcome.claim("loss-a-token-misleads", "By loss per token another kind of token would seem best", misleads)
