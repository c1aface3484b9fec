"""The one driver of all fine-tunings: from settings to a run folder with the kept model, a result and a report.

A `Stage` is what one kind of fine-tuning adds: its data and loss, what it measures, and what it finds. The rest is
here: the folder held, a run resumed, adapters, the settings stored, the loop, the best state kept, the report.
"""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from scratchlm.base.config import flatten, to_dict
from scratchlm.base.device import DTYPES, choose_device, chosen_dtype, set_threads
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.result import Result
from scratchlm.base.runfolder import MODEL, Evaluation, Timing
from scratchlm.base.terminal import say
from scratchlm.finetuning.config import FinetuneConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import add_adapter, freeze, pack_base, unpack_base
from scratchlm.model.loraconfig import ADAPTER_NAME
from scratchlm.reports.page import write_report
from scratchlm.runs.resuming import digest_of, digest_of_model, require_unchanged, settings_to_resume
from scratchlm.runs.run import (
    begin_run,
    device_name,
    end_run,
    hold,
    run_fit,
    stored_values,
    write_run_result,
)
from scratchlm.runs.tracking import require_trackers
from scratchlm.text.split import split_of_rows
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import Hook
from scratchlm.training.loop import BatchSource, Loop, OnStep, RuntimeConfig
from scratchlm.training.loss import Loss
from scratchlm.weights.checkpoint import SavedModel, base_of, find_model, load_model, require_trainable, save_model


class FinetuneResult(Result):
    """The result of a fine-tuning; subclasses declare these fields too, in the order of the stored result."""

    format: ClassVar[int] = 1
    why: ClassVar[str] = "held-out loss was the lowest"
    """By what the best state was chosen."""
    out: str
    step: int
    """The step whose weights were kept."""
    steps: int
    chosen: bool
    """Whether they were chosen by what is measured; else they are the last."""
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"format": self.format, **dataclasses.asdict(self)}  # type: ignore[call-overload]

    def kept(self) -> str:
        """Tell which state was kept, and why."""
        return f"kept: step {self.step:,} of {self.steps:,}, {f'whose {self.why}' if self.chosen else 'the last'}"

    @abstractmethod
    def lines(self) -> list[str]:
        """Return what a terminal shows before the last line."""

    def __rich__(self) -> str:
        ending = f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html"
        return "\n".join([*self.lines(), ending])


C = TypeVar("C", bound=FinetuneConfig)
R = TypeVar("R", bound=FinetuneResult)


class Stage(ABC, Generic[C, R]):
    """One kind of fine-tuning. `__init__` reads the data and gives the model its template or head; adapters come after.

    `measure` looks at held-out data every few steps; by `key` of what it returns the best state is chosen.
    """

    kind: ClassVar[str]
    """Name of the command and of the report's template."""
    key: ClassVar[str] = "loss"
    higher: ClassVar[bool] = False
    """Whether a higher value is better."""
    config: C
    """Settings as they are used: `finetune` settles steps, device and dtype in them before `begin`."""
    batches: BatchSource
    an_epoch: int
    """Batches that hold all data once."""
    loss: Loss
    hooks: Sequence[Hook] = ()
    started: float | None = None
    """When its seconds begin to count, if not with the run."""

    def begin(self, model: SavedModel) -> None:
        """Look at the model before it learns."""

    @abstractmethod
    def measure(self, decoder: Decoder) -> dict[str, float]:
        """Return what is logged of held-out data."""

    @abstractmethod
    def result(self, kept: SavedModel, best: KeepBest, common: dict[str, Any]) -> R:
        """Look at the kept model and return the result, of which `told` holds what all have."""

    def shown(self, result: R) -> dict[str, Any]:
        """Return what the report shows beside the result."""
        return {}


