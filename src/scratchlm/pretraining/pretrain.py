"""`scratchlm pretrain`: a run folder from random weights, or from a model, that can be stopped and resumed exactly."""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from scratchlm.base.device import DTYPES, choose_device, set_threads
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import read_json
from scratchlm.base.memory import available_memory
from scratchlm.base.paths import stored_path
from scratchlm.base.result import Result
from scratchlm.base.runfolder import LOG_FILE, MANIFEST_FILE, SAMPLES, Evaluation, Train, read_log
from scratchlm.data.batches import Tokens, pad_of
from scratchlm.data.mixture import open_corpora
from scratchlm.data.prepared import REPORT_FILE, data_folder, read_report
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import Decoder, build_decoder, outline
from scratchlm.model.lora import unpack_base
from scratchlm.model.network import CausalLM
from scratchlm.pretraining.budget.pacing import pace_of
from scratchlm.pretraining.budget.settling import Settled, at_best_depth, machine_settings, settle
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.forecast import OF_A_PROCESS, Forecast, compared, flops_utilization, forecast
from scratchlm.pretraining.skipped import documents_in, skipped_steps
from scratchlm.pretraining.sweep.run import Sweep, SweepResult
from scratchlm.pretraining.sweep.runners import Local, OnRay
from scratchlm.pretraining.sweep.trials import trials_of
from scratchlm.reports.page import write_report
from scratchlm.runs.hooks import HeldOut, Sample
from scratchlm.runs.resuming import (
    JOB,
    begun_by_this_torchrun,
    digest_of_model,
    recorded_dtype,
    refuse_flags,
    require_unchanged,
    stored_settings,
    torchrun_job,
    with_micro_batch,
)
from scratchlm.runs.run import begin_run, end_run, held, run_fit, stored_values
from scratchlm.runs.tracking import require_trackers
from scratchlm.tokens.base import Tokenizer
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.distilling import distillation_loss, load_teacher
from scratchlm.training.distributed.ranks import Ranks, joined
from scratchlm.training.loop import Loop, OnStep, RuntimeConfig
from scratchlm.training.loss import Loss, next_token_loss
from scratchlm.training.prefetching import for_device
from scratchlm.training.profiling import estimate_memory, require_training_memory
from scratchlm.training.stages import CorpusRead, corpora_read, stages, training_batches
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, require_trainable
from scratchlm.weights.ensemble import digest_of_models, find_models, load_network


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
        told = (
            f"{self.out}: {self.steps:,} steps, {self.parameters:,} parameters, held-out loss {self.loss:.4f}, "
            f"{self.bits_per_byte:.4f} bits per byte, {self.tokens_per_second:,.0f} tokens/s, {self.seconds:.0f} s"
        )
        return told if self.sweep is None else Group(self.sweep.table(), told)


def pretrain(config: PretrainConfig, on_step: OnStep | None = None) -> PretrainResult:
    """Train a run folder to its last step and return where it ended.

    `on_step` is called with the record of each step; where it returns True, the run ends in order after that step.
    Raises `UserError` for data, tokenizer and model that do not belong together, a taken `out` and the like,
    `Interrupted` after Ctrl-C or SIGTERM, with everything saved, and what `on_step` raises.
    """
    with joined(choose_device(config.device)) as ranks, ExitStack() as stack:
        out = config.out
        if out is not None and ranks.from_first(lambda: begun_by_this_torchrun(out)):
            config = PretrainConfig(resume=out, threads=config.threads)
        ranks.from_first(lambda: stack.enter_context(held(config, alone=False)))
        raise_all(config.missing())
        if config.resume is not None:
            config = _stored(config, config.resume)
        if not config.sweep:
            return _pretrain(config, ranks, on_step)
        if on_step is not None:
            raise UserError("on_step: the trials of a sweep are processes of their own; leave out one of the two")
        return _sweep(config, ranks)


