"""`scratchlm quickstart`: the whole life of a model in minutes, offline, one phase after the other.

Text, tokenizer, n-gram rival, pretraining, conversations, held-out measurement, sentences, questions, report; all is
measured on the model that is delivered. The budget is kept by measuring: a probe of at most a twentieth of it chooses
the size, each training takes as many steps as fit what is left and corrects itself as it goes, and what is asked at the
end has deadlines. A machine that slows down meanwhile learns less, not longer.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scratchlm.base.device import DTYPES, DtypeName, set_threads, threads
from scratchlm.base.errors import UserError
from scratchlm.base.files import write_json, write_text
from scratchlm.base.folders import write_marker
from scratchlm.base.outputs import clear, output_folder
from scratchlm.base.runfolder import LOG_FILE, REPORT_FILE, SAMPLES, SKIPPED
from scratchlm.base.signals import stop_on_signals
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.evaluation.bits import HeldOutLoss, held_out_loss
from scratchlm.finetuning.supervised import instruct
from scratchlm.generation.language_model import LanguageModel
from scratchlm.model.decoder import build_decoder
from scratchlm.runs.hooks import HeldOut, WriteSample
from scratchlm.storyworld.quiz import Question
from scratchlm.tokens.base import END_OF_TEXT
from scratchlm.tokens.fast import FastBPE
from scratchlm.tours.quickstart.attention import answer_attention
from scratchlm.tours.quickstart.config import QuickstartConfig
from scratchlm.tours.quickstart.qa_eval import SAMPLING, SENTENCES, ask, read_aloud
from scratchlm.tours.quickstart.result import Phase, QuickstartResult, write_quickstart_report
from scratchlm.tours.quickstart.sizes import (
    LENGTH,
    QuickstartSize,
    Speed,
    best_for_facts,
    best_for_text,
    measure_speeds,
    minutes_to_reach,
    shape_of,
    training_of,
)
from scratchlm.tours.quickstart.text import (
    LARGEST,
    MANY_PORTRAITS,
    PORTRAITS,
    QuickstartText,
    storyworld_corpus,
    users_corpus,
)
from scratchlm.training.config import AdamWConfig, MuonConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.probing import PROBE_SHARE
from scratchlm.training.profiling import Deadline, steps_within
from scratchlm.training.progress import TrainingProgress
from scratchlm.weights.checkpoint import SavedModel, save_model

RESULT_FILE = "quickstart.json"
KIND = "quickstart"
"""Kind in the marker of the folder."""
FILES = [RESULT_FILE, LOG_FILE, REPORT_FILE, "questions.jsonl", f"{SAMPLES}/*.txt", f"{SKIPPED}/*.json"]
"""What a quickstart writes, as the marker names it; its model has a marker of its own."""
PRETRAIN_SHARE = 0.62
"""Fraction of the whole budget that pretraining ends at, where conversations follow."""
ALONE_SHARE = 0.92
"""The same where none do."""
ENDING_SHARE, SHORTEST_ENDING = 0.06, 3.0
"""Fraction of the whole budget that is kept for measuring, questions and the report, and the fewest seconds of it."""
PRETRAINING = "pretraining"
"""How the name of that phase begins."""
LONGEST_PROBE = 4.0
"""Seconds of the probe at most: longer ones show no more."""
WRITTEN = 10
"""How often it writes a sample during pretraining, in a fiftieth of the time at most."""
LOOKS = 8
"""How often held-out text is scored during pretraining."""
BYTES_A_TOKEN = 4.4
"""About how many bytes of the embedded corpus a token stands for."""
BYTES_A_SECOND = 100_000
"""Bytes of a user's text that are read for each second of the budget: more than is learned from."""

