"""`experiment objective`: loss and samples before, during and after training; then other kinds of tokens.

Training only optimises the probability of the next token. The same architecture is trained on bytes, characters,
sub-words and words of the same text, and compared in bits per byte on held-out text: after equal steps, after equal
text (a pass over bytes takes more steps than one over sub-words), and after equal compute. A word or character outside
the vocabulary is spelled by the model of bytes that was trained under the same condition (`shared/spelling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float

from scratchlm.data.batches import ArrayTokens
from scratchlm.evaluation.bits import target_logits, token_nats
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.experiments.config import ObjectiveConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import TextSample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.harness.verdicts import Values, above, every
from scratchlm.lab.shared.heldout import HeldOutBooks, split_books, token_places
from scratchlm.lab.shared.networks import Evaluations, fit_windows
from scratchlm.lab.shared.proportions import mean_of
from scratchlm.lab.shared.spelling import CONTEXT, byte_losses, known_word_mass, unknown_spans
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.pretraining.depth_scaling import at_depth
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.simple import CharacterTokenizer, SymbolTokenizer, WordTokenizer
from scratchlm.training.config import ScheduleConfig, TrainingConfig

OPENING = "It was a"
LOOKS = 10
"""Evaluations during training."""
STEP_ROWS = 8
"""Rows of a step."""
KINDS = ("bytes", "characters", "sub-words", "words")
CONDITIONS = {"steps": "equal steps", "text": "equal text", "compute": "equal compute"}
"""Conditions of training. At equal compute, words are left out: a step of theirs takes as long as one of sub-words."""
PLAN = (
    *((kind, "steps") for kind in KINDS),
    *((kind, "text") for kind in ("bytes", "characters", "words")),
    *((kind, "compute") for kind in ("bytes", "characters")),
)
"""What is trained: sub-words once, since the conditions are equal to their steps, text and compute."""


@dataclass(frozen=True)
class Data:
    """Training text, held-out text, and a tokenizer for each kind of token."""

    text: str
    held_out: HeldOutBooks
    tokenizers: Mapping[str, Tokenizer]

    @cached_property
    def learned(self) -> dict[str, np.ndarray]:
        """The training text as ids, by kind of token."""
        return {kind: np.array(each.encode(self.text), np.int64) for kind, each in self.tokenizers.items()}


def prepare(config: ObjectiveConfig) -> Data:
    """Read the books and train a tokenizer of each kind, the finest first."""
    text, held_out = split_books(config.books, int(config.megabytes * 1e6))
    size = config.vocabulary_size
    tokenizers: dict[str, Tokenizer] = {
        "bytes": FastBPE.train([text], 256),
        "characters": CharacterTokenizer.train([text], unknown=True),
        "sub-words": FastBPE.train([text], size),
        "words": WordTokenizer.train([text], size),
    }
    return Data(text, held_out, tokenizers)


def run(config: ObjectiveConfig, steps: Steps, out: Findings) -> None:
    """Train on each kind of token under each condition, with evaluations during training of sub-words."""
    data = prepare(config)
    results: dict[str, dict[str, Any]] = {}
    for kind, condition in PLAN:
        name = kind if condition == "steps" else f"{kind}.{condition}"
        results[name] = steps.once(name, _train, kind, condition, data, config)
    report_training(out, results["sub-words"], data.held_out)
    report_tokens(out, results, data.held_out)
    claim_tokens(out)
    out.notes += [
        f"{len(data.held_out.books)} other books are held out, and errors are clustered by book",
        "an unknown word is spelled by the model of bytes of the same condition, with its end: an upper bound of its "
        "code length",
        "so words use two networks, and sub-words one; the learning rate is that of the recipe for every kind",
    ]


def build(kind: str, data: Data, config: ObjectiveConfig) -> tuple[Decoder, TrainingConfig]:
    """Build the model of a kind of token with random weights; return it with its training, except the steps."""
    shape, training = at_depth(config.depth)
    shape = replace(shape, vocabulary_size=data.tokenizers[kind].vocabulary_size)
    length = min(training.sequence_length, min(map(len, data.learned.values())) // 4)
    training = replace(training, batch_size=STEP_ROWS, sequence_length=length)
    return build_decoder(shape, config.seed), training


def steps_of(kind: str, condition: str, data: Data, config: ObjectiveConfig) -> int:
    """Return the training steps of a kind of token under a condition."""
    model, training = build(kind, data, config)
    step = training.batch_size * training.sequence_length
    steps = config.epochs * len(data.learned["sub-words"]) / step
    if condition == "text":
        steps = config.epochs * len(data.learned[kind]) / step
    elif condition == "compute":
        reference, _ = build("sub-words", data, config)
        length = training.sequence_length
        steps *= reference.flops_per_token(length) / model.flops_per_token(length)
    return max(2, round(steps))


def _train(kind: str, condition: str, data: Data, config: ObjectiveConfig) -> dict[str, Any]:
    """Train one model; return its loss on blocks of held-out text, of bytes also the spelling of unknown words."""
    tokenizer, held_out = data.tokenizers[kind], data.held_out
    tested = np.array(tokenizer.encode(held_out.text), np.int64)
    decoder, training = build(kind, data, config)
    steps = steps_of(kind, condition, data, config)
    training = replace(training, steps=steps, schedule=ScheduleConfig(warmup_steps=min(20, steps // 5)))
    watched = (kind, condition) == ("sub-words", "steps")
    hook = Evaluations(max(1, steps // LOOKS), partial(_look, tokenizer=tokenizer, tested=tested, config=config))
    fit_windows(decoder, ArrayTokens(data.learned[kind]), training, config.seed, [hook] if watched else [])
    made = {
        "steps": steps,
        "vocabulary": tokenizer.vocabulary_size,
        "parameters": decoder.parameter_count(),
        "bytes_a_token": held_out.size / len(tested),
        "epochs": steps * training.batch_size * training.sequence_length / len(data.learned[kind]),
        **_sample(decoder, tokenizer, config),
    }
    if kind == "bytes":
        return {**made, **_bytes(decoder, tested, data, 0 if condition == "compute" else config.sampled_words)}
    nats = token_nats(decoder, tokenizer, ArrayTokens(tested), stride=decoder.config.context // 2)
    places = token_places(tokenizer, held_out.text, tested)
    made |= {"loss": float(nats.mean()), "blocks": held_out.by_block(places, nats)}
    if watched:
        counts = np.bincount(data.learned[kind], minlength=tokenizer.vocabulary_size) + 1.0
        made["frequency_blocks"] = held_out.by_block(places, np.log(counts.sum() / counts)[tested])
        made["looks"] = hook.seen
        short = max(2, training.sequence_length * len(tested) // held_out.size)
        shortened = token_nats(decoder, tokenizer, ArrayTokens(tested), length=short, stride=short // 2)
        made["short_blocks"] = held_out.by_block(places, shortened)
    return made


def _bytes(decoder: Decoder, tested: np.ndarray, data: Data, sampled: int) -> dict[str, Any]:
    """Score the held-out text with a model of bytes, and what it takes to spell what other kinds do not know.

    At `sampled` of the unknown words, measure also what the spelling wastes on known words.
    """
    tokenizer, held_out = data.tokenizers["bytes"], data.held_out
    losses = byte_losses(decoder, tokenizer, tested)
    made: dict[str, Any] = {"loss": float(losses.nats.mean())}
    made["blocks"] = held_out.by_block(np.arange(len(tested)), losses.nats)
    for kind in ("characters", "words"):
        other = data.tokenizers[kind]
        assert isinstance(other, SymbolTokenizer)
        spans = unknown_spans(other, held_out.text)
        made[f"{kind}.spelled_blocks"] = held_out.by_block(np.array([s.start for s in spans], int), losses.of(spans))
        made[f"{kind}.unknown"] = len(spans)
        made[f"{kind}.unknown_bytes"] = sum(span.stop - span.start for span in spans)
        if kind == "words" and spans and sampled:
            chosen = np.random.default_rng(0).choice(len(spans), size=min(sampled, len(spans)), replace=False)
            befores = [tested[max(0, spans[at].start - CONTEXT) : spans[at].start] for at in chosen]
            masses = [known_word_mass(decoder, tokenizer, before.tolist(), other) for before in befores]
            made["saved"] = [round(-math.log1p(-min(mass, 1 - 1e-9)), 9) for mass in masses]
    return made


def _look(
    step: int, model: Decoder, tokenizer: Tokenizer, tested: np.ndarray, config: ObjectiveConfig
) -> dict[str, Any]:
    """Return loss and a sample; before training also the entropy of the predictions."""
    measured = {"loss": float(token_nats(model, tokenizer, ArrayTokens(tested)).mean())}
    if step == 0:
        logits, _ = next(target_logits(model, tokenizer, ArrayTokens(tested)))
        likely = logits.log_softmax(-1)
        measured["entropy"] = float(-(likely.exp() * likely).sum(-1).mean())
    return {**measured, **_sample(model, tokenizer, config)}


def _sample(model: Decoder, tokenizer: Tokenizer, config: ObjectiveConfig) -> dict[str, str]:
    sampling = SamplingConfig(max_tokens=config.sample_tokens, temperature=0.8, seed=config.seed)
    written = list(generate_ids(model, tokenizer.encode(OPENING), sampling))
    return {"text": " ".join((OPENING + tokenizer.decode(written)).split())}


def report_training(out: Findings, measured: Mapping[str, Any], held_out: HeldOutBooks) -> None:
    """Report how loss and text of sub-words change during training, and add the claims."""
    looks, values = measured["looks"], out.values
    values |= {"before": Value(looks[0]["loss"]), "after": Value(looks[-1]["loss"])}
    values |= {"guessing": Value(math.log(measured["vocabulary"])), "before.entropy": Value(looks[0]["entropy"])}
    tokens = held_out.size / measured["bytes_a_token"]
    values["frequencies"] = Value(sum(measured["frequency_blocks"]) / tokens)
    lines = {"sub-words": ([look["step"] for look in looks], [look["loss"] for look in looks])}
    levels = {"uniform guessing": "guessing", "token frequencies": "frequencies"}
    out.curves("Loss on held-out text", "steps", "nats per token", lines, levels=levels)
    for each in (looks[0], looks[len(looks) // 10], looks[len(looks) // 3], looks[-1]):
        out.samples.append(TextSample(f"after {each['step']:,} steps, loss {each['loss']:.2f}", each["text"]))

    near = [test for key in ("before", "before.entropy")
            for test in (f"{key} > 0.95 * guessing", f"{key} < 1.05 * guessing")]  # fmt: skip
    out.claim("begins-by-guessing", every(*near))
    per_token = len(held_out.blocks) / tokens
    gap = per_token * np.subtract(measured["frequency_blocks"], measured["blocks"])
    learned = out.gain("learned", paired(gap, [book for _, book in held_out.blocks]))
    out.claim("learns", learned)


def report_tokens(out: Findings, results: Mapping[str, Mapping[str, Any]], held_out: HeldOutBooks) -> None:
    """Report bits per byte of every kind of token under every condition."""
    books = [book for _, book in held_out.blocks]
    scale = len(books) / math.log(2) / held_out.size  # nats per block to bits per byte
    blocks = {name: whole_blocks(name, results) for name in results}
    for name, each in results.items():
        out.values[f"{name}.bits_per_byte"] = mean_of(scale * blocks[name], books)
        for key in ("loss", "steps", "epochs", "bytes_a_token", "vocabulary", "parameters"):
            out.values[f"{name}.{key}"] = Value(each[key])
        out.values[f"{name}.guessing"] = Value(math.log(each["vocabulary"]))
        if name != "sub-words":
            out.gain(f"{name}.over.sub-words", paired(scale * (blocks[name] - blocks["sub-words"]), books))
            out.samples.append(TextSample(f"{name}, after the last step", each["text"]))
    for kind in ("characters", "words"):
        share = results["bytes"][f"{kind}.unknown_bytes"] / held_out.size
        out.values[f"{kind}.unknown_share"] = Value(share)
    short = np.array(results["sub-words"]["short_blocks"])
    out.values["sub-words.short.bits_per_byte"] = mean_of(scale * short, books)
    out.gain("bytes.text.over.short", paired(scale * (blocks["bytes.text"] - short), books))
    report_spelling(out, results, held_out.size)
    rows: list[Row] = []
    for kind in KINDS:
        cells = [Cell(f"{kind}.{key}", form) for key, form in (
            ("vocabulary", ",.0f"), ("bytes_a_token", ".2f"), ("epochs", ".2f"), ("unknown_share", ".1%"),
            ("loss", ".3f"), ("bits_per_byte", ".3f"),
        )]  # fmt: skip
        rows.append([kind, *cells])
    header = ["tokens", "vocabulary", "bytes per token", "epochs", "bytes in unknown words"]
    header += ["nats per token", "bits per byte"]
    out.table("The same architecture after equal steps", header, rows)
    names = {kind: kind for kind in KINDS} | {"words, without the waste of spelling": "words.least"}
    rows = [[label, *(Cell(key_of(kind, condition)) for condition in CONDITIONS)] for label, kind in names.items()]
    out.table("Bits per byte, with unknown words spelled in bytes", ["tokens", *CONDITIONS.values()], rows)
    dots = {f"{kind}, {title}": key_of(kind, condition) for kind in KINDS for condition, title in CONDITIONS.items()
            if kind != "sub-words" or condition == "steps"}  # fmt: skip
    out.dots("Bits per byte by kind of token", "bits per byte", dots)


def key_of(kind: str, condition: str) -> str:
    """Return the value of bits per byte of a kind of token under a condition."""
    shared = condition == "steps" or kind == "sub-words"
    return f"{kind}.bits_per_byte" if shared else f"{kind}.{condition}.bits_per_byte"


def whole_blocks(name: str, results: Mapping[str, Mapping[str, Any]]) -> Float[np.ndarray, " N"]:
    """Return nats by block, with the spelling of what is unknown by the model of bytes of the same condition."""
    kind, _, condition = name.partition(".")
    speller = results[f"bytes.{condition}" if condition else "bytes"]
    return np.add(results[name]["blocks"], speller.get(f"{kind}.spelled_blocks", 0.0))


def report_spelling(out: Findings, results: Mapping[str, Mapping[str, Any]], size: int) -> None:
    """Report what spelling takes, how much of it known words waste, and what 8 bits a byte would be instead."""
    for name, speller in (("words", "bytes"), ("words.text", "bytes.text")):
        by, unknown = results[speller], max(1, results["bytes"]["words.unknown_bytes"])
        out.values[f"{name}.spelling"] = Value(sum(by["words.spelled_blocks"]) / math.log(2) / unknown)
        charged = (sum(results[name]["blocks"]) / math.log(2) + 8 * by["words.unknown_bytes"]) / size
        out.values[f"{name}.charged"] = Value(charged)
        per_word = by["words.unknown"] / math.log(2) / size
        out.values[f"{name}.saved"] = mean_of(per_word * np.array(by.get("saved", [0.0])))
        key = "words.least" if name == "words" else "words.least.text"
        out.derive(f"{key}.bits_per_byte", partial(_less, f"{name}.bits_per_byte", f"{name}.saved"))
        out.derive(f"{key}.over.sub-words", partial(_less, f"{name}.over.sub-words", f"{name}.saved"))
        between = partial(_between, f"{key}.over.sub-words", f"{name}.over.sub-words")
        out.derive(f"{name}.between.sub-words", between)


def _between(lower: str, upper: str, values: Values) -> Value:
    """Return a value that lies between two others, with an interval that holds both of theirs."""
    middle = (values[lower].value + values[upper].value) / 2
    return Value(middle, values[lower].ends[0], values[upper].ends[1])


def _less(key: str, other: str, values: Values) -> Value:
    """Return a value less another that was measured apart, with an interval of both."""
    (low, high), (least, most) = values[key].ends, values[other].ends
    middle = values[key].value - values[other].value
    below = math.hypot(values[key].value - low, most - values[other].value)
    return Value(middle, middle - below, middle + math.hypot(high - values[key].value, values[other].value - least))


def claim_tokens(out: Findings) -> None:
    """Add the claims about kinds of tokens."""
    for condition, name in CONDITIONS.items():
        suffix = "" if condition == "steps" else f".{condition}"
        gaps = [f"{kind}{suffix}.over.sub-words" for kind in ("bytes", "characters")]
        gaps += ["bytes.text.over.short"] if condition == "text" else []
        fewer = every(*map(above, gaps))
        key = "sub-words-win" if condition == "steps" else f"sub-words-win-at-equal-{condition}"
        out.claim(key, fewer, what=name)
    for condition in ("steps", "text"):
        suffix = "" if condition == "steps" else f".{condition}"
        key = "sub-words-beat-words" if condition == "steps" else f"sub-words-beat-words-at-equal-{condition}"
        out.claim(key, above(f"words{suffix}.between.sub-words"), what=CONDITIONS[condition])
    out.claim("loss-a-token-misleads")
