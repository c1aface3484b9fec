"""One pretraining run, as a story: its data, its model, its loop, what looks on, its end."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scratchlm.base.device import DTYPES, choose_device, set_threads
from scratchlm.base.files import read_json
from scratchlm.base.result import Result
from scratchlm.base.runfolder import LOG_FILE, MANIFEST_FILE, SAMPLES, Evaluation, Train, read_log
from scratchlm.data.batches import pad_of
from scratchlm.data.mixture import open_corpora
from scratchlm.model.decoder import Decoder
from scratchlm.pretraining.beginning import (
    beginning_on,
    forecast_of,
    inputs_of,
    loss_of,
    provenance_of,
    write_beginning,
)
from scratchlm.pretraining.budget.pacing import pace_of
from scratchlm.pretraining.budget.settling import at_best_depth, machine_settings, settle
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.forecast import compared, flops_utilization
from scratchlm.pretraining.skipped import documents_in, skipped_steps
from scratchlm.pretraining.sweep.result import SweepResult
from scratchlm.reports.page import write_report
from scratchlm.runs.hooks import HeldOut, WriteSample
from scratchlm.runs.resuming import (
    begun_by_this_torchrun,
    require_unchanged,
)
from scratchlm.runs.run import end_run, run_fit
from scratchlm.runs.tracking import require_trackers
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.fit import Hook
from scratchlm.training.loop import Loop, OnStep, RuntimeConfig
from scratchlm.training.prefetching import for_device
from scratchlm.training.ranks import Ranks
from scratchlm.training.stages import CorpusRead, corpora_read, training_batches

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class PretrainResult(Result):
    """Where a run ended."""

    out: str
    steps: int
    parameters: int
    loss: float
    bits_per_byte: float
    tokens_per_second: float
    seconds: float
    sweep: SweepResult | None = None
    """Of which this run is the best."""

    def __rich__(self) -> RenderableType:
        from rich.console import Group

        line = (
            f"{self.out}: {self.steps:,} steps, {self.parameters:,} parameters, held-out loss {self.loss:.4f}, "
            f"{self.bits_per_byte:.4f} bits per byte, {self.tokens_per_second:,.0f} tokens/s, {self.seconds:.0f} s"
        )
        return line if self.sweep is None else Group(self.sweep.table(), line)


def train(config: PretrainConfig, ranks: Ranks, on_step: OnStep | None) -> PretrainResult:
    """Train a run, new or resumed, on ranks that have joined, and return where it ended."""
    assert config.out is not None
    started, out = time.perf_counter(), config.out
    data = open_corpora(config.data, config.mix, config.mix_after, config.training.steps)
    tokenizer, train = data.tokenizer, data.train
    threads = set_threads(config.threads)
    inputs = inputs_of(config, data.digest)
    ranks.require_same({f"--{name}": digest for name, digest in inputs.items()}, "give all ranks the same files")
    require_trackers(config.track)
    if config.resume is not None:
        config = _going_on(config, config.resume, inputs, threads, ranks)
    asked_for = config
    if config.resume is None:
        config = at_best_depth(machine_settings(config, threads), tokenizer.vocabulary_size, train, ranks)
    saved = beginning_on(ranks, config, tokenizer)
    loss = loss_of(config, saved, ranks)
    if config.resume is None:
        settled = settle(asked_for, config, saved.decoder, train, ranks)
        config = settled.config
        expected = forecast_of(config, train, settled.step) if ranks.size == 1 else None
        ranks.from_first(Checkpoints.of(out, saved, config.training).require_space)
        ranks.from_first(lambda: write_beginning(out, settled, tokenizer, inputs, ranks, expected))
    saved.provenance = provenance_of(config, saved)
    training = config.training
    runtime = RuntimeConfig(choose_device(config.device), DTYPES[config.dtype], config.seed)
    batches = for_device(training_batches(train, training, config.seed, pad_of(tokenizer)), runtime.device)
    place = ranks.placement(saved.decoder, runtime.device, config.sharding)
    loop = Loop(saved.decoder, batches, training, loss=loss, runtime=runtime, placement=place, on_step=on_step)
    loop.describe = documents_in(train, tokenizer)
    scores = HeldOut(
        tokenizer, data.held_out, data.weights, every=training.evaluate_every, last_step=lambda: loop.config.steps,
        limit=training.evaluation_tokens, length=training.sequence_length, dtype=runtime.dtype,
        last_limit=training.last_evaluation_tokens,
    )  # fmt: skip
    sample = WriteSample(tokenizer, out / SAMPLES, every=training.sample_every, seed=config.seed)
    pace, resume = pace_of(out, config, ranks, saved.provenance), config.resume is not None
    hooks: list[Hook] = [scores, sample]
    run_fit("scratchlm pretrain", out, saved, loop, hooks=hooks, pace=pace, resume=resume, track=config.track)
    read = corpora_read(train, loop.config, config.seed)
    return ranks.from_first(lambda: _finish(out, saved.decoder, time.perf_counter() - started, read))


def _going_on(config: PretrainConfig, run: Path, inputs: dict[str, str], threads: int, ranks: Ranks) -> PretrainConfig:
    """Return the settings of a run to resume, once it is known that nothing has changed."""
    ranks.from_first(
        lambda: require_unchanged(
            run, inputs, threads, allowed=config.allow_changes, ranks=ranks.size,
            same_job=begun_by_this_torchrun(run), micro_batch_size=config.training.micro_batch_size,
        )
    )  # fmt: skip
    return config if ranks.size > 1 else dataclasses.replace(config, sharding="none")


def _finish(out: Path, decoder: Decoder, seconds: float, read: list[CorpusRead]) -> PretrainResult:
    """Add the end to the manifest, write the report, and return the last evaluation."""
    end_run(out, {"corpora": [dataclasses.asdict(corpus) for corpus in read]} if read else {})
    manifest = read_json(out / MANIFEST_FILE)
    rows, use = compared(out, manifest), flops_utilization(out, manifest)
    write_report(out, "pretrain.jinja", manifest=manifest, skipped=skipped_steps(out), forecast=rows, use=use)
    return result_of(out, decoder.parameter_count(), seconds)


def result_of(out: Path, parameters: int, seconds: float) -> PretrainResult:
    """Return where a run ended, by its log."""
    records = list(read_log(out / LOG_FILE))
    last = [record for record in records if isinstance(record, Evaluation)][-1]
    steps = [record for record in records if isinstance(record, Train)]
    speed = sum(r.tokens for r in steps) / max(sum(r.timing.seconds for r in steps), 1e-9)
    assert last.loss is not None
    assert last.bits_per_byte is not None
    return PretrainResult(str(out), last.step, parameters, last.loss, last.bits_per_byte, speed, seconds)