TEACHING = MuonConfig(learning_rate=0.012, adam=AdamWConfig(learning_rate=0.004, weight_decay=0.0))
"""How fine-tuning steps: gently, or it forgets the stories."""


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

    @property
    def ending(self) -> float:
        """Seconds that are kept for what follows training."""
        return min(max(ENDING_SHARE * self.budget, SHORTEST_ENDING), 0.2 * self.budget)

    def left(self, share_of_ending: float) -> float:
        """Return the seconds until only this fraction of the ending is left."""
        return max(self.budget - share_of_ending * self.ending - self.elapsed, 0.0)

    @contextmanager
    def phase(self, name: str, predicted: float | None = None) -> Iterator[Phase]:
        """Time a phase and report its beginning on stderr."""
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
    with clock.phase("timing a few steps"):
        dtype, speeds = measure_speeds(config.dtype, config.seed, min(LONGEST_PROBE, PROBE_SHARE * clock.budget))
    size = _size(config, clock, dtype, speeds)
    with clock.phase("text"):
        corpus = _corpus(config, clock, size)
    clear(config.out)
    write_marker(config.out, KIND, FILES)
    write_json(config.out / RESULT_FILE, {"format": 1, "state": "running"})
    with clock.phase(f"tokenizer and a 5-gram model on {corpus.bytes / 1e6:.1f} MB"):
        encoded = _encode(corpus)
        ngram = _ngram_nats(encoded)
    print(size.sentence(config.minutes, corpus, size.until - clock.elapsed), file=sys.stderr, flush=True)
    model, runtime, tokens = _pretrain(config, clock, encoded, size)
    model.saved.provenance["stories"] = corpus.made_by
    if corpus.conversations:
        _teach(clock, corpus, model, runtime, size.speed)
    with clock.phase("measuring on held-out text"):
        held_out, of_ngram = _measure(clock, encoded, model, ngram, size.speed)
    result = QuickstartResult(
        str(config.out),
        _source_name(config.source),
        model.decoder.parameter_count(),
        held_out,
        of_ngram,
        clock.phases,
        0.0,
        clock.budget,
        left_out=corpus.left_out,
    )
    with clock.phase("writing sentences"), threads(1):
        result.sample, result.reading = read_aloud(model, corpus, config.seed, size.sentences, clock.left(0.4))
    if corpus.conversations:
        with clock.phase("asking questions"), threads(1):
            result.questions = ask(model, _some(corpus.questions, size.questions), clock.left(0.2))
            result.attention = answer_attention(model, result.questions)
    result.left_out += _for_lack_of_time(result, corpus, held_out.tokens < len(encoded.held_out))
    result.minutes_to_ngram = minutes_to_ngram(result, tokens)
    _write(config.out, model, result, clock)
    return result


def _size(config: QuickstartConfig, clock: Clock, dtype: DtypeName, speeds: list[Speed]) -> QuickstartSize:
    """Choose what fits the time."""
    embedded = _embedded(config)
    until = (PRETRAIN_SHARE if embedded else ALONE_SHARE) * clock.budget
    seconds = max(0.95 * until - clock.elapsed, 1.0)  # text and tokenizer come before; a law takes no negative time
    speed = best_for_facts(speeds, seconds) if embedded else best_for_text(speeds, seconds)
    sentences = min(SENTENCES, int(1.2 * clock.budget))
    return QuickstartSize(speed, dtype, until, max(1, sentences), max(1, int(6 * clock.budget)))


def _embedded(config: QuickstartConfig) -> bool:
    return config.source.partition(":")[0] == "storyworld"


