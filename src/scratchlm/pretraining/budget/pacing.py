"""The pace of a pretraining with a budget of time: as many steps as fit, revised on the way, and each revision kept.

The manifest keeps the revisions, so that a run that was killed repeats them; then the clock may make others.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from scratchlm.base.config import read_known
from scratchlm.base.files import read_json, write_json
from scratchlm.base.runfolder import CHECKPOINTS, LOG_FILE, MANIFEST_FILE, Record, Rollback, Train, read_log
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.runs.resuming import Manifest
from scratchlm.training.checkpoints import TrainingState
from scratchlm.training.config import SizeWarmupConfig
from scratchlm.training.fit import Pace
from scratchlm.training.probing import Clock
from scratchlm.training.profiling import LAST_SHARE, Deadline, Repeated
from scratchlm.training.ranks import Ranks
from scratchlm.weights.checkpoint import STATE_FILE, latest_checkpoint

CLOSING_SHARE = 0.01
"""Fraction of a run's time for its last sample and checkpoint."""


def pace_of(
    out: Path, config: PretrainConfig, ranks: Ranks, provenance: dict[str, Any], clock: Clock = time.monotonic
) -> Pace | None:
    """Return what `paced` returns on the first rank, and keep the latest number of steps in a model's provenance.

    The other ranks get a pace that is never called: `fit` asks the first one alone.
    """
    paces: list[Pace | None] = []

    def begin() -> bool:
        paces.append(paced(out, config, clock))
        return paces[0] is not None

    if not ranks.from_first(begin):
        return None
    pace = paces[0] if paces else None

    def noting(step: int) -> int:
        assert pace is not None
        provenance["steps"] = pace(step)
        return int(provenance["steps"])

    return noting


def paced(out: Path, config: PretrainConfig, clock: Clock) -> Pace | None:
    """Return the pace of the run in a folder, new or to be resumed; None where it has no budget, or began without one.

    Time counts from now, less what the run has used by its latest checkpoint, as its log says.
    """
    manifest = read_known(Manifest, out / MANIFEST_FILE)
    if config.minutes is None or manifest.budget is None:
        return None
    budget, training, seconds = manifest.budget, config.training, 60.0 * config.minutes
    every = list(read_log(out / LOG_FILE)) if (out / LOG_FILE).exists() else []
    latest = latest_checkpoint(out / CHECKPOINTS)
    kept, steps = 0, training.steps
    if latest is not None:
        state = read_known(TrainingState, latest / STATE_FILE)
        kept, steps = state.log_lines, state.steps or steps
    deadline = Deadline(
        (1.0 - CLOSING_SHARE) * seconds - budget.spent - seconds_of(every[:kept]),
        budget.step,
        clock,
        steps=steps,
        after=LAST_SHARE * seconds,
    )

    def keep(revisions: list[list[int]]) -> None:
        written = read_json(out / MANIFEST_FILE)
        write_json(out / MANIFEST_FILE, {**written, "budget": {**written["budget"], "revisions": revisions}})

    warmup = training.size_warmup
    opening = int(warmup.fraction * training.steps) if isinstance(warmup, SizeWarmupConfig) else -1
    returned = [record.from_step for record in every if isinstance(record, Rollback)]
    done = [*(record.step for record in every), *returned, *(step for step, _ in budget.revisions)]
    return Repeated(deadline, training.steps, keep, budget.revisions, reached=max([opening, *done]))


def seconds_of(records: list[Record]) -> float:
    """Return the seconds that a log accounts for: a training step stands for those since the one before it."""
    steps = [record for record in records if isinstance(record, Train)]
    ends = [0, *(record.step for record in steps)]
    counts = [after - before for before, after in pairwise(ends)]
    trained = sum(count * record.timing.seconds for count, record in zip(counts, steps, strict=True))
    return trained + sum(r.timing.seconds for r in records if r.timing is not None and not isinstance(r, Train))
