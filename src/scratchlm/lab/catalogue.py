"""The experiments by name, and the recipe of each. Imports no torch.

An experiment's recipe is a TOML file of its name beside this one: the table `default` holds the settings of a run of
some minutes, `small` and `full` what differs in a quick and in a thorough one. Flags come last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from scratchlm.base.config import from_dict, read_toml
from scratchlm.base.errors import UserError, nearest
from scratchlm.lab.experiments.ablations.config import KnobsConfig
from scratchlm.lab.experiments.context.config import ContextConfig
from scratchlm.lab.experiments.features.config import FeaturesConfig
from scratchlm.lab.experiments.label_efficiency.config import LabelEfficiencyConfig
from scratchlm.lab.experiments.ladder_lm.config import LadderLmConfig
from scratchlm.lab.experiments.ladder_respond.config import LadderRespondConfig
from scratchlm.lab.experiments.ladder_spam.config import LadderSpamConfig
from scratchlm.lab.experiments.ladder_translate.config import LadderTranslateConfig
from scratchlm.lab.experiments.ladder_understand.config import LadderUnderstandConfig
from scratchlm.lab.experiments.limits.config import LimitsConfig
from scratchlm.lab.experiments.objective.config import ObjectiveConfig
from scratchlm.lab.experiments.scaling.config import ScalingConfig
from scratchlm.lab.experiments.tasks.config import TasksConfig
from scratchlm.lab.harness.settings import ExperimentConfig


class Entry(NamedTuple):
    """An experiment: where its code is, what it can be told, and what it asks."""

    module: str
    config: type[ExperimentConfig]
    asks: str


EXPERIMENTS: Mapping[str, Entry] = {
    "ladder-spam": Entry("ladder_spam", LadderSpamConfig, "How far does each kind of method come at finding spam?"),
    "ladder-lm": Entry("ladder_lm", LadderLmConfig, "How well does each kind of model predict the same text?"),
    "ladder-translate": Entry(
        "ladder_translate", LadderTranslateConfig, "How well does each kind of method translate short sentences?"
    ),
    "ladder-understand": Entry(
        "ladder_understand", LadderUnderstandConfig, "How well does each kind of method answer questions on a passage?"
    ),
    "ladder-respond": Entry(
        "ladder_respond", LadderRespondConfig, "How well does each kind of method reply to what is said?"
    ),
    "label-efficiency": Entry(
        "label_efficiency", LabelEfficiencyConfig, "How many labelled texts does each kind of method need?"
    ),
    "knobs": Entry("ablations", KnobsConfig, "What are parameters, and what happens when they are turned?"),
    "objective": Entry("objective", ObjectiveConfig, "What is optimised, and what follows from it by itself?"),
    "scaling": Entry("scaling", ScalingConfig, "How does loss fall with parameters, text and compute?"),
    "features": Entry("features", FeaturesConfig, "What is in a model's layers that no one put there?"),
    "tasks": Entry("tasks", TasksConfig, "How well does one model do many tasks, beside a method for each?"),
    "limits": Entry("limits", LimitsConfig, "Where is a model fluent and wrong?"),
    "context": Entry("context", ContextConfig, "What are the tokens before the predicted one worth, and their order?"),
}


def find(name: str) -> Entry:
    """Return an experiment by its name. Raises `UserError` that offers the nearest."""
    if name not in EXPERIMENTS:
        raise UserError(f"experiment {name!r}: {nearest(name, EXPERIMENTS)}; scratchlm experiment --list tells more")
    return EXPERIMENTS[name]


def recipe(name: str, form: str) -> ExperimentConfig:
    """Return the settings of an experiment in one of its forms: small, default or full."""
    entry = find(name)
    cls = entry.config
    with resources.as_file(resources.files(f"scratchlm.lab.experiments.{entry.module}") / "recipe.toml") as file:
        tables = read_toml(file)
    config = from_dict(cls, tables["default"], f"{name}.default", cls())
    return config if form == "default" else from_dict(cls, {**tables[form], form: True}, f"{name}.{form}", config)


def form_of(arguments: Sequence[str]) -> str:
    """Return the form that a command line asks for."""
    return "full" if "--full" in arguments else "small" if "--small" in arguments else "default"
