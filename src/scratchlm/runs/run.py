"""What every run shares: its folder, the settings and the manifest in it, the loop with its progress, stop and resume.

recipe.toml      the settings, each value marked default, recipe, flag, rule, budget, data or machine
manifest.json    versions, machine, seed, threads, hashes of recipe, tokenizer and inputs, begin, changes, end
metrics.jsonl    the log; checkpoints/ what a resume goes on from
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

import scratchlm
from scratchlm.base.config import to_dict, to_toml
from scratchlm.base.device import machine
from scratchlm.base.energy import EnergyCounter
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.files import read_json, write_json, write_text
from scratchlm.base.folders import write_marker
from scratchlm.base.memory import peak_memory
from scratchlm.base.outputs import clear, locked, output_folder
from scratchlm.base.paths import holds_paths, stored_path
from scratchlm.base.runfolder import (
    BEST_FILE,
    GENERAL_FILE,
    LOG_FILE,
    MANIFEST_FILE,
    RECIPE_FILE,
    REPORT_FILE,
    RESULT_FILE,
    REWORDINGS_FILE,
    SAMPLES,
    SKIPPED,
    TRACKING,
    TRIALS,
)
from scratchlm.base.signals import stop_on_signals
from scratchlm.runs.hooks import Energy
from scratchlm.runs.tracking import tracked
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.config import TrackerName
from scratchlm.training.fit import Hook, Pace, fit
from scratchlm.training.loop import Loop
from scratchlm.training.profiling import product_peak
from scratchlm.training.progress import TrainingProgress
from scratchlm.weights.checkpoint import SavedModel, latest_checkpoint

RUN_KIND = "run"
"""Kind in the marker of a run folder."""
RUN_FILES = [
    *(RECIPE_FILE, MANIFEST_FILE, LOG_FILE, REPORT_FILE, RESULT_FILE, BEST_FILE, REWORDINGS_FILE, GENERAL_FILE),
    *(f"{SAMPLES}/*.txt", f"{SKIPPED}/*.json", f"{TRIALS}/*.log", f"{TRACKING}/*"),
]
"""What a run writes, as the marker names it; its models and checkpoints have markers of their own."""
FORMAT = 2
"""Version of the settings file's layout."""
NOT_STORED = ("out", "resume", "allow_changes", "force", "json")
"""Settings that say where and how to run, not what."""


