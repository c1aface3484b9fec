"""`scratchlm quickstart`: the whole life of a model in minutes, offline, one phase after the other.

Text, tokenizer, n-gram rival, pretraining, conversations, held-out measurement, sentences, questions, report; all is
measured on the model that is delivered. The budget is kept by measuring: each training phase times a few steps first,
takes as many as fit what is left, and corrects itself as it goes, so that a machine that slows down meanwhile learns
less, not longer.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.device import DTYPES, set_threads, threads
from scratchlm.base.errors import UserError
from scratchlm.base.files import write_json, write_text
from scratchlm.base.folders import write_marker
from scratchlm.base.outputs import clear, output_folder
from scratchlm.base.result import Result
from scratchlm.base.runlog import read_log
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.evaluation.bits import HeldOutLoss, held_out_loss
from scratchlm.finetuning.instruct import instruct, instruct_batches
from scratchlm.generation.language_model import LanguageModel
from scratchlm.model.decoder import build_decoder
from scratchlm.recipes.config import QuickstartConfig
from scratchlm.recipes.dial import at_depth
from scratchlm.recipes.exam import SAMPLING, Answer, Reading, ask, read_aloud
from scratchlm.recipes.hooks import HeldOut, Sample
from scratchlm.recipes.quicktext import Corpus, storyworld_corpus, users_corpus
from scratchlm.tokens.base import END_OF_TEXT
from scratchlm.tokens.batches import ArrayTokens, WindowBatches
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.config import AdamWConfig, MuonConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.forecast import Deadline, choose_dtype, step_seconds, steps_within
from scratchlm.training.loop import Hook, Setting, fit
from scratchlm.training.progress import TrainingProgress
from scratchlm.training.signals import stop_on_signals
from scratchlm.weights.checkpoint import SavedModel, save_model

RESULT_FILE = "quickstart.json"
KIND = "quickstart"
"""Kind in the marker of the folder."""
FILES = [RESULT_FILE, "metrics.jsonl", "report.html", "questions.jsonl", "samples/*.txt", "nonfinite/*.json"]
"""What a quickstart writes, as the marker names it; its model has a marker of its own."""
PRETRAIN_SHARE = 0.58
"""Share of the whole budget that pretraining ends at, where conversations follow."""
ALONE_SHARE = 0.92
"""The same where none do."""
ENDING_SHARE = 0.06
"""Share of the whole budget that is kept for measuring, questions and the report."""

TEACHING = MuonConfig(learning_rate=0.012, adam=AdamWConfig(learning_rate=0.004, weight_decay=0.0))
"""How fine-tuning steps: gently, or it forgets the stories."""


@dataclass
class Phase:
    """A stretch of the run with the seconds it was given and the seconds it took."""

    name: str
    predicted: float | None = None
    actual: float = 0.0


@dataclass(repr=False)
class QuickstartResult(Result):
    """What came out."""

    out: str
    source: str
    parameters: int
    held_out: HeldOutLoss
    ngram_bits_per_byte: float
    phases: list[Phase]
    seconds: float
    budget: float
    reading: Reading | None = None
    questions: list[Answer] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    sample: str = ""

    def score(self, split: str) -> tuple[int, int]:
        """Return how many questions of a split were answered exactly, and how many there are."""
        answers = [answer for answer in self.questions if answer.split == split]
        return sum(answer.correct for answer in answers), len(answers)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data; the questions are in questions.jsonl."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("questions", "held_out")}
        return {
            "format": 1,
            **values,
            "bits_per_byte": self.held_out.bits_per_byte,
            "loss": self.held_out.loss,
            "held_in": self.score("held-in"),
            "held_out": self.score("held-out"),
        }

    def __rich__(self) -> str:
        lines = [
            self.sample,
            "",
            f"{self.parameters:,} parameters, {self.held_out.bits_per_byte:.3f} bits per byte on held-out text; "
            f"the 5-gram model pays {self.ngram_bits_per_byte:.3f}",
        ]
        if self.questions:
            held_in = [answer for answer in self.questions if answer.split == "held-in"]
            lines += [f"asked: {a.question}  answered: {a.given}" for a in held_in[:: max(1, len(held_in) // 3)][:3]]
            (right, n), (guessed, m) = self.score("held-in"), self.score("held-out")
            lines.append(f"questions about the stories: {right} of {n} answered exactly ({100 * right / n:.0f}%)")
            lines.append(
                f"questions whose answer stands nowhere: {guessed} of {m} ({100 * guessed / m:.0f}%), by guessing"
            )
        if self.reading is not None:
            reading = self.reading
            lines.append(
                f"of {reading.sentences} sentences it wrote, {100 * reading.parsed:.0f}% are grammatical "
                f"and {100 * reading.copied:.0f}% stand in the training text"
            )
        lines += [f"left out: {reason}" for reason in self.left_out]
        lines.append(
            f"{self.seconds:.0f} s of {self.budget:.0f} s; model in {self.out}/model, report in {self.out}/report.html"
        )
        return "\n".join(lines)


class Clock:
    """The budget, and how much of it is left."""

    def __init__(self, budget: float) -> None:
        self.started = time.monotonic()
        self.budget = budget
        self.phases: list[Phase] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    @contextmanager
    def phase(self, name: str, predicted: float | None = None) -> Iterator[Phase]:
        """Time a phase and tell its beginning on stderr."""
        phase = Phase(name, predicted)
        self.phases.append(phase)
        began = self.elapsed
        print(f"[{began:5.1f} s] {name}", file=sys.stderr, flush=True)
        yield phase
        phase.actual = self.elapsed - began


@dataclass
class Encoded:
    """The text as ids."""

    tokenizer: FastBPE
    train: np.ndarray
    held_out: np.ndarray
    train_documents: list[np.ndarray]
    held_out_documents: list[np.ndarray]


def quickstart(config: QuickstartConfig) -> QuickstartResult:
    """Run the whole life and write `out/model`, `out/report.html` and, for storyworld, `out/questions.jsonl`.

    Raises `UserError` for a taken `out`, a source that is missing or too short, and the like.
    """
    clock = Clock(60.0 * config.minutes)
    with output_folder(config.out, KIND, force=config.force, sources=_source_paths(config.source)):
        return _life(config, clock)


def _life(config: QuickstartConfig, clock: Clock) -> QuickstartResult:
    set_threads(config.threads)
    with clock.phase("text"):
        corpus = _corpus(config, clock.budget)
    clear(config.out)
    write_marker(config.out, KIND, FILES)
    write_json(config.out / RESULT_FILE, {"format": 1, "state": "running"})
    with clock.phase(f"tokenizer and a 5-gram model on {corpus.bytes / 1e6:.1f} MB"):
        encoded = _encode(corpus)
        ngram = _ngram_bits(encoded, corpus)
    until = (PRETRAIN_SHARE if corpus.conversations else ALONE_SHARE) * clock.budget
    model, setting = _pretrain(config, clock, encoded, until)
    if corpus.conversations:
        _teach(clock, corpus, model, setting)
    with clock.phase("measuring on held-out text"):
        held_out = held_out_loss(model.decoder, encoded.tokenizer, ArrayTokens(encoded.held_out))
    result = QuickstartResult(
        str(config.out),
        _told(config.source),
        model.decoder.parameter_count(),
        held_out,
        ngram,
        clock.phases,
        0.0,
        clock.budget,
        left_out=corpus.left_out,
    )
    with clock.phase("writing sentences"), threads(1):
        result.sample, result.reading = read_aloud(model, corpus, config.seed)
    if corpus.conversations:
        with clock.phase("asking questions"), threads(1):
            result.questions = ask(model, corpus.questions)
    _write(config.out, model, result, clock)
    return result


def _source_paths(source: str) -> tuple[Path, ...]:
    return (Path(source),) if Path(source).exists() else ()


def _told(source: str) -> str:
    """Return what a text is called: a named source as it is, a file or folder by its name."""
    return os.path.basename(os.path.abspath(source)) if _source_paths(source) else source


def _corpus(config: QuickstartConfig, budget: float) -> Corpus:
    if config.source.partition(":")[0] == "storyworld":
        return storyworld_corpus(int(min(max(budget / 60.0 * 1.3e6, 6e5), 60e6)), config.seed)
    return users_corpus(config.source, config.text_field, config.seed)


def _encode(corpus: Corpus) -> Encoded:
    """Train a tokenizer that suits the size of the text, and encode both sides."""
    size = 3072 if corpus.bytes > 1_500_000 else 1024 if corpus.bytes > 200_000 else 512
    try:
        tokenizer = FastBPE.train(corpus.train, size)
    except UserError:
        tokenizer = FastBPE.train(corpus.train, 256)  # too little text for more than the bytes
    end = tokenizer.specials[END_OF_TEXT]
    train, held_out = (
        [np.append(ids, end).astype(np.int64) for ids in tokenizer.encode_batch(texts)]
        for texts in (corpus.train, corpus.held_out)
    )
    return Encoded(tokenizer, np.concatenate(train), np.concatenate(held_out), train, held_out)


def _ngram_bits(encoded: Encoded, corpus: Corpus) -> float:
    """Return the bits per byte of an order-5 Kneser-Ney model on the same tokens, documents begun alike."""
    start = np.array([encoded.tokenizer.end_of_text], dtype=np.int64)
    model = KneserNey.fit(
        [np.concatenate([start, ids]) for ids in encoded.train_documents], encoded.tokenizer.vocabulary_size
    )
    nats = 0.0
    for ids in encoded.held_out_documents:
        nats -= float(model.token_log_probabilities(np.concatenate([start, ids]))[1:].sum())
    return nats / math.log(2) / sum(len(text.encode("utf-8")) for text in corpus.held_out)


def _pretrain(config: QuickstartConfig, clock: Clock, encoded: Encoded, until: float) -> tuple[LanguageModel, Setting]:
    """Train from random weights until so many seconds after the beginning."""
    shape, training = at_depth(4)
    length = min(192, len(encoded.train) - 2)
    if length < 16 or len(encoded.held_out) < 2:
        raise UserError(
            f"--source {config.source}: {len(encoded.train)} tokens are too few to train on; give a longer text"
        )
    shape = dataclasses.replace(shape, vocabulary_size=encoded.tokenizer.vocabulary_size)
    training = dataclasses.replace(training, sequence_length=length, batch_rows=8, log_every=10, checkpoint_every=0)
    decoder = build_decoder(shape, config.seed)
    batches = WindowBatches(ArrayTokens(encoded.train), training.batch_rows, length, config.seed)
    with clock.phase("timing a few steps"):
        dtype, seconds = choose_dtype(config.dtype, decoder, batches, training, Setting(seed=config.seed))
    left = until - clock.elapsed
    steps = steps_within(left, seconds)
    every = max(1, steps // 8)
    training = dataclasses.replace(training, steps=steps, evaluate_every=every, sample_every=max(1, steps // 4))
    setting = Setting(dtype=dtype, seed=config.seed)
    name = next(name for name, value in DTYPES.items() if value == dtype)
    hooks: list[Hook] = [
        HeldOut(
            encoded.tokenizer,
            ArrayTokens(encoded.held_out[:16384]),
            every=every,
            last_step=0,
            limit=8192,
            length=length,
            dtype=dtype,
        ),
        Sample(encoded.tokenizer, config.out / "samples", every=training.sample_every, seed=config.seed),
    ]
    title = f"pretraining {decoder.parameter_count() / 1e6:.1f} million parameters in {name}"
    progress = TrainingProgress("pretrain", steps)
    with clock.phase(title, left), stop_on_signals() as stop, progress:
        fit(
            decoder,
            batches,
            training,
            setting=setting,
            folder=config.out,
            hooks=hooks,
            watcher=progress,
            stop=stop,
            pace=Deadline(left, seconds),
        )
    return LanguageModel(SavedModel(decoder, encoded.tokenizer, provenance={"source": _told(config.source)})), setting


def _teach(clock: Clock, corpus: Corpus, model: LanguageModel, setting: Setting) -> None:
    """Fine-tune on conversations for the time that is left before the ending."""
    training = TrainingConfig(
        batch_rows=16,
        sequence_length=128,
        optimizer=TEACHING,
        schedule=ScheduleConfig(shape="linear", warmup_steps=5),
    )
    batches = instruct_batches(model, corpus.conversations, training, setting.seed, corpus.rehearsal)
    with clock.phase("timing a few steps"):
        seconds = step_seconds(model.decoder, batches, training, setting, budget=2.0)
    left = max((1.0 - ENDING_SHARE) * clock.budget - clock.elapsed, 0.0)
    training = dataclasses.replace(training, steps=steps_within(left, seconds))
    title = f"fine-tuning on {len(corpus.conversations):,} conversations"
    progress = TrainingProgress("fine-tune", training.steps)
    with clock.phase(title, left), stop_on_signals() as stop, progress:
        instruct(
            model,
            corpus.conversations,
            training,
            documents=corpus.rehearsal,
            setting=setting,
            watcher=progress,
            stop=stop,
            pace=Deadline(left, seconds),
        )


def _write(out: Path, model: LanguageModel, result: QuickstartResult, clock: Clock) -> None:
    """Write the model, the questions, the report and the result."""
    from scratchlm.recipes.quickreport import write_quickstart_report

    with clock.phase("writing model and report"):
        model.saved.generation = {**SAMPLING, "max_tokens": 200}
        model.saved.provenance["bits_per_byte"] = result.held_out.bits_per_byte
        save_model(out / "model", model.saved)
        if result.questions:
            lines = [json.dumps(answer.as_dict(), ensure_ascii=False) for answer in result.questions]
            write_text(out / "questions.jsonl", "\n".join(lines) + "\n")
        result.seconds = clock.elapsed
        write_quickstart_report(out, result, list(read_log(out / "metrics.jsonl")))
    result.seconds = clock.elapsed
    write_json(out / RESULT_FILE, {**result.as_dict(), "out": out.absolute().name})
