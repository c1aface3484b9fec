"""The trials of a sweep: every combination of the values that `--sweep KEY=A,B,C` names, each as a config."""

from __future__ import annotations

import itertools
import math
import tomllib
from dataclasses import dataclass
from typing import Any

from scratchlm.base.errors import UserError, raise_all
from scratchlm.pretraining.config import PretrainConfig, changed

MOST = 1000
"""Trials of a sweep."""
SAME = ("recipe", "data", "out", "resume", "minutes", "device", "threads", "force", "allow_changes")
"""Settings that are the same for all trials, beside those of the sweep itself."""


@dataclass(frozen=True)
class Trial:
    """One combination of settings."""

    number: int
    values: dict[str, Any]
    """By the dotted names of the settings."""
    config: PretrainConfig


def trials_of(config: PretrainConfig) -> list[Trial]:
    """Return all trials of a sweep. Raises `UserError` with everything that is wrong with its values."""
    choices, problems = _choices(config.sweep)
    count = math.prod(map(len, choices.values()))
    if count > MOST:
        problems.append(f"--sweep: {count:,} combinations, more than {MOST:,}; name fewer values")
    raise_all(problems)
    trials = []
    for number, values in enumerate(itertools.product(*choices.values())):
        named = dict(zip(choices, values, strict=True))
        try:
            trials.append(Trial(number, named, changed(config, named)))
        except UserError as error:
            problems.append(f"--sweep: {error}")
    raise_all(list(dict.fromkeys(problems)))
    return trials


def _choices(sweep: tuple[str, ...]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the values of each setting, and what is wrong."""
    choices: dict[str, list[Any]] = {}
    problems = []
    for text in sweep:
        name, _, listed = text.partition("=")
        key, values = name.strip().removeprefix("--").replace("-", "_"), [each.strip() for each in listed.split(",")]
        if not key or not all(values):
            problems.append(f"--sweep {text}: write KEY=A,B,C, such as training.optimizer.learning-rate=0.01,0.02")
        elif key in choices:
            problems.append(f"--sweep {text}: {key} is given twice; name all its values in one")
        elif key in SAME or key.startswith("sweep"):
            problems.append(f"--sweep {text}: {key} is the same for all trials; give it as a flag of its own")
        else:
            choices[key] = list(dict.fromkeys(map(_value, values)))
    return choices, problems


def _value(text: str) -> Any:
    """Return a number, true or false as such, anything else as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