def finetune(
    config: C,
    stage_of: Callable[..., Stage[C, R]],
    read: Callable[[C], Any] | None = None,
    on_step: OnStep | None = None,
) -> R:
    """Train a stage and write its run folder; the result is about the state that was kept.

    `stage_of` takes the settings, the model, and what `read` returns for the settings: the data are read first, so that
    a mistake in them shows before the model is loaded. `on_step` is called with the record of each step; the run ends
    in order after a step for which it returns True.
    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    started = time.perf_counter()
    with hold(config):
        config = resolved(config)
        require_trackers(config.track)
        data = () if read is None else (read(config),)
        model = open_model(config)
        stage = stage_of(config, model, *data)
        equip(model, stage.config)
        if config.resume is None:
            stage.config = _begun(stage, model, config)
        config, out = stage.config, stage.config.out
        assert out is not None
        runtime = RuntimeConfig(choose_device(config.device), DTYPES[config.dtype], config.seed)
        model.decoder.to(runtime.device)
        stage.begin(model)
        best = _trained(stage, model, runtime, on_step)
        kept = load_model(out / MODEL, base=None if model.base is None else model.base.path)
        kept.decoder.to(runtime.device)
        common = {"out": str(out), "step": best.step, "steps": config.training.steps, "chosen": config.keep == "best"}
        result = stage.result(kept, best, {**common, "seconds": 0.0})
        result.seconds = time.perf_counter() - (stage.started or started)
        write_run_result(out, result.as_dict())
        write_report(out, f"{stage.kind}.jinja", result=result, kept=result.kept(), **stage.shown(result))
        end_run(out)
    return result


def _trained(stage: Stage[C, R], model: SavedModel, runtime: RuntimeConfig, on_step: OnStep | None) -> KeepBest:
    """Train, and return what kept the best state. The optimizer's state is freed here: what follows loads models."""
    config, best = stage.config, KeepBest(model, stage)
    assert config.out is not None
    loop = Loop(model.decoder, stage.batches, config.training, loss=stage.loss, runtime=runtime, on_step=on_step)
    pace = best.pace if config.patience else None
    hooks, resume = [best, *stage.hooks], config.resume is not None
    command, track = f"scratchlm finetune {stage.kind}", config.track
    run_fit(command, config.out, model, loop, hooks=hooks, pace=pace, resume=resume, track=track)
    return best


def resolved(config: C) -> C:
    """Return the settings of a new run, or those that the run to resume was begun with; its inputs must be the same.

    Raises `UserError` for what is missing, and beside `resume` for settings other than the run's and changed inputs.
    """
    if config.resume is None:
        raise_all([*config.missing(), *config.idle()])
        return dataclasses.replace(config, threads=set_threads(config.threads))
    settings = settings_to_resume(config, config.resume)
    size, allowed = settings.training.micro_batch_size, config.allow_changes
    threads = set_threads(settings.threads)
    require_unchanged(config.resume, _inputs(settings), threads, allowed=allowed, micro_batch_size=size)
    return dataclasses.replace(settings, threads=threads)


def _inputs(config: FinetuneConfig) -> dict[str, str]:
    """Return the hashes of what a run reads by setting; a source by name has none."""
    assert config.init is not None
    named = {name: getattr(config, name, None) for name in ("data", "held_out", "rehearse")}
    for name, path in named.items():
        if name != "rehearse" and path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; check the spelling")
    read: dict[str, Path] = {name: path for name, path in named.items() if path is not None and path.exists()}
    return {"init": digest_of_model(config.init), **{name: digest_of(path) for name, path in read.items()}}


def open_model(config: FinetuneConfig) -> SavedModel:
    """Load the model that a run begins from."""
    assert config.init is not None
    model = load_model(find_model(config.init))
    require_trainable(model, config.init)
    if config.frozen_layers > model.decoder.config.layers:
        raise UserError(f"--frozen-layers {config.frozen_layers}: the model has {model.decoder.config.layers} layers")
    if config.lora and model.adapters:
        raise UserError(f"--init {config.init}: has an adapter already; begin from the model below it")
    unpack_base(model.decoder)
    model.nf4, model.linear = False, None
    return model


def within_context(config: C, model: SavedModel) -> C:
    """Shorten rows to what the model can see."""
    length = min(config.training.sequence_length, model.decoder.config.context)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, sequence_length=length))


def with_split(config: C, rows: int) -> C:
    """Return the settings with the split that `auto` means for a table of `rows`, unless a file is held out."""
    split = config.split if config.held_out is not None else split_of_rows(config.split, rows)
    return dataclasses.replace(config, split=split)