def _sweep(config: PretrainConfig, ranks: Ranks) -> PretrainResult:
    """Train the trials of a sweep, and return where the best one ended."""
    assert config.out is not None
    if ranks.size > 1:
        raise UserError("--sweep: its trials are processes of their own; start it without torchrun")
    trials_of(config)  # which reports what is wrong before anything is begun
    on_ray = config.sweep_on == "ray"
    started, out, threads = time.perf_counter(), config.out, set_threads(config.threads or (1 if on_ray else None))
    data = open_corpora(config.data, config.mix, config.mix_after, config.training.steps)
    tokenizer, train = data.tokenizer, data.train
    inputs = _inputs(config, data.digest)
    if config.resume is not None:
        require_unchanged(config.resume, inputs, threads, allowed=config.allow_changes)
    else:
        given, config = config, machine_settings(config, threads)
        saved = _beginning(config, tokenizer)
        _loss(config, saved, ranks)  # which reports what is wrong before anything is begun
        settled = settle(given, config, saved.decoder, train, ranks)
        at_once = 1 if on_ray else _at_once(settled.config, threads)
        config = dataclasses.replace(settled.config, sweep_processes=at_once)
        stored = dataclasses.replace(settled.stored, sweep_processes=at_once)
        _begin(out, dataclasses.replace(settled, config=config, stored=stored), tokenizer, inputs, ranks)
    runner = OnRay(pretrain) if on_ray else Local(pretrain, threads)
    sweep = Sweep(out, config, trials_of(config), runner, config.sweep_processes or 1)
    found = sweep.train()
    end_run(out)
    parameters = outline(sweep.trials[found.trials[0].number].config.model).parameter_count()
    return dataclasses.replace(_told(sweep.best(), parameters, time.perf_counter() - started), sweep=found)


def _inputs(config: PretrainConfig, data: str) -> dict[str, str]:
    """Return the hash of each thing that a run reads."""
    inputs = {"data": data}
    if config.init is not None:
        inputs["init"] = digest_of_model(config.init)
    if config.teacher is not None:
        inputs["teacher"] = digest_of_models(config.teacher)
    return inputs


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


def _pretrain(config: PretrainConfig, ranks: Ranks, on_step: OnStep | None) -> PretrainResult:
    assert config.out is not None
    started, out = time.perf_counter(), config.out
    data = open_corpora(config.data, config.mix, config.mix_after, config.training.steps)
    tokenizer, train = data.tokenizer, data.train
    threads = set_threads(config.threads)
    inputs = _inputs(config, data.digest)
    ranks.require_same({f"--{name}": digest for name, digest in inputs.items()}, "give all ranks the same files")
    require_trackers(config.track)
    if config.resume is not None:
        config = _going_on(config, config.resume, inputs, threads, ranks)
    given = config
    if config.resume is None:
        config = at_best_depth(machine_settings(config, threads), tokenizer.vocabulary_size, train, ranks)
    saved = _beginning_on(ranks, config, tokenizer)
    loss = _loss(config, saved, ranks)
    if config.resume is None:
        settled = settle(given, config, saved.decoder, train, ranks)
        config = settled.config
        expected = _forecast(config, train, settled.step) if ranks.size == 1 else None
        ranks.from_first(Checkpoints.of(out, saved, config.training).require_space)
        ranks.from_first(lambda: _begin(out, settled, tokenizer, inputs, ranks, expected))
    saved.provenance = _provenance(config, saved)
    training = config.training
    runtime = RuntimeConfig(choose_device(config.device), DTYPES[config.dtype], config.seed)
    batches = for_device(training_batches(train, training, config.seed, pad_of(tokenizer)), runtime.device)
    loop = Loop(
        saved.decoder, batches, training, loss=loss, runtime=runtime, ranks=ranks, sharding=config.sharding,
        on_step=on_step,
    )  # fmt: skip
    loop.describe = documents_in(train, tokenizer)
    scores = HeldOut(
        tokenizer,
        data.held_out,
        data.weights,
        every=training.evaluate_every,
        last_step=lambda: loop.config.steps,
        limit=training.evaluation_tokens,
        length=training.sequence_length,
        dtype=runtime.dtype,
        last_limit=training.last_evaluation_tokens,
    )
    sample = Sample(tokenizer, out / SAMPLES, every=training.sample_every, seed=config.seed)
    pace = pace_of(out, config, ranks, saved.provenance)
    run_fit(
        "scratchlm pretrain",
        out,
        saved,
        loop,
        hooks=[scores, sample],
        pace=pace,
        resume=config.resume is not None,
        track=config.track,
    )
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