def _some(questions: Sequence[Question], wanted: int) -> Sequence[Question]:
    """Return questions at equal distances where not all are wanted."""
    return questions[:: -(-len(questions) // wanted)] if questions else questions


def _for_lack_of_time(result: QuickstartResult, corpus: QuickstartText, shortened: bool) -> list[str]:
    """Report what was done less of."""
    omitted = []
    if corpus.questions and len(result.questions) < len(corpus.questions):
        omitted.append(
            f"{len(corpus.questions) - len(result.questions)} of {len(corpus.questions)} questions, for lack of time"
        )
    if result.reading is not None and result.reading.sentences < SENTENCES:
        omitted.append(f"{SENTENCES - result.reading.sentences} of {SENTENCES} sentences, for lack of time")
    if shortened:
        omitted.append(f"held-out text beyond its first {result.held_out.text_bytes:,} bytes, for lack of time")
    return omitted


def minutes_to_ngram(result: QuickstartResult, tokens: int) -> int | None:
    """Return the minutes of a whole quickstart that should bring this model below the n-gram; None where it is there.

    What the run did beside training it will do again, so the answer is always more than the minutes that were given.
    """
    now, wanted = result.held_out.bits_per_byte, result.ngram_bits_per_byte
    if now <= wanted or result.questions or not tokens:
        return None
    trained = sum(phase.actual for phase in result.phases if phase.name.startswith(PRETRAINING))
    minutes = minutes_to_reach(wanted, now, tokens, tokens / max(trained, 1e-9))
    return None if minutes is None else math.ceil(minutes + max(result.budget - trained, 0.0) / 60.0)


def _source_paths(source: str) -> tuple[Path, ...]:
    return (Path(source),) if Path(source).exists() else ()


def _source_name(source: str) -> str:
    """Return what a text is called: a named source as it is, a file or folder by its name."""
    return os.path.basename(os.path.abspath(source)) if _source_paths(source) else source


def _corpus(config: QuickstartConfig, clock: Clock, size: QuickstartSize) -> QuickstartText:
    if _embedded(config):
        read = (size.until - clock.elapsed) * size.speed.tokens_per_second * BYTES_A_TOKEN
        wanted = min(max(config.minutes * 1.3e6, 6e5), 60e6, max(read, 4e5))
        return storyworld_corpus(int(wanted), config.seed, PORTRAITS if size.speed.layers > 3 else MANY_PORTRAITS)
    largest = min(LARGEST, BYTES_A_SECOND * clock.budget)
    return users_corpus(config.source, config.text_column, config.seed, largest)


def _encode(corpus: QuickstartText) -> Encoded:
    """Train a tokenizer that suits the text, and encode both sides: whole words in the stories' small world."""
    size = 3072 if corpus.grammatical or corpus.bytes > 1_500_000 else 1024 if corpus.bytes > 200_000 else 512
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


def _ngram_nats(encoded: Encoded) -> np.ndarray:
    """Return what each held-out token costs an order-5 Kneser-Ney model on the same tokens, documents begun alike."""
    start = np.array([encoded.tokenizer.end_of_text], dtype=np.int64)
    model = KneserNey.fit(
        [np.concatenate([start, ids]) for ids in encoded.train_documents], encoded.tokenizer.vocabulary_size
    )
    costs = [-model.token_log_probabilities(np.concatenate([start, ids]))[1:] for ids in encoded.held_out_documents]
    return np.concatenate(costs)


def _measure(
    clock: Clock, encoded: Encoded, model: LanguageModel, ngram: np.ndarray, speed: Speed
) -> tuple[HeldOutLoss, float]:
    """Score as much held-out text as a third of what is left has time for; return the n-gram's bits per byte on it."""
    allowed = int(clock.left(0.0) / 3 * speed.tokens_per_second)  # in fp32, about as fast as training in bf16
    tokens = encoded.held_out[: max(allowed, LENGTH)]
    held_out = held_out_loss(model.decoder, encoded.tokenizer, ArrayTokens(tokens))
    return held_out, float(ngram[: len(tokens)].sum()) / math.log(2) / max(held_out.text_bytes, 1)


def _pretrain(
    config: QuickstartConfig, clock: Clock, encoded: Encoded, size: QuickstartSize
) -> tuple[LanguageModel, RuntimeConfig, int]:
    """Train from random weights until some seconds after the beginning; return the tokens read too."""
    length = min(LENGTH, len(encoded.train) - 2)
    if length < 16 or len(encoded.held_out) < 2:
        raise UserError(
            f"--source {config.source}: {len(encoded.train)} tokens are too few to train on; give a longer text"
        )
    shape = shape_of(size.speed.layers, size.speed.width, encoded.tokenizer.vocabulary_size, length)
    training = training_of(size.speed.width, length)
    decoder = build_decoder(shape, config.seed)
    batches = WindowBatches(ArrayTokens(encoded.train), training.batch_size, length, config.seed)
    left = max(size.until - clock.elapsed, 0.0)
    step_tokens = training.batch_size * length
    seconds = step_tokens / size.speed.tokens_per_second
    steps = steps_within(left, seconds)
    training = dataclasses.replace(training, steps=steps)
    runtime = RuntimeConfig(dtype=DTYPES[size.dtype], seed=config.seed)
    limit = min(8192, max(LENGTH, steps * step_tokens // 100))  # all looks together some hundredths of the time
    looked, looks = ArrayTokens(encoded.held_out[:16384]), max(1, steps // LOOKS)
    held_out = HeldOut(
        encoded.tokenizer,
        {"text": looked},
        (1.0,),
        looks,
        last_step=lambda: 0,
        limit=limit,
        length=length,
        dtype=runtime.dtype,
    )
    every, longest = max(1, steps // WRITTEN), left / (50 * WRITTEN)
    sample = WriteSample(encoded.tokenizer, config.out / SAMPLES, every=every, seed=config.seed, seconds=longest)
    title = f"{PRETRAINING} {decoder.parameter_count() / 1e6:.1f} million parameters in {size.dtype}"
    progress = TrainingProgress("pretrain", steps)
    pace = Deadline(left, seconds, steps=steps)
    with clock.phase(title, left), stop_on_signals() as stop, progress:
        loop = Loop(decoder, batches, training, runtime=runtime)
        fit(loop, folder=config.out, hooks=[held_out, sample], watcher=progress, stop=stop, pace=pace)
    model = LanguageModel(SavedModel(decoder, encoded.tokenizer, provenance={"source": _source_name(config.source)}))
    return model, runtime, pace.steps * step_tokens


def _teach(clock: Clock, corpus: QuickstartText, model: LanguageModel, runtime: RuntimeConfig, speed: Speed) -> None:
    """Fine-tune on conversations for the time that is left before the ending."""
    training = TrainingConfig(
        batch_size=16, sequence_length=128, optimizer=TEACHING, schedule=ScheduleConfig(shape="linear", warmup_steps=5)
    )
    left = clock.left(1.0)
    seconds = training.batch_size * training.sequence_length / speed.tokens_per_second
    training = dataclasses.replace(training, steps=steps_within(left, seconds))
    title = f"fine-tuning on {len(corpus.conversations):,} conversations"
    progress = TrainingProgress("fine-tune", training.steps)
    with clock.phase(title, left), stop_on_signals() as stop, progress:
        instruct(
            model,
            corpus.conversations,
            training,
            documents=corpus.rehearsal,
            runtime=runtime,
            train=partial(fit, watcher=progress, stop=stop, pace=Deadline(left, seconds)),
        )


def _write(out: Path, model: LanguageModel, result: QuickstartResult, clock: Clock) -> None:
    """Write the model, the questions, the report and the result."""
    with clock.phase("writing model and report"):
        model.saved.generation = {**SAMPLING, "max_tokens": 200}
        model.saved.provenance["bits_per_byte"] = result.held_out.bits_per_byte
        model.saved.provenance["questions"] = [answer.question for answer in result.shown_questions]
        save_model(out / "model", model.saved)
        if result.questions:
            lines = [json.dumps(answer.as_dict(), ensure_ascii=False) for answer in result.questions]
            write_text(out / "questions.jsonl", "\n".join(lines) + "\n")
        result.seconds = clock.elapsed
        write_quickstart_report(out, result)
    result.seconds = clock.elapsed
    write_json(out / RESULT_FILE, {**result.as_dict(), "out": out.absolute().name})