def equip(model: SavedModel, config: FinetuneConfig) -> None:
    """Give the model its adapters, freeze what is not trained, and note on which model it stands."""
    assert config.init is not None
    name = ADAPTER_NAME if config.lora else None
    if name is not None:
        add_adapter(model.decoder, name, config.adapter, config.seed)
        model.adapters = {name: config.adapter}
        model.nf4 = config.nf4
        if config.nf4:
            pack_base(model.decoder)
    freeze(model.decoder, name, layers=config.frozen_layers)
    model.base = None
    if config.lora or config.frozen_layers:
        own = frozenset(n for n, parameter in model.decoder.named_parameters() if parameter.requires_grad)
        model.base = base_of(find_model(config.init), own)
    origin = {"init": config.init.name, "taught": None if config.data is None else config.data.name}
    model.provenance = {**model.provenance, **origin}
    for name in ("questions", "stories"):  # of an earlier training
        model.provenance.pop(name, None)


def _begun(stage: Stage[C, R], model: SavedModel, asked_for: C) -> C:
    """Settle steps, device and dtype of a new run, and write its settings and manifest; `given` are the user's."""
    config = stage.config
    out, device = config.out, choose_device(config.device)
    assert out is not None
    config = dataclasses.replace(config, device=device_name(device), training=_steps(config, stage.an_epoch))
    choice = chosen_dtype(config.dtype, device)
    if config.dtype == "auto":
        say(f"number format: {choice}")
    Checkpoints.of(out, model, config.training).require_space()
    values = stored_values(config, out)
    usual, asked = (dict(flatten(part)) for part in (to_dict(type(config)()), stored_values(asked_for, out)))
    marks = {
        name: asked_for.origins[name] if name in asked_for.origins and asked.get(name) == value
        else "default" if usual.get(name) == value
        else "flag" if asked.get(name) == value
        else "rule"
        for name, value in flatten(values)
    }  # fmt: skip
    settings = {"dtype": choice.dtype, "dtype_reason": choice.reason, "seed": config.seed}
    settings["tokenizer"] = model.tokenizer.fingerprint
    begin_run(out, values, marks, {**settings, "inputs": _inputs(config)})
    return dataclasses.replace(config, dtype=choice.dtype)


def _steps(config: FinetuneConfig, count: int) -> TrainingConfig:
    """Turn epochs into steps; save and evaluate four times at least, unless other intervals were asked for.

    Where the last state is kept, evaluate once.
    """
    training, usual = config.training, type(config)().training
    steps = config.steps or max(1, math.ceil((config.epochs or 3.0) * count))
    evaluate, save = training.evaluate_every, training.checkpoint_every
    if evaluate == usual.evaluate_every:
        evaluate = max(1, min(evaluate, steps // 4))
    if save == usual.checkpoint_every:
        save = max(1, min(save, steps // 4))
    evaluate = steps if config.keep == "last" else evaluate
    return dataclasses.replace(training, steps=steps, evaluate_every=evaluate, checkpoint_every=save)


class KeepBest:
    """A hook that measures a model on held-out data, keeps a state in the run's model/, and tells when to give up."""

    name = "evaluation"

    def __init__(self, model: SavedModel, stage: Stage[Any, Any]) -> None:
        config = stage.config
        self.every, self.patience, self.steps = config.training.evaluate_every, config.patience, config.training.steps
        self.best: float | None = None
        self.step = self.waited = 0
        self._last, self._sign = config.keep == "last", 1.0 if stage.higher else -1.0
        self._model, self._stage, self._folder = model, stage, config.out / MODEL

    def __call__(self, step: int, decoder: Decoder) -> Evaluation:
        """Return what was measured; a state better than all before is saved, or each that comes last so far.

        Before the first step none is.
        """
        started = time.perf_counter()
        measured: dict[str, Any] = self._stage.measure(decoder)
        value = measured[self._stage.key]
        better = self.best is None or self._sign * value > self._sign * self.best
        if step > 0 and (better or self._last):
            self.best, self.step, self.waited = value, step, 0
            save_model(self._folder, self._model)
        elif step > 0:
            self.waited += 1
        return Evaluation(step=step, **measured, kept=self.step == step > 0, timing=Timing.since(started))

    def pace(self, step: int) -> int:
        """Return the steps of the run, which ends early when nothing better was found for long."""
        return step if self.patience and self.waited >= self.patience else self.steps

    def state(self) -> dict[str, Any]:
        """Return the best value so far, its step, and the evaluations since."""
        return {"best": self.best, "step": self.step, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""
        self.best, self.step, self.waited = state["best"], state["step"], state["waited"]