def _stored(config: PretrainConfig, run: Path) -> PretrainConfig:
    """Return the settings of the run to resume. Raises `UserError` for others that are given beside them."""
    stored = stored_settings(PretrainConfig, run, config)
    refuse_flags(config, stored, PretrainConfig())
    empty = [folder for folder in stored.data if not (data_folder(folder) / REPORT_FILE).exists()]
    raise_all([f"--resume {run}: its data folder {folder} holds no {REPORT_FILE}; put it back" for folder in empty])
    lowered = with_micro_batch(stored, config)
    if stored.sweep and lowered is not stored:
        raise UserError("--training.micro-batch-size: the trials of a sweep keep their settings; leave it out")
    threads, dtype = config.threads or stored.threads, recorded_dtype(run, stored.dtype)
    return dataclasses.replace(
        lowered, out=run, resume=run, threads=threads, dtype=dtype, allow_changes=config.allow_changes
    )


def _beginning_on(ranks: Ranks, config: PretrainConfig, tokenizer: Tokenizer) -> SavedModel:
    """Return `_beginning` on every rank; where each is to hold a part, the first alone holds the whole."""
    if config.sharding == "none":
        return _beginning(config, tokenizer)
    if ranks.size == 1:
        raise UserError(f"--sharding {config.sharding}: needs several processes; start them with torchrun")
    from scratchlm.training.distributed.sharding import require_shared  # a second of imports, which only such runs need

    first: list[SavedModel] = []

    def begin() -> DecoderConfig:
        first.append(_beginning(config, tokenizer))
        require_shared(ranks, config.sharding, config.training)
        return first[0].decoder.config

    shape = ranks.from_first(begin)
    return first[0] if first else SavedModel(outline(shape), tokenizer)


def _beginning(config: PretrainConfig, tokenizer: Tokenizer) -> SavedModel:
    """Build the model with random weights, or load the one to continue, with its template and settings."""
    shape = dataclasses.replace(config.model, vocabulary_size=tokenizer.vocabulary_size)
    if config.training.sequence_length > shape.context:
        raise UserError(
            f"training.sequence_length {config.training.sequence_length}: exceeds model.context {shape.context}; "
            "lower the first or raise the second"
        )
    if config.init is None:
        if choose_device(config.device).type == "cpu":
            require_training_memory(outline(shape), config.training, DTYPES["bf16"])
        return SavedModel(build_decoder(shape, config.seed), tokenizer)
    saved = load_model(find_model(config.init))
    require_trainable(saved, config.init)
    if saved.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"--init {config.init}: its tokenizer ({saved.tokenizer.fingerprint[:12]}) is not that of --data "
            f"{config.data[0]} ({tokenizer.fingerprint[:12]}); prepare the data with --tokenizer {config.init}"
        )
    if config.training.sequence_length > saved.decoder.config.context:
        raise UserError(
            f"training.sequence_length {config.training.sequence_length}: exceeds the context of --init, "
            f"{saved.decoder.config.context}; lower it"
        )
    unpack_base(saved.decoder)
    saved.base, saved.nf4 = None, False  # everything is trained, so everything is stored
    return saved


