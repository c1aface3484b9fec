"""The experiments by name, and the recipe of each. Imports no torch.

An experiment is a folder of `experiments/`: measure.py, claims.toml, recipe.toml. The table `default` of a recipe holds
the settings of a run of some minutes, `small` and `full` the settings that differ with these flags. Flags override it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from scratchlm.base.config import from_dict, read_toml
from scratchlm.base.errors import UserError, nearest
from scratchlm.lab.experiments import config as configs
from scratchlm.lab.harness.findings import Sentence
from scratchlm.lab.harness.settings import ExperimentConfig


class ExperimentEntry(NamedTuple):
    """An experiment: the module of its code, its config class, and its question."""

    module: str
    config: type[ExperimentConfig]
    asks: str


EXPERIMENTS: Mapping[str, ExperimentEntry] = {
    name: ExperimentEntry(name.replace("-", "_"), config, asks)
    for name, config, asks in (
        ("ladder-spam", configs.LadderSpamConfig, "How well does each kind of method detect spam?"),
        ("ladder-lm", configs.LadderLmConfig, "How well does each kind of model predict the same text?"),
        ("ladder-translate", configs.LadderTranslateConfig,
         "How well does each kind of method translate short sentences?"),
        ("compare-reading", configs.CompareReadingConfig,
         "How well does each kind of method answer questions on a passage?"),
        ("ladder-respond", configs.LadderRespondConfig, "How well does each kind of method reply in a conversation?"),
        ("label-efficiency", configs.LabelEfficiencyConfig,
         "How many labelled texts does each kind of method need?"),
        ("ablations", configs.AblationsConfig, "What happens when parameters are changed, frozen or removed?"),
        ("objective", configs.ObjectiveConfig, "What does training optimise, and what emerges from it?"),
        ("vocabulary", configs.VocabularyConfig, "How many tokens should a vocabulary have, and of which kind?"),
        ("scaling", configs.ScalingConfig, "How does the loss fall with parameters, tokens and compute?"),
        ("features", configs.FeaturesConfig, "Which properties of tokens can linear probes read from each layer?"),
        ("tasks", configs.TasksConfig,
         "How well does one multi-task model do, compared with a method for each task?"),
        ("crossover", configs.CrossoverConfig,
         "From which size on do language models overtake earlier methods, task by task?"),
        ("limits", configs.LimitsConfig, "Where is a model fluent but wrong?"),
        ("context", configs.ContextConfig, "How much do the tokens of the context help, and their order?"),
        ("twins", configs.TwinsConfig, "What is each part of a model worth, if all else is equal?"),
        ("attention-kinds", configs.AttentionKindsConfig, "What do kinds of attention cost, and what do they save?"),
        ("induction", configs.InductionConfig, "When does a model learn to copy, and which head does it?"),
        ("patching", configs.PatchingConfig, "Which single value decides whose pet an answer names?"),
    )
}  # fmt: skip


def find(name: str) -> ExperimentEntry:
    """Return an experiment by its name. Raises `UserError` that suggests the nearest name."""
    if name not in EXPERIMENTS:
        raise UserError(f"experiment {name!r}: {nearest(name, EXPERIMENTS)}; scratchlm experiment --list shows all")
    return EXPERIMENTS[name]


def recipe(name: str, form: str) -> ExperimentConfig:
    """Return the settings of an experiment; `form` is small, default or full."""
    entry = find(name)
    cls, tables = entry.config, _table(entry, "recipe.toml")
    config = from_dict(cls, tables["default"], f"{name}.default", cls())
    return config if form == "default" else from_dict(cls, {**tables[form], form: True}, f"{name}.{form}", config)


def sentences(name: str) -> dict[str, Sentence]:
    """Return what the claims of an experiment say, by their keys."""
    tables = _table(find(name), "claims.toml")
    return {key: from_dict(Sentence, table, f"{name}.{key}") for key, table in tables.items()}


def _table(entry: ExperimentEntry, name: str) -> dict[str, Any]:
    with resources.as_file(resources.files("scratchlm.lab.experiments") / entry.module / name) as file:
        return read_toml(file)
