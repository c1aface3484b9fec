"""`experiment objective`: the same model before, during and after training, and its text at each; then other tokens.

Nothing but the probability of the next token is ever optimised. The same shape is trained for the same number of steps
on bytes, characters, sub-words and words of the same text, and compared by what is paid for a byte of held-out text.
What a vocabulary of words does not know costs eight bits a byte, as if it were spelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.statistics import comparison_of, standard_error
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.evaluation.bits import token_nats
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.experiments.objective.config import ObjectiveConfig
from scratchlm.lab.harness.outcome import Claim, Curves, Outcome, Sample, Table, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.small_model import BOOKS, pieces_of_books
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.runs.depth_scaling import at_depth
from scratchlm.runs.hooks import Stateless
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.simple import CharacterTokenizer, WordTokenizer
from scratchlm.training.config import ScheduleConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig

HELD_OUT = 40
"""One of so many books is never learned from."""
OPENING = "It was a"
LOOKS = 10
"""Times that the model is looked at on its way."""


def tokenizers(config: ObjectiveConfig) -> dict[str, Callable[[str], Tokenizer]]:
    """Return what cuts a text, the finest first."""
    size = config.vocabulary_size
    return {
        "bytes": lambda text: FastBPE.train([text], 256),
        "characters": lambda text: CharacterTokenizer.train([text], unknown=True),
        "sub-words": lambda text: FastBPE.train([text], size),
        "words": lambda text: WordTokenizer.train([text], size),
    }


def files(config: ObjectiveConfig) -> dict[str, Path]:
    """Return what the experiment reads."""
    return {"books": config.data_file(BOOKS)}


def run(config: ObjectiveConfig, steps: Steps, outcome: Outcome) -> None:
    """Train on each kind of token, looking on."""
    books = pieces_of_books(config.data_file(BOOKS), int(config.megabytes * 1e6))
    held = max(1, len(books) // HELD_OUT)
    text, tested = "\n\n".join(books[held:]), "\n\n".join(books[:held])
    found = {
        name: steps.once(name, partial(_train, make, text, tested, config)) for name, make in tokenizers(config).items()
    }
    tell_way(outcome, found["sub-words"])
    tell_kinds(outcome, found)
    outcome.notes += [
        "one seed; the held-out text is the beginnings of other books, and the interval is that of stretches of it",
        "every kind of token gets equal steps and windows of as many tokens, so coarser ones read more text",
        "a word that its vocabulary does not hold costs eight bits a byte, as if it were spelled",
    ]


class _Look(Stateless):
    """Notes what a model pays and writes on its way."""

    name = "look"

    def __init__(self, every: int, look: Callable[[int, Decoder], dict[str, Any]]) -> None:
        self.every, self._look = every, look
        self.seen: list[dict[str, Any]] = []

    def __call__(self, step: int, decoder: Decoder) -> dict[str, Any]:
        """Look once."""
        self.seen.append({"step": step, **self._look(step, decoder)})
        return {}


def _train(make: Callable[[str], Tokenizer], text: str, held_out: str, config: ObjectiveConfig) -> dict[str, Any]:
    """Train one model; return what it paid and wrote on its way, and for each stretch of the held-out text."""
    tokenizer = make(text)
    learned, tested = (np.array(tokenizer.encode(side), np.int64) for side in (text, held_out))
    size = len(held_out.encode("utf-8"))
    unknown = size - sum(len(tokenizer.token_bytes(int(id))) for id in tested if not _is_unknown(tokenizer, int(id)))
    shape, training = at_depth(config.depth)
    decoder = build_decoder(replace(shape, vocabulary_size=tokenizer.vocabulary_size), config.seed)
    training = replace(training, steps=config.steps, schedule=ScheduleConfig(warmup_steps=20))

    def look(step: int, model: Decoder) -> dict[str, Any]:
        nats = token_nats(model, tokenizer, ArrayTokens(tested))
        blocks = np.array_split(nats, max(1, len(nats) // 64))
        last = step in (0, config.steps)
        return {
            "loss": float(nats.mean()),
            "bits_per_byte": (float(nats.sum()) / math.log(2) + 8 * unknown) / size,
            "blocks": [round(float(block.mean()), 9) for block in blocks] if last else [],
            "text": _written(model, tokenizer, config),
        }

    hook = _Look(max(1, config.steps // LOOKS), look)
    batches = WindowBatches(ArrayTokens(learned), training.batch_size, training.sequence_length, config.seed)
    fit(Loop(decoder, batches, training, runtime=RuntimeConfig(seed=config.seed)), hooks=[hook])
    passed = config.steps * training.batch_size * training.sequence_length
    return {
        "looks": hook.seen,
        "vocabulary": tokenizer.vocabulary_size,
        "parameters": decoder.parameter_count(),
        "bytes_a_token": size / len(tested),
        "text_passes": passed / len(learned),
        "unknown_share": unknown / size,
    }


def _is_unknown(tokenizer: Tokenizer, id: int) -> bool:
    return tokenizer.token_bytes(id) == b"<|unk|>"


def _written(model: Decoder, tokenizer: Tokenizer, config: ObjectiveConfig) -> str:
    """Let the model go on after the opening."""
    sampling = SamplingConfig(max_tokens=config.sample_tokens, temperature=0.8, seed=config.seed)
    ids = tokenizer.encode(OPENING)
    return " ".join((OPENING + tokenizer.decode(list(generate_ids(model, ids, sampling)))).split())


def tell_way(outcome: Outcome, found: dict[str, Any]) -> None:
    """Tell how loss and text change together."""
    looks = found["looks"]
    first, last = looks[0], looks[-1]
    outcome.values["before"], outcome.values["after"] = Value(first["loss"]), Value(last["loss"])
    outcome.values["guessing"] = Value(math.log(found["vocabulary"]))
    places = [look["step"] for look in looks], [look["loss"] for look in looks]
    outcome.curves.append(Curves("Loss on held-out text", "steps", "nats a token", {"sub-words": places}))
    chosen = [looks[0], looks[len(looks) // 10], looks[len(looks) // 3], looks[-1]]
    outcome.samples += [
        Sample(f"after {each['step']:,} steps, loss {each['loss']:.2f}", each["text"]) for each in chosen
    ]
    gaps = np.array(first["blocks"]) - np.array(last["blocks"])
    compared = comparison_of(float(gaps.mean()), standard_error(gaps))
    outcome.values["learned"] = Value(compared.difference, *compared.interval)
    near = abs(first["loss"] - math.log(found["vocabulary"])) < 0.05 * math.log(found["vocabulary"])
    outcome.claims["begins-by-guessing"] = Claim(
        "Before training a token costs the logarithm of the vocabulary's size, within a twentieth", near
    )
    outcome.claims["learns"] = Claim("Training lowers what held-out text costs", compared.interval.low > 0)


def tell_kinds(outcome: Outcome, found: dict[str, dict[str, Any]]) -> None:
    """Compare the kinds of tokens by the byte."""
    rows, lines = [], {}
    for name, each in found.items():
        looks = each["looks"]
        outcome.values[f"{name}.bits_per_byte"] = Value(looks[-1]["bits_per_byte"])
        outcome.values[f"{name}.loss"] = Value(looks[-1]["loss"])
        for key in ("bytes_a_token", "text_passes", "unknown_share", "vocabulary", "parameters"):
            outcome.values[f"{name}.{key}"] = Value(each[key])
        lines[name] = ([look["step"] for look in looks[1:]], [look["bits_per_byte"] for look in looks[1:]])
        rows.append([
            name, f"{each['vocabulary']:,}", f"{each['bytes_a_token']:.2f}", f"{each['text_passes']:.2f}",
            f"{each['unknown_share']:.1%}", f"{looks[-1]['loss']:.3f}", f"{looks[-1]['bits_per_byte']:.3f}",
        ])  # fmt: skip
        if name != "sub-words":
            outcome.samples.append(Sample(f"{name}, after the last step", looks[-1]["text"]))
    header = [
        "tokens",
        "vocabulary",
        "bytes each",
        "times the text was read",
        "unknown bytes",
        "nats a token",
        "bits per byte",
    ]
    outcome.tables.append(Table("The same shape and number of steps on the same text", header, rows))
    outcome.curves.append(Curves("Bits per byte by kind of token", "steps", "bits per byte", lines))
    bits = {name: outcome.values[f"{name}.bits_per_byte"].value for name in found}
    outcome.claims["sub-words-win"] = Claim(
        "At equal steps sub-words pay least for a byte", bits["sub-words"] == min(bits.values())
    )
    losses = {name: outcome.values[f"{name}.loss"].value for name in found}
    cheapest, seeming = min(bits, key=lambda name: bits[name]), min(losses, key=lambda name: losses[name])
    outcome.claims["loss-a-token-misleads"] = Claim("By loss a token another kind would seem best", cheapest != seeming)
