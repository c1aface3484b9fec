"""What all fine-tunings share: the model made ready, the settings stored, and the best of its states kept."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scratchlm.base.config import flatten, to_dict
from scratchlm.base.device import DTYPES, choose_device, set_threads
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import sha256_of
from scratchlm.base.runfolder import MODEL, Evaluation, Timing
from scratchlm.finetuning.config import FinetuneConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.lora import add_adapter, freeze, pack_base, unpack_base
from scratchlm.model.loraconfig import ADAPTER_NAME
from scratchlm.runs.resuming import (
    digest_of,
    digest_of_model,
    refuse_flags,
    require_unchanged,
    stored_settings,
)
from scratchlm.runs.runs import (
    begin_run,
    device_name,
    dtype_name,
    run_fit,
    stored_values,
)
from scratchlm.training.config import TrainingConfig
from scratchlm.training.fit import Hook, Pace
from scratchlm.training.loop import BatchSource, Loop, RuntimeConfig
from scratchlm.training.loss import Loss
from scratchlm.training.probing import choose_dtype
from scratchlm.weights.checkpoint import SavedModel, base_of, find_model, load_model, save_model

C = TypeVar("C", bound=FinetuneConfig)


def resolved(config: C, *, usual: Sequence[C] = ()) -> C:
    """Return the settings of a new run, or those that the run to resume was begun with; its inputs must be the same.

    Raises `UserError` for what is missing, and beside `resume` for settings other than the run's and changed inputs;
    `usual` are the values of a config where nothing is given, by default the class's own.
    """
    if config.resume is None:
        raise_all([*config.missing(), *config.idle()])
        return dataclasses.replace(config, threads=set_threads(config.threads))
    run, stored = config.resume, stored_settings(type(config), config.resume, config)
    refuse_flags(config, stored, usual or [type(config)()])
    threads = set_threads(config.threads or stored.threads)
    require_unchanged(run, inputs_of(stored), digest(stored), threads, allowed=config.allow_changes)
    return dataclasses.replace(stored, out=run, resume=run, threads=threads, json=config.json)


def _files(config: FinetuneConfig) -> dict[str, Path]:
    """Return the files and folders that a run reads beside the model, by their settings; a source by name is none."""
    named = {name: getattr(config, name, None) for name in ("data", "held_out", "rehearse")}
    for name, path in named.items():
        if name != "rehearse" and path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; check the spelling")
    return {name: path for name, path in named.items() if path is not None and path.exists()}


def inputs_of(config: FinetuneConfig) -> dict[str, str]:
    """Return the hashes of what a run reads: its files, folders, and the model it begins from."""
    assert config.init is not None
    return {"init": digest_of_model(config.init), **{name: digest_of(path) for name, path in _files(config).items()}}


def digest(config: FinetuneConfig) -> str:
    """Return one hash of what a run reads, as its manifest tells it; not of a folder to rehearse."""
    assert config.init is not None
    files = [path for path in _files(config).values() if path.is_file()]
    return ":".join([*map(sha256_of, files), digest_of_model(config.init)])


def open_model(config: FinetuneConfig) -> SavedModel:
    """Load the model that a run begins from."""
    assert config.init is not None
    model = load_model(find_model(config.init))
    if config.frozen_layers > model.decoder.config.layers:
        raise UserError(f"--frozen-layers {config.frozen_layers}: the model has {model.decoder.config.layers} layers")
    if config.lora and model.adapters:
        raise UserError(f"--init {config.init}: has an adapter already; begin from the model below it")
    unpack_base(model.decoder)
    model.nf4 = False
    return model


def within_context(config: C, model: SavedModel) -> C:
    """Shorten rows to what the model can see."""
    length = min(config.training.sequence_length, model.decoder.config.context)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, sequence_length=length))


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
    told = {"init": config.init.name, "taught": None if config.data is None else config.data.name}
    model.provenance = {**model.provenance, **told}


def begin(config: C, model: SavedModel, batches: BatchSource, count: int, loss: Loss) -> C:
    """Settle steps, device and dtype of a run over `count` batches an epoch, and write its settings and manifest."""
    if config.resume is not None:
        return config
    device = choose_device(config.device)
    config = dataclasses.replace(config, device=device_name(device), training=_steps(config, count))
    if config.dtype == "auto":
        runtime = RuntimeConfig(device, seed=config.seed)
        chosen, _ = choose_dtype("auto", model.decoder, batches, config.training, runtime, loss)
        config = dataclasses.replace(config, dtype=dtype_name(chosen))
    assert config.out is not None
    values = stored_values(config, config.out)
    usual = dict(flatten(to_dict(type(config)())))
    marks = {name: "default" if usual.get(name) == value else "flag" for name, value in flatten(values)}
    told = {"dtype": config.dtype, "seed": config.seed, "tokenizer": model.tokenizer.fingerprint}
    assert config.out is not None
    begin_run(config.out, values, marks, {**told, "data_hash": digest(config), "inputs": inputs_of(config)})
    return config


def _steps(config: FinetuneConfig, count: int) -> TrainingConfig:
    """Turn epochs into steps; save and evaluate at least four times, but evaluate once where the last state is kept."""
    steps = max(1, math.ceil(config.epochs * count))
    every = max(1, min(config.training.evaluate_every or steps, steps // 4))
    evaluate = steps if config.keep == "last" else every
    save = max(1, min(config.training.checkpoint_every or steps, steps // 4))
    return dataclasses.replace(config.training, steps=steps, evaluate_every=evaluate, checkpoint_every=save)


def kept_line(step: int, steps: int, chosen: bool, why: str) -> str:
    """Tell which state was kept, and why: such as `F1 was the best`."""
    return f"kept: step {step:,} of {steps:,}, {f'whose held-out {why}' if chosen else 'the last'}"


class KeepBest:
    """A hook that measures a model on held-out data, keeps a state in the run's model/, and tells when to give up."""

    name = "evaluation"

    def __init__(
        self,
        model: SavedModel,
        config: FinetuneConfig,
        measure: Callable[[Decoder], dict[str, float]],
        key: str,
        *,
        higher: bool,
    ) -> None:
        assert config.out is not None
        self.every, self.patience, self.steps = config.training.evaluate_every, config.patience, config.training.steps
        self._last = config.keep == "last"
        self.best: float | None = None
        self.step = self.waited = 0
        self._model, self._folder = model, config.out / MODEL
        self._measure, self._key, self._sign = measure, key, 1.0 if higher else -1.0

    def __call__(self, step: int, decoder: Decoder) -> Evaluation:
        """Return what was measured; a state better than all before is saved, or each that comes last so far.

        Before the first step none is.
        """
        started = time.perf_counter()
        found: dict[str, Any] = self._measure(decoder)
        better = self.best is None or self._sign * found[self._key] > self._sign * self.best
        if step > 0 and (better or self._last):
            self.best, self.step, self.waited = found[self._key], step, 0
            save_model(self._folder, self._model)
        elif step > 0:
            self.waited += 1
        return Evaluation(step=step, **found, kept=self.step == step > 0, timing=Timing.since(started))

    @property
    def pace(self) -> Pace:
        """What ends the run early, when nothing better was found for long."""
        return lambda step: step if self.patience and self.waited >= self.patience else self.steps

    def state(self) -> dict[str, Any]:
        """Return the best value so far, its step, and the evaluations since."""
        return {"best": self.best, "step": self.step, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""
        self.best, self.step, self.waited = state["best"], state["step"], state["waited"]


def train(
    kind: str,
    config: FinetuneConfig,
    model: SavedModel,
    batches: BatchSource,
    loss: Loss,
    best: KeepBest,
    hooks: Sequence[Hook] = (),
) -> SavedModel:
    """Run the loop and return the best model, as it is in the run's model/."""
    assert config.out is not None
    runtime = RuntimeConfig(choose_device(config.device), DTYPES[config.dtype], config.seed)
    run_fit(
        f"scratchlm finetune {kind}",
        config.out,
        model,
        Loop(model.decoder, batches, config.training, loss=loss, runtime=runtime),
        hooks=[best, *hooks],
        pace=best.pace if config.patience else None,
        resume=config.resume is not None,
    )
    kept = load_model(config.out / MODEL, base=None if model.base is None else model.base.path)
    kept.decoder.to(runtime.device)
    return kept
