"""`scratchlm experiment NAME`: run an experiment, or replay one from its result file.

result.json    the outcome, sealed
report.html    the outcome as a page with figures; opens offline
steps/         the result of each step, from which an interrupted run resumes
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
from scratchlm.base.runfolder import REPORT_FILE, RESULT_FILE
from scratchlm.lab.catalogue import find, sentences
from scratchlm.lab.harness.findings import Findings, conclude
from scratchlm.lab.harness.outcome import SAME_MACHINE, Outcome, other_data, read_outcome, replayed, write_outcome
from scratchlm.lab.harness.settings import INIT, MODEL, NOT_SETTINGS, NOT_STEPS, ExperimentConfig
from scratchlm.lab.harness.steps import Steps, is_experiment, repeats
from scratchlm.lab.quiz.guesses import ask
from scratchlm.lab.shared.fine_tuned import with_quickstart
from scratchlm.reports.page import write_report as write_page
from scratchlm.weights.checkpoint import find_model


def experiment(name: str, config: ExperimentConfig) -> Outcome:
    """Run an experiment and write its result and report.

    Raises `UserError` for missing or unusable data, for a folder that is taken, and for a replay that found something
    else. Raises `Interrupted` after Ctrl-C: finished steps are kept, and the same command resumes from them.
    """
    entry, says = find(name), sentences(name)
    stored = None
    if config.replay is not None:
        stored = read_outcome(config.replay)
        config = _as_stored(name, config, stored)
    config = with_quickstart(config)
    files = config.files()
    if (init := getattr(config, INIT, None)) is not None:
        files[INIT] = find_model(init) / "files.json"
    if (model := getattr(config, MODEL, None)) is not None:
        files[MODEL] = find_model(model) / "files.json"
    out = config.out or Path("runs") / (name if stored is None else f"{name}-replay")
    settings = _settings(config, out)
    outcome = Outcome(name, entry.asks, settings, {key: _digest(path) for key, path in files.items()}, machine())
    if stored is not None:
        raise_all(other_data(stored, outcome))
    if config.replay is not None and out.resolve() in config.replay.resolve().parents:
        raise UserError(f"--out {out}: holds the result to be replayed; name another folder")
    # A replay that ended is replaced by the next one. A run that is no replay is never removed without --force.
    ended = stored is not None and (out / RESULT_FILE).exists() and repeats(out)
    for key, path in files.items():
        if (config.force or ended) and out.resolve() in path.resolve().parents:
            problem = f"holds {path}, which this run reads ({key})"
            raise UserError(f"--out {out}: is started over, and {problem}; move that file")
    wanted = config.threads or (None if stored is None else int(stored.machine.get("threads") or 0) or None)
    outcome.machine["threads"] = set_threads(wanted)
    guesses = ask(name) if config.guess else None
    with locked(out):
        steps = _open(out, config.force or ended, outcome, stored is not None)
        steps.threads = outcome.machine["threads"]
        started = time.monotonic()
        try:
            measure = import_module(f"scratchlm.lab.experiments.{entry.module}.measure").run
            conclude(outcome, _found(measure, config, steps, outcome), says)
        except (KeyboardInterrupt, Interrupted):
            again = "the same command without --force" if config.force else "the same command"
            raise Interrupted(f"stopped; finished steps are kept in {out}: {again} goes on") from None
        outcome.seconds = time.monotonic() - started + steps.earlier
        if steps.taken:
            outcome.notes.append(f"{steps.taken} steps were taken from an earlier call, with their seconds")
        write_outcome(out / RESULT_FILE, outcome)
        write_report(out, outcome)
        outcome.notes.append(f"result in {out / RESULT_FILE}, report in {out / REPORT_FILE}")
        if stored is not None:
            outcome.notes.append(replayed(stored, outcome))
        outcome.notes += guesses.reveal(outcome) if guesses is not None else []
    return outcome


def _found(
    run: Callable[[Any, Steps, Findings], None], config: ExperimentConfig, steps: Steps, outcome: Outcome
) -> list[Findings]:
    """Run an experiment at each of its seeds."""
    findings = []
    for seed in range(config.seed, config.seed + config.seeds):
        findings.append(Findings(outcome.settings, outcome.data))
        run(replace(config, seed=seed), steps if seed == config.seed else steps.at_seed(seed), findings[-1])
    return findings


def write_report(out: Path, outcome: Outcome) -> None:
    """Write `report.html` into `out`: claims, tables, figures, samples, every value, and how it was measured."""
    verdicts = [(claim.says, claim.control, outcome.verdict(claim)) for claim in outcome.claims.values()]
    intervals = sum(value.low is not None for value in outcome.values.values())
    write_page(out, "experiment.jinja", outcome=outcome, verdicts=verdicts, intervals=intervals)


def _settings(config: ExperimentConfig, out: Path) -> dict[str, Any]:
    """Return the settings as plain values, with paths relative to the folder of the result."""
    paths = {key: stored_path(value, out) for key, value in vars(config).items() if isinstance(value, Path)}
    return {key: value for key, value in {**to_dict(config), **paths}.items() if key not in NOT_SETTINGS}


def _digest(path: Path) -> str:
    """Return the hash of a file, or of a folder's files and their names."""
    if path.is_dir():
        return sha256_of_files({file: file.name for file in sorted(path.rglob("*")) if file.is_file()})
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the spelling")
    return sha256_of(path)


def _code() -> str:
    """Return the hash of this package's code: a run never mixes steps of different code."""
    package = Path(scratchlm.__file__).parent
    return sha256_of_files({file: file.relative_to(package).as_posix() for file in sorted(package.rglob("*.py"))})


def _open(out: Path, anew: bool, outcome: Outcome, again: bool) -> Steps:
    """Open the folder of an experiment; a replay has its own steps."""
    if out.is_file():
        raise UserError(f"--out {out}: is a file; choose another name")
    if occupied(out):
        if not is_experiment(out):
            raise UserError(f"--out {out}: exists and holds no experiment; choose another folder")
        if anew and (others := strangers(out)):
            raise UserError(f"--out {out}: holds {others[0]}, which no experiment wrote; move it before --force")
        if anew:
            clear(out)
    parts = (outcome.settings, outcome.data)
    settings, data = ({key: value for key, value in part.items() if key not in NOT_STEPS} for part in parts)
    where = [outcome.machine.get(key) for key in SAME_MACHINE]  # steps with different rounding are not mixed
    key = [outcome.name, _code(), settings, data, where, again]
    return Steps(out, hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest(), again)


def _as_stored(name: str, config: ExperimentConfig, stored: Outcome) -> ExperimentConfig:
    """Return the settings of a result file, with this call's settings of where and how to run.

    Paths that this call names replace stored ones; hashes check that the files are the same.
    """
    if stored.name != name:
        raise UserError(f"--replay {config.replay}: is a result of {stored.name}; name that experiment")
    here: dict[str, Any] = {key: getattr(config, key) for key in NOT_SETTINGS}
    here |= {key: value for key, value in vars(config).items() if isinstance(value, Path)}
    assert config.replay is not None
    try:
        again = from_dict(type(config), stored.settings, "settings")
    except UserError as error:
        old = f"--replay {config.replay}: was written by another version, with other settings"
        raise UserError(f"{old} ({error}); it can be read here, but only that version repeats it") from error
    paths = [key for key, value in vars(again).items() if isinstance(value, Path)]
    there = {key: found_path(stored.settings[key], config.replay.parent) for key in paths}
    return replace(again, **{**there, **here})
