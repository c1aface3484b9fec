"""`scratchlm experiment NAME`: run an experiment, or repeat one from its result file.

result.json    what was found, sealed
report.html    the same to be read, with figures; opens offline
steps/         what each step found, from which an interrupted run goes on
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import scratchlm
from scratchlm.base.config import from_dict, to_dict
from scratchlm.base.device import machine, set_threads
from scratchlm.base.errors import Interrupted, UserError, raise_all
from scratchlm.base.files import sha256_of, sha256_of_files
from scratchlm.base.outputs import clear, locked, occupied, strangers
from scratchlm.base.paths import found_path, stored_path
from scratchlm.lab.catalogue import find
from scratchlm.lab.harness.outcome import SAME_MACHINE, Outcome, other_data, read_outcome, replayed, write_outcome
from scratchlm.lab.harness.report import write_report
from scratchlm.lab.harness.settings import NOT_SETTINGS, NOT_STEPS, ExperimentConfig
from scratchlm.lab.harness.steps import Steps, is_experiment, repeats

RESULT_FILE = "result.json"


def experiment(name: str, config: ExperimentConfig) -> Outcome:
    """Run an experiment and write its result and report.

    Raises `UserError` for data that are missing or cannot be used and a folder that is taken, for a replay that found
    something else, and `Interrupted` after Ctrl-C: what was done is kept, and the same command goes on from there.
    """
    entry = find(name)
    stored = None
    if config.replay is not None:
        stored = read_outcome(config.replay)
        config = _as_stored(name, config, stored)
    module = import_module(f"scratchlm.lab.experiments.{entry.module}.measure")
    files = module.files(config)
    out = config.out or Path("runs") / (name if stored is None else f"{name}-replay")
    settings = _settings(config, out)
    outcome = Outcome(name, entry.asks, settings, {key: _digest(path) for key, path in files.items()}, machine())
    if stored is not None:
        raise_all(other_data(stored, outcome))
    if config.replay is not None and out.resolve() in config.replay.resolve().parents:
        raise UserError(f"--out {out}: holds the result that is to be repeated; name another folder")
    # An earlier repetition that ended: begin another. What was run by itself is never removed without --force.
    ended = stored is not None and (out / RESULT_FILE).exists() and repeats(out)
    for key, path in files.items():
        if (config.force or ended) and out.resolve() in path.resolve().parents:
            raise UserError(f"--out {out}: is begun anew, and holds {path}, which is read ({key}); move that file")
    wanted = config.threads or (None if stored is None else int(stored.machine.get("threads") or 0) or None)
    outcome.machine["threads"] = set_threads(wanted)
    with locked(out):
        steps = _open(out, config.force or ended, outcome, stored is not None)
        _run(module.run, config, steps, outcome)
        if stored is not None:
            outcome.notes.append(replayed(stored, outcome))
    return outcome


def _run(
    run: Callable[[ExperimentConfig, Steps, Outcome], None], config: ExperimentConfig, steps: Steps, outcome: Outcome
) -> None:
    """Run all steps and write what was found."""
    out = steps.folder
    steps.threads = outcome.machine["threads"]
    started = time.monotonic()
    try:
        run(config, steps, outcome)
    except (KeyboardInterrupt, Interrupted):
        again = "the same command without --force" if config.force else "the same command"
        raise Interrupted(f"stopped; what was done is kept in {out}: {again} goes on") from None
    outcome.seconds = time.monotonic() - started + steps.earlier
    if steps.taken:
        outcome.notes.append(f"{steps.taken} steps were taken from an earlier call, with their seconds")
    write_outcome(out / RESULT_FILE, outcome)
    write_report(out, outcome)
    outcome.notes.append(f"result in {out / RESULT_FILE}, report in {out / 'report.html'}")


def _settings(config: ExperimentConfig, out: Path) -> dict[str, Any]:
    """Return what is measured as plain values, with paths as seen from the folder of the result."""
    paths = {key: stored_path(value, out) for key, value in vars(config).items() if isinstance(value, Path)}
    return {key: value for key, value in {**to_dict(config), **paths}.items() if key not in NOT_SETTINGS}


def _digest(path: Path) -> str:
    """Return the hash of a file, or of a folder's files with their names."""
    if path.is_dir():
        return sha256_of_files({file: file.name for file in sorted(path.rglob("*")) if file.is_file()})
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the spelling")
    return sha256_of(path)


def _code() -> str:
    """Return the hash of this package's code: steps of other code are not mixed with its own."""
    package = Path(scratchlm.__file__).parent
    return sha256_of_files({file: file.relative_to(package).as_posix() for file in sorted(package.rglob("*.py"))})


def _open(out: Path, anew: bool, outcome: Outcome, again: bool) -> Steps:
    """Open the folder of an experiment; a repetition has steps of its own."""
    if out.is_file():
        raise UserError(f"--out {out}: a file stands there; choose another name")
    if occupied(out):
        if not is_experiment(out):
            raise UserError(f"--out {out}: exists and holds no experiment; choose another folder")
        if anew and (others := strangers(out)):
            raise UserError(f"--out {out}: holds {others[0]}, which no experiment wrote; move it before --force")
        if anew:
            clear(out)
    settings, data = (
        {key: value for key, value in each.items() if key not in NOT_STEPS} for each in (outcome.settings, outcome.data)
    )
    where = [outcome.machine.get(key) for key in SAME_MACHINE]  # what was rounded otherwise is not mixed
    told = [outcome.name, _code(), settings, data, where, again]
    return Steps(out, hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest(), again)


def _as_stored(name: str, config: ExperimentConfig, stored: Outcome) -> ExperimentConfig:
    """Return the settings of a result file, with where and how this call says.

    Paths that this call names take the place of stored ones: hashes tell whether the same lies there.
    """
    if stored.name != name:
        raise UserError(f"--replay {config.replay}: is a result of {stored.name}; name that experiment")
    here: dict[str, Any] = {key: getattr(config, key) for key in NOT_SETTINGS}
    here |= {key: value for key, value in vars(config).items() if isinstance(value, Path)}
    assert config.replay is not None
    again = from_dict(type(config), stored.settings, str(config.replay))
    there = {
        key: found_path(stored.settings[key], config.replay.parent)
        for key, value in vars(again).items()
        if isinstance(value, Path)
    }
    return replace(again, **{**there, **here})
