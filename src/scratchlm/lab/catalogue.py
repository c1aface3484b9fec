"""The experiments by name, and the recipe of each. Imports no torch.

An experiment's recipe is `recipe.toml` in its folder: the table `default` holds the settings of a run of some minutes,
`small` and `full` the settings that differ with these flags. Flags override the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import ClassVar, NamedTuple

from scratchlm.base.config import from_dict, read_toml, renamed_to
from scratchlm.base.errors import UserError, nearest
from scratchlm.lab.experiments.ablations.config import AblationsConfig
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
from scratchlm.lab.harness.settings import EARLIER_NAMES, ExperimentConfig


class Entry(NamedTuple):
    """An experiment: the folder of its code, its config class, and its question."""

    module: str
    config: type[ExperimentConfig]
    asks: str


EXPERIMENTS: Mapping[str, Entry] = {
    "ladder-spam": Entry("ladder_spam", LadderSpamConfig, "How well does each kind of method detect spam?"),
    "ladder-lm": Entry("ladder_lm", LadderLmConfig, "How well does each kind of model predict the same text?"),
    "ladder-translate": Entry(
        "ladder_translate", LadderTranslateConfig, "How well does each kind of method translate short sentences?"
    ),
    "ladder-understand": Entry(
        "ladder_understand", LadderUnderstandConfig, "How well does each kind of method answer questions on a passage?"
    ),
    "ladder-respond": Entry(
        "ladder_respond", LadderRespondConfig, "How well does each kind of method reply in a conversation?"
    ),
    "label-efficiency": Entry(
        "label_efficiency", LabelEfficiencyConfig, "How many labelled texts does each kind of method need?"
    ),
    "ablations": Entry("ablations", AblationsConfig, "What happens when parameters are changed, frozen or removed?"),
    "objective": Entry("objective", ObjectiveConfig, "What does training optimise, and what emerges from it?"),
    "scaling": Entry("scaling", ScalingConfig, "How does the loss fall with parameters, tokens and compute?"),
    "features": Entry("features", FeaturesConfig, "Which properties of tokens can linear probes read from each layer?"),
    "tasks": Entry(
        "tasks", TasksConfig, "How well does one multi-task model do, compared with a method for each task?"
    ),
    "limits": Entry("limits", LimitsConfig, "Where is a model fluent but wrong?"),
    "context": Entry("context", ContextConfig, "How much do the tokens of the context help, and their order?"),
}


class _Names:
    """Earlier names of experiments, in the form that `renamed_to` reads."""

    renamed: ClassVar[Mapping[str, str]] = EARLIER_NAMES


def todays_name(name: str) -> str:
    """Return the name of an experiment today; stderr gets one line about an earlier name."""
    return renamed_to(_Names, name)


def find(name: str) -> Entry:
    """Return an experiment by its name. Raises `UserError` that suggests the nearest name."""
    name = todays_name(name)
    if name not in EXPERIMENTS:
        raise UserError(f"experiment {name!r}: {nearest(name, EXPERIMENTS)}; scratchlm experiment --list tells more")
    return EXPERIMENTS[name]


def recipe(name: str, form: str) -> ExperimentConfig:
    """Return the settings of an experiment; `form` is small, default or full."""
    entry = find(name)
    cls = entry.config
    with resources.as_file(resources.files(f"scratchlm.lab.experiments.{entry.module}") / "recipe.toml") as file:
        tables = read_toml(file)
    config = from_dict(cls, tables["default"], f"{name}.default", cls())
    return config if form == "default" else from_dict(cls, {**tables[form], form: True}, f"{name}.{form}", config)


def form_of(arguments: Sequence[str]) -> str:
    """Return the form that a command line selects."""
    return "full" if "--full" in arguments else "small" if "--small" in arguments else "default"
