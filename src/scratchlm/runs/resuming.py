"""Going on with a run: with settings, inputs and threads as they were, or with each change allowed and recorded."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from scratchlm.base.config import flatten, from_dict, read_known, read_toml, to_dict
from scratchlm.base.device import DTYPES, DtypeName, choose_device, chosen_dtype
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.files import read_json, sha256_of, sha256_of_files, write_json
from scratchlm.base.paths import found_path, holds_paths
from scratchlm.base.ranges import Range, out_of_range
from scratchlm.base.runfolder import LOG_FILE, MANIFEST_FILE, RECIPE_FILE, read_log
from scratchlm.base.terminal import say
from scratchlm.runs.run import FORMAT, NOT_STORED
from scratchlm.weights.checkpoint import HASHES_FILE, find_model

FREE = (*NOT_STORED, "threads")
"""Settings that may be given beside `--resume`; another number of threads needs `--allow-changes`."""
MICRO_BATCH = "training.micro_batch_size"
"""Setting that may be lowered beside `--resume`, for a machine with too little memory."""

JOB = "torchrun_job"
"""In the manifest: which job of torchrun began the run, or last went on with it."""

T = TypeVar("T")


def begun_by_this_torchrun(out: Path) -> bool:
    """Return whether torchrun has started this run before: then it starts all ranks again, since one was lost."""
    job = torchrun_job()
    if job is None or not (out / RECIPE_FILE).exists():
        return False
    return bool(read_json(out / MANIFEST_FILE).get(JOB) == job)


def torchrun_job() -> str | None:
    """Return the name of the job that torchrun's --rdzv-id gives, or else one of the torchrun that began this process.

    None where no torchrun has started this process.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name != "none":
        return name
    parent = os.getppid()
    try:
        began = Path(f"/proc/{parent}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        began = ""  # no Linux: numbers of processes are used again, but not soon
    return f"torchrun {parent} {began}".strip()


def settings_to_resume(config: T, run: Path) -> T:
    """Return the settings that a run goes on with: its own, and what may be given beside `--resume`.

    Paths that `config` names take the place of stored ones. Raises `UserError` where the folder is no run, for settings
    other than the run's, and for what was moved away.
    """
    asked: Any = config
    stored: Any = stored_settings(type(config), run)
    refuse_flags(asked, stored, _unsaid(asked))
    stored = _with_micro_batch(_with_paths(stored, asked, run), asked)
    threads, dtype = asked.threads or stored.threads, recorded_dtype(run, stored.dtype)
    free = {"out": run, "resume": run, "allow_changes": asked.allow_changes, "json": asked.json}
    return cast(T, dataclasses.replace(stored, threads=threads, dtype=dtype, **free))


def _unsaid(asked: Any) -> Any:
    """Return the config of who says nothing but a recipe and a depth, which fill the rest."""
    try:
        return type(asked)(recipe=asked.recipe, depth=asked.depth) if hasattr(asked, "depth") else type(asked)()
    except UserError:  # a recipe that is gone: the run has its values
        return type(asked)()


def stored_settings(cls: type[T], run: Path) -> T:
    """Read the settings of a run to resume. Raises `UserError` where the folder is no run."""
    if not (run / RECIPE_FILE).exists():
        raise UserError(f"--resume {run}: holds no {RECIPE_FILE}, so it is no run; name the folder that --out named")
    values = read_toml(run / RECIPE_FILE)
    form = values.pop("format", None)
    if form != FORMAT:
        remedy = "update scratchlm" if isinstance(form, int) and form > FORMAT else "begin a new run"
        raise UserError(f"--resume {run}: its format is {form}, and this version reads {FORMAT}; {remedy}")
    if str(values.get("recipe", "")).startswith(("./", "../")):  # a file, relative to the run
        values["recipe"] = str(found_path(values["recipe"], run))
    stored = cast(Any, from_dict(cls, values, str(run / RECIPE_FILE), None))
    paths = {key: _found(values[key], run) for key, value in vars(stored).items() if holds_paths(value)}
    return cast(T, dataclasses.replace(stored, **paths))


def _with_paths(stored: Any, asked: Any, run: Path) -> Any:
    """Return a run's settings with the paths that were given. Raises `UserError` for what is gone."""
    moved = {key: value for key, value in vars(asked).items() if holds_paths(value) and key not in NOT_STORED}
    spelled = read_toml(run / RECIPE_FILE)
    paths = {key: value for key, value in vars(stored).items() if holds_paths(value)}
    gone = [
        f"--resume {run}: its {key} {path} is gone; put it back, or name where it lies now with {_flag(key)}"
        for key, value in {**paths, **moved}.items()
        for path, words in zip(_listed(value), _listed(spelled.get(key, value)), strict=False)
        if not path.exists() and (path.is_absolute() or str(words).startswith(("./", "../")))  # no mere name
    ]
    raise_all(gone)
    return dataclasses.replace(stored, **moved)


def _found(stored: Any, run: Path) -> Any:
    """Return the path, or paths, that a run's settings keep."""
    if isinstance(stored, list):
        return tuple(found_path(each, run) for each in stored)
    return found_path(stored, run)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def refuse_flags(config: Any, stored: Any, usual: Any) -> None:
    """Raise a `UserError` that names every setting given beside `--resume` that is not the run's: it has no effect.

    A setting was given where `config.origins` says so, or where it has neither the run's own value nor that of the
    config `usual`, which holds the values of who says nothing.
    """
    paths = {field.name for field in dataclasses.fields(config) if holds_paths(getattr(config, field.name))}
    theirs, unsaid = (dict(flatten(to_dict(each))) for each in (stored, usual))
    problems = []
    for name, value in flatten(to_dict(config)):
        same = value == theirs.get(name) or (name in paths and _same_place(value, theirs.get(name)))
        # What lies elsewhere is compared with what the run read.
        moved = name in paths and all(Path(each).exists() for each in _listed(value))
        rows = theirs.get(name) or theirs.get("training.batch_size")
        lower = name == MICRO_BATCH and _smaller(value, rows)
        named = any(f"{name}.".startswith(f"{each}.") for each in config.origins)
        unset = not named and value == unsaid.get(name)
        if name in FREE or same or moved or lower or unset:
            continue
        problems.append(f"{_flag(name)} {value}: the run has {theirs.get(name)}")
    if problems:
        problems[-1] += "; a run keeps its settings: leave out what differs, or begin a new run"
    if config.out is not None and not _same_place(str(config.out), str(config.resume)):
        problems.append(f"--out {config.out}: a run is resumed in its own folder; leave it out")
    if config.force:
        problems.append("--force: replaces nothing beside --resume; leave it out")
    raise_all(problems)


def _smaller(size: Any, rows: Any) -> bool:
    return isinstance(size, int) and (not isinstance(rows, int) or size < rows)


def _with_micro_batch(stored: Any, asked: Any) -> Any:
    """Return a run's settings with the micro-batch of those that are given, where that is smaller."""
    training, size = stored.training, asked.training.micro_batch_size
    if not _smaller(size, training.micro_batch_size or training.batch_size):
        return stored
    return dataclasses.replace(stored, training=dataclasses.replace(training, micro_batch_size=size))


def _same_place(one: Any, other: Any) -> bool:
    """Return whether two paths, or two lists of them, lead to the same places."""
    if other is None:
        return False
    ours, theirs = ([os.path.realpath(each) for each in _listed(value)] for value in (one, other))
    return ours == theirs


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of all files in a folder."""
    if not path.is_dir():
        return sha256_of(path)
    names = {file: file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    return sha256_of_files(dict(sorted(names.items(), key=lambda item: item[1])))


def digest_of_model(place: Path) -> str:
    """Return a hash of a model folder, or of the one that a run's folder stands for, from its verified files."""
    return sha256_of(find_model(place) / HASHES_FILE)


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a run with a budget of time knows of it."""

    spent: Annotated[float, Range(0)]
    """Seconds that went by before the first step: probes."""
    step: Annotated[float, Range(over=0)]
    """Seconds of a step, as a probe saw it."""
    revisions: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    """The step of each change of plan, and the steps of the whole run from there on."""

    def __post_init__(self) -> None:
        """Check ranges."""
        raise_all(out_of_range(self, "budget"))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is read of the manifest of a run to resume."""

    machine: dict[str, Any]
    threads: int
    seed: int
    dtype: str
    recipe_hash: str
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    changes: list[Any] = dataclasses.field(default_factory=list)
    ranks: int = 1
    budget: Budget | None = None


def recorded_dtype(run: Path, stored: DtypeName) -> DtypeName:
    """Return the number format that a run computes in: what `auto` meant when it began, also on another machine.

    Where `auto` would mean another format here, one line on stderr says so: the run may be slower.
    """
    if stored != "auto":
        return stored
    dtype, here = read_known(Manifest, run / MANIFEST_FILE).dtype, chosen_dtype("auto", choose_device())
    if dtype not in DTYPES:
        raise UserError(f"{run / MANIFEST_FILE}: dtype {dtype!r} is none of {', '.join(DTYPES)}; restore the file")
    if dtype != here.dtype:
        say(f"scratchlm: {run}: goes on in {dtype}, as it began; here auto would be {here}")
    return dtype


def require_unchanged(
    run: Path,
    inputs: Mapping[str, str],
    threads: int,
    *,
    allowed: bool,
    ranks: int = 1,
    same_job: bool = False,
    micro_batch_size: int | None = None,
) -> None:
    """Refuse to go on where recipe, inputs or the number of threads or ranks are not those that the run began with.

    `inputs` are the hashes of what is read now, by the settings that name it. With `allowed`, the changes are written
    into the manifest instead. A smaller micro-batch is taken without it, and with `same_job`, where torchrun itself
    starts the ranks that are left, so is another number of ranks; both are written down. Raises `UserError` that names
    all changes.
    """
    manifest, written = read_known(Manifest, run / MANIFEST_FILE), read_json(run / MANIFEST_FILE)
    deque(read_log(run / LOG_FILE), maxlen=0)  # which checks every line
    now = {"recipe_hash": sha256_of(run / RECIPE_FILE), "inputs": dict(inputs)}
    recorded = {RECIPE_FILE: manifest.recipe_hash, **_flags(manifest.inputs)}
    current = {RECIPE_FILE: now["recipe_hash"], **_flags(inputs)}
    changes = [name for name in {**recorded, **current} if recorded.get(name) != current.get(name)]
    problems = [f"{name} has changed since the run began; put the old one back" for name in changes]
    for name, before, after in (("--threads", manifest.threads, threads), ("ranks", manifest.ranks, ranks)):
        if before != after:
            changes.append(f"{name} {before} to {after}")
            if not (name == "ranks" and same_job):
                remedy = f"give --threads {before}" if name == "--threads" else f"start {before}"
                why = f"the run began with {before} and would go on with {after}, which rounds otherwise"
                problems.append(f"{name}: {why}; {remedy}")
    if problems and not allowed:
        raise UserError(
            f"--resume {run}: {'; '.join(problems)}; or go on all the same with --allow-changes, which is recorded"
        )
    changes += [each for each in lowered(run, micro_batch_size) if each not in str(manifest.changes[-1:])]
    changed: dict[str, Any] = {} if (job := torchrun_job()) is None else {JOB: job}
    if changes:
        told_now = {"resumed": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "changed": changes}
        changed |= {**now, "threads": threads, "ranks": ranks, "changes": [*manifest.changes, told_now]}
    if changed:
        write_json(run / MANIFEST_FILE, {**written, **changed})


def lowered(run: Path, size: int | None) -> list[str]:
    """Return a line for the manifest where the micro-batch is smaller than in the run's recipe."""
    stored = read_toml(run / RECIPE_FILE).get("training", {}).get("micro_batch_size")
    return [f"{MICRO_BATCH} {stored or 'none'} to {size}"] if _smaller(size, stored) else []


def _flags(inputs: Mapping[str, str]) -> dict[str, str]:
    return {_flag(name): digest for name, digest in inputs.items()}