def _loss(config: PretrainConfig, saved: SavedModel, ranks: Ranks) -> Loss:
    """Return the loss that trains a model; what keeps a teacher from teaching is reported on the first rank."""
    place, length = config.teacher, config.training.sequence_length
    if place is None:
        return next_token_loss
    found: list[CausalLM] = []
    ranks.from_first(lambda: found.append(load_teacher(place, saved, length)))
    teacher = found[0] if found else load_network(place)[0]
    return distillation_loss(teacher.to(choose_device(config.device)), config.distillation)


def _forecast(config: PretrainConfig, tokens: Tokens, step: float | None) -> Forecast:
    read = sum(stage.tokens for stage in stages(tokens, config.training, config.seed))
    return forecast(config.recipe, outline(config.model), config.training, DTYPES[config.dtype], read, step)


def _begin(
    out: Path,
    settled: Settled,
    tokenizer: Tokenizer,
    inputs: dict[str, str],
    ranks: Ranks,
    expected: Forecast | None = None,
) -> None:
    """Write the run's recipe, each value marked with where it came from, and its manifest."""
    config, values = settled.config, stored_values(settled.stored, out)
    if Path(config.recipe).is_file():
        values["recipe"] = stored_path(Path(config.recipe), out)
    notes: dict[str, Any] = {"dtype": config.dtype, "dtype_reason": settled.dtype.reason}
    notes |= {"seed": config.seed, "tokenizer": tokenizer.fingerprint, "ranks": ranks.size}
    notes |= {JOB: job} if (job := torchrun_job()) is not None else {}
    if config.minutes is not None and settled.step is not None:
        notes["budget"] = {"spent": settled.spent, "step": settled.step, "revisions": []}
    before = None if expected is None else dataclasses.asdict(expected)
    begin_run(out, values, settled.marks, {**notes, "forecast": before, "inputs": inputs})


def _provenance(config: PretrainConfig, before: SavedModel) -> dict[str, Any]:
    """Return where the weights come from: this run's data, and the data and licence of the model that it continues.

    Files go by their names: a model may be handed on, and where its text lay on this machine concerns nobody.
    """
    reports = [read_report(folder) for folder in config.data]
    sources = [
        {"name": Path(source["name"]).name, "licence": source["licence"]}
        for report in reports
        for source in report.sources
    ]
    earlier = [source for source in before.provenance.get("sources") or [] if source not in sources]
    return {
        "recipe": Path(config.recipe).name,
        "steps": config.training.steps,
        "sources": sources + earlier,
        "init": None if config.init is None else config.init.name,
        "teacher": None if config.teacher is None else config.teacher.name,
        "licence": before.provenance.get("licence"),
    }


def _finish(out: Path, decoder: Decoder, seconds: float, read: list[CorpusRead]) -> PretrainResult:
    """Add the end to the manifest, write the report, and return the last evaluation."""
    end_run(out, {"corpora": [dataclasses.asdict(corpus) for corpus in read]} if read else {})
    manifest = read_json(out / MANIFEST_FILE)
    rows, use = compared(out, manifest), flops_utilization(out, manifest)
    write_report(out, "pretrain.jinja", manifest=manifest, skipped=skipped_steps(out), forecast=rows, use=use)
    return _told(out, decoder.parameter_count(), seconds)


def _told(out: Path, parameters: int, seconds: float) -> PretrainResult:
    """Return where a run ended, by its log."""
    records = list(read_log(out / LOG_FILE))
    last = [record for record in records if isinstance(record, Evaluation)][-1]
    steps = [record for record in records if isinstance(record, Train)]
    speed = sum(r.tokens for r in steps) / max(sum(r.timing.seconds for r in steps), 1e-9)
    assert last.loss is not None
    assert last.bits_per_byte is not None
    return PretrainResult(str(out), last.step, parameters, last.loss, last.bits_per_byte, speed, seconds)
