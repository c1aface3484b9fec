"""`scratchlm pretrain`: a run folder from random weights, or from a model, that can be stopped and resumed exactly."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from scratchlm.base.device import choose_device
from scratchlm.base.errors import UserError, raise_all
from scratchlm.data.prepared import REPORT_FILE, data_folder
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.sweep.run import sweep
from scratchlm.pretraining.train import PretrainResult, train
from scratchlm.runs.resuming import begun_by_this_torchrun, lowered, settings_to_resume
from scratchlm.runs.run import hold
from scratchlm.training.distributed.ranks import joined
from scratchlm.training.loop import OnStep


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
        ranks.from_first(lambda: stack.enter_context(hold(config, alone=False)))
        raise_all(config.missing())
        if config.resume is not None:
            config = _resumed(config, config.resume)
        if not config.sweep:
            return train(config, ranks, on_step)
        if on_step is not None:
            raise UserError("on_step: the trials of a sweep are processes of their own; leave out one of the two")
        return sweep(config, ranks, pretrain)


def _resumed(config: PretrainConfig, run: Path) -> PretrainConfig:
    """Return the settings of the run to resume. Raises `UserError` for others that are given beside them."""
    settings = settings_to_resume(config, run)
    empty = [folder for folder in settings.data if not (data_folder(folder) / REPORT_FILE).exists()]
    raise_all([f"--resume {run}: its data folder {folder} holds no {REPORT_FILE}; put it back" for folder in empty])
    if settings.sweep and lowered(run, settings.training.micro_batch_size):
        raise UserError("--training.micro-batch-size: the trials of a sweep keep their settings; leave it out")
    return settings
