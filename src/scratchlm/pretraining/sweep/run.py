"""`scratchlm pretrain --sweep`: train trials by successive halving, and report which is best.

Each trial is a run folder in `trials/`, named by its number and its steps. What is compared is read from these folders,
so that a sweep can be killed and resumed: what has ended stays, what had begun goes on.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from scratchlm.base.config import to_dict, to_toml
from scratchlm.base.device import DTYPES, set_threads
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.files import read_json, write_text
from scratchlm.base.memory import available_memory
from scratchlm.base.runfolder import (
    BEST_FILE,
    LOG_FILE,
    MANIFEST_FILE,
    RECIPE_FILE,
    REPORT_FILE,
    TRIALS,
    Evaluation,
    read_log,
)
from scratchlm.base.signals import stop_on_signals
from scratchlm.base.terminal import say
from scratchlm.data.mixture import open_corpora
from scratchlm.model.decoder import outline
from scratchlm.pretraining.beginning import beginning, inputs_of, loss_of, write_beginning
from scratchlm.pretraining.budget.settling import machine_settings, settle
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.forecast import OF_A_PROCESS
from scratchlm.pretraining.sweep.halving import Halving, Round, rounds
from scratchlm.pretraining.sweep.result import Ended, SweepResult
from scratchlm.pretraining.sweep.runners import Local, Runner, Train, TrainOnRay
from scratchlm.pretraining.sweep.trials import Trial, trials_of
from scratchlm.pretraining.train import PretrainResult, result_of
from scratchlm.reports.page import render
from scratchlm.runs.resuming import require_unchanged
from scratchlm.runs.run import end_run, write_run_result
from scratchlm.training.profiling import estimate_memory
from scratchlm.training.ranks import Ranks
from scratchlm.weights.ensemble import find_models


@dataclass
class Sweep:
    """A sweep on its way."""

    out: Path
    config: PretrainConfig
    trials: Sequence[Trial]
    runner: Runner
    at_once: int
    """Trials of a round that share the threads."""
    running: dict[Future[None], tuple[int, int]] = field(default_factory=dict)
    """Trial and round."""
    problems: dict[int, str] = field(default_factory=dict)
    waiting: tuple[int, int] | None = None
    """What begins next, once enough threads are free."""
    stopped: bool = False

    def __post_init__(self) -> None:
        """Plan the rounds."""
        self.rounds: list[Round] = rounds(len(self.trials), self.config.training.steps)
        self.halving = Halving(self.rounds)

    def train(self) -> SweepResult:
        """Train all trials; write `result.json`, `report.html` and `best.toml`, and return what was found.

        Raises `Interrupted` after a stop, with every run saved, and `UserError` where no trial came to its end.
        """
        (self.out / TRIALS).mkdir(exist_ok=True)
        with stop_on_signals() as stop:
            while not self.halving.done:
                if not stop.requested:
                    self._start_what_is_ready()
                elif not self.stopped:
                    self.runner.stop()
                    self.stopped = True
                ended, _ = wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in ended:
                    self._end(future)
                if stop.requested and not self.running:
                    raise Interrupted(f"stopped; continue with: scratchlm pretrain --resume {self.out}")
        result = self.result()
        if not result.trials[0].bits_per_byte:
            raise UserError(f"--sweep: no trial came to its end; the first: {result.trials[0].problem}")
        self._write(result)
        return result

    def result(self) -> SweepResult:
        """Return what is known, trials best first."""
        scores = self.halving.scores
        trials = [
            Ended(
                number,
                self.trials[number].values,
                [
                    s
                    for round_number in range(len(self.rounds))
                    if math.isfinite(s := scores.get((number, round_number), math.inf))
                ],
                self.problems.get(number),
            )
            for number in self.halving.order()
        ]
        return SweepResult(list(self.trials[0].values), [round_number.steps for round_number in self.rounds], trials)

    def best(self) -> Path:
        """Return the run folder of the best trial."""
        first = self.result().trials[0]
        return self.folder(first.number, len(first.bits_per_byte) - 1)

    def folder(self, trial: int, round_number: int) -> Path:
        """Return the run folder of a trial on a round."""
        return self.out / TRIALS / f"{trial:03d}-{self.rounds[round_number].steps}"

    def _start_what_is_ready(self) -> None:
        while (job := self.waiting or self.halving.next()) is not None:
            self.waiting = job
            if score(self.folder(*job)) is not None:  # trained before a stop
                self._note(*job)
            elif self._threads(job[1]) > self.runner.threads:
                return
            else:
                self._start(*job)
            self.waiting = None

    def _threads(self, round_number: int) -> int:
        return max(1, (self.config.threads or 1) // min(self.at_once, self.rounds[round_number].trials))

    def _start(self, trial: int, round_number: int) -> None:
        folder, threads = self.folder(trial, round_number), self._threads(round_number)
        config: PretrainConfig
        if (folder / RECIPE_FILE).exists():
            config = PretrainConfig(resume=folder, threads=threads, allow_changes=self.config.allow_changes)
        else:
            config = self._config(trial, round_number, threads)
        self.runner.threads -= threads
        self.running[self.runner.start(config, threads, folder.with_suffix(".log"))] = (trial, round_number)

    def _config(self, trial: int, round_number: int, threads: int) -> PretrainConfig:
        """Return what a trial is trained by: on a round before the last, with fewer steps and looks at its way."""
        config = self.trials[trial].config
        training = dataclasses.replace(config.training, steps=self.rounds[round_number].steps)
        if round_number < len(self.rounds) - 1:
            tokens = training.evaluation_tokens
            training = dataclasses.replace(
                training, evaluate_every=0, sample_every=0, last_evaluation_tokens=tokens, keep_checkpoints=1
            )
        return dataclasses.replace(
            config,
            out=self.folder(trial, round_number),
            training=training,
            threads=threads,
            resume=None,
            allow_changes=False,
            sweep=(),
            sweep_processes=None,
            sweep_on="here",
        )

    def _end(self, future: Future[None]) -> None:
        trial, round_number = self.running.pop(future)
        self.runner.threads += self._threads(round_number)
        try:
            future.result()
        except Exception as error:  # whatever it was, the other trials go on
            self.problems[trial] = str(error).splitlines()[-1] if str(error) else type(error).__name__
        self._note(trial, round_number)

    def _note(self, trial: int, round_number: int) -> None:
        """Take note of a trial that has ended, and report it."""
        bits = score(self.folder(trial, round_number))
        if bits is not None:
            self.problems.pop(trial, None)
        self.halving.add(trial, round_number, math.inf if bits is None else bits)
        values = ", ".join(f"{name.split('.')[-1]} {value}" for name, value in self.trials[trial].values.items())
        outcome = f"failed: {self.problems.get(trial)}" if bits is None else f"{bits:.4f} bits per byte"
        say(f"trial {trial} ({values}), {self.rounds[round_number].steps:,} steps: {outcome}")

    def _write(self, result: SweepResult) -> None:
        config = self.trials[result.trials[0].number].config
        recipe = {"preset": "default", "model": to_dict(config.model), "training": to_dict(config.training)}
        write_text(self.out / BEST_FILE, to_toml(recipe))
        write_run_result(self.out, dataclasses.asdict(result))
        write_sweep_report(self.out, result, self.best())


def write_sweep_report(out: Path, result: SweepResult, best: Path) -> None:
    """Write what a sweep found as a page; `best` is the run folder of the best trial."""
    name = out.absolute().name
    run, recipe = (shlex.quote(f"{name}/{place}") for place in (f"{TRIALS}/{best.name}", BEST_FILE))
    write_text(out / REPORT_FILE, render("sweep.jinja", name=name, found=result, run=run, recipe=recipe))


def score(run: Path) -> float | None:
    """Return a run's bits per byte on held-out text at its end, or None where it has not ended."""
    if not (run / MANIFEST_FILE).exists() or "ended" not in read_json(run / MANIFEST_FILE):
        return None
    evaluations = [record for record in read_log(run / LOG_FILE) if isinstance(record, Evaluation)]
    return evaluations[-1].bits_per_byte if evaluations else None