def hold(config: Any, *, alone: bool = True) -> AbstractContextManager[None]:
    """Hold the run folder that `config` names: one process at a time writes a run, and only what is ours goes.

    A run to resume is held as it is, a new one must find its folder free, or replaceable by `force`. A folder with a
    manifest and nothing else of a run is free: `begin_run` was killed there. Without resume and folder nothing is held,
    since nothing is written. A run that is trained by one process `alone` is refused under torchrun.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and alone:
        raise UserError(f"torchrun with {processes} processes: only pretrain trains on several; start this without it")
    if config.resume is not None:
        return locked(config.resume)
    if config.out is None:
        return nullcontext()
    others = (getattr(config, "held_out", None), getattr(config, "teacher", None))
    data = config.data if isinstance(config.data, tuple) else (config.data,)
    sources = [path for path in (config.init, *data, *others) if path is not None]
    return output_folder(config.out, RUN_KIND, force=config.force, sources=sources, first=(MANIFEST_FILE,))


def begin_run(out: Path, values: Mapping[str, Any], marks: Mapping[str, str], notes: Mapping[str, Any]) -> None:
    """Empty a run folder and write its settings and its manifest; `told` goes into the manifest."""
    clear(out)
    write_marker(out, RUN_KIND, RUN_FILES)
    kept = {"format": FORMAT, **{key: value for key, value in values.items() if key not in NOT_STORED}}
    recipe = to_toml(kept, marks)
    manifest = {
        "format": 1,
        "scratchlm": scratchlm.__version__,
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "recipe_hash": hashlib.sha256(recipe.encode()).hexdigest(),
        **notes,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(out / MANIFEST_FILE, manifest)
    write_text(out / RECIPE_FILE, recipe)  # last: what has one can be resumed


def end_run(out: Path, notes: Mapping[str, Any] | None = None) -> None:
    """Add the end to the manifest, with the most memory that this process held, and `told`."""
    ended = {"ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "peak_memory": peak_memory()}
    write_json(out / MANIFEST_FILE, {**read_json(out / MANIFEST_FILE), **ended, **(notes or {})})


def stored_values(config: Any, out: Path) -> dict[str, Any]:
    """Return settings as plain values, whose paths are relative to the run's folder; what does not exist is a name.

    So a run goes on from any current folder, and can be moved together with what it reads.
    """

    def stored(value: Any) -> Any:
        if isinstance(value, tuple):
            return [stored(each) for each in value]
        return stored_path(value, out) if value.exists() else str(value)

    paths = {key: stored(value) for key, value in vars(config).items() if holds_paths(value) and key not in NOT_STORED}
    return {**to_dict(config), **paths}


def write_run_result(out: Path, values: Mapping[str, Any]) -> None:
    """Write what a run found into its folder, which it names as the folder is called."""
    write_json(out / RESULT_FILE, {**values, "out": out.absolute().name})


def run_fit(
    command: str,
    out: Path,
    saved: SavedModel,
    loop: Loop,
    *,
    hooks: Sequence[Hook],
    pace: Pace | None = None,
    resume: bool = False,
    track: Sequence[TrackerName] = (),
) -> None:
    """Train a run in its folder, with progress, checkpoints and Ctrl-C; a stop is answered with how to continue.

    `track` names programs that get its curves too.
    """
    training = loop.config
    flops = saved.decoder.flops_per_token(training.sequence_length)
    peak = product_peak(loop.runtime.device, loop.runtime.dtype) * loop.ranks.size
    progress = TrainingProgress(command.removeprefix("scratchlm "), training.steps, flops_per_token=flops, peak=peak)
    checkpoints = Checkpoints.of(out, saved, training)
    loop.ranks.from_first(checkpoints.require_space)
    loop.ranks.from_first(partial(_add_once, out, {"flops_per_token": flops, "product_peak": round(peak)}))
    first, latest = loop.ranks.is_first, latest_checkpoint(checkpoints.folder) if resume else None
    step = int(latest.name) if latest is not None else 0
    watched = tracked(progress, track if first else (), out, step, training.log_every)
    counter = EnergyCounter()
    counts = loop.runtime.device.type == "cpu" and loop.ranks.size == 1  # what GPUs and other machines take is not seen
    try:
        with stop_on_signals() as stop, progress if first else nullcontext(), watched as watcher:
            fit(
                loop,
                folder=out,
                checkpoints=checkpoints,
                hooks=[*hooks, Energy(counter, training.log_every)],
                watcher=watcher,
                stop=stop,
                pace=pace,
                resume=resume,
            )
    except Interrupted as request:
        raise Interrupted(f"{request}; continue with: {command} --resume {out}") from request
    finally:
        if counts and (joules := counter.look()) is not None:
            manifest = read_json(out / MANIFEST_FILE)
            write_json(out / MANIFEST_FILE, {**manifest, "joules": manifest.get("joules", 0.0) + joules})


def _add_once(out: Path, notes: Mapping[str, Any]) -> None:
    """Add what was measured to a run's manifest; a resume keeps what is there."""
    manifest = read_json(out / MANIFEST_FILE)
    write_json(out / MANIFEST_FILE, {**manifest, **notes, **manifest})


def device_name(device: torch.device) -> Literal["cpu", "cuda", "mps"]:
    """Return the name under which a run stores its device."""
    return "cuda" if device.type == "cuda" else "mps" if device.type == "mps" else "cpu"