def sweep(config: PretrainConfig, ranks: Ranks, pretrain: Train) -> PretrainResult:
    """Train the trials of a sweep, each by `pretrain`, and return where the best one ended."""
    assert config.out is not None
    if ranks.size > 1:
        raise UserError("--sweep: its trials are processes of their own; start it without torchrun")
    trials_of(config)  # which reports what is wrong before anything is begun
    on_ray = config.sweep_on == "ray"
    started, out, threads = time.perf_counter(), config.out, set_threads(config.threads or (1 if on_ray else None))
    data = open_corpora(config.data, config.mix, config.mix_after, config.training.steps)
    tokenizer, train = data.tokenizer, data.train
    inputs = inputs_of(config, data.digest)
    if config.resume is not None:
        require_unchanged(config.resume, inputs, threads, allowed=config.allow_changes)
    else:
        asked_for, config = config, machine_settings(config, threads)
        saved = beginning(config, tokenizer)
        loss_of(config, saved, ranks)  # which reports what is wrong before anything is begun
        settled = settle(asked_for, config, saved.decoder, train, ranks)
        at_once = 1 if on_ray else _at_once(settled.config, threads)
        config = dataclasses.replace(settled.config, sweep_processes=at_once)
        stored = dataclasses.replace(settled.stored, sweep_processes=at_once)
        write_beginning(out, dataclasses.replace(settled, config=config, stored=stored), tokenizer, inputs, ranks)
    runner = TrainOnRay(pretrain) if on_ray else Local(pretrain, threads)
    trials = Sweep(out, config, trials_of(config), runner, config.sweep_processes or 1)
    table = trials.train()
    end_run(out)
    parameters = outline(trials.trials[table.trials[0].number].config.model).parameter_count()
    return dataclasses.replace(result_of(trials.best(), parameters, time.perf_counter() - started), sweep=table)


def _at_once(config: PretrainConfig, threads: int) -> int:
    """Return how many trials are trained at a time: one a thread, fewer where memory is short, one on a GPU."""
    if config.device != "cpu":
        return 1
    wanted, available = min(config.sweep_processes or threads, threads), available_memory()
    each = estimate_memory(outline(config.model), config.training, DTYPES[config.dtype]).total + OF_A_PROCESS
    if config.teacher is not None:
        each += sum(
            file.stat().st_size for model in find_models(config.teacher) for file in model.glob("*.safetensors")
        )
    return wanted if available is None else max(1, min(wanted, available // each))
