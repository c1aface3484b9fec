"""scratchlm: build a language model from scratch, look inside it, and put it to work.

The verbs of the command line are functions here: `slm.prepare`, `slm.pretrain`, `slm.evaluate`, `slm.quickstart`,
`slm.load(folder).generate(prompt)`. Each name is imported when it is first used, so `import scratchlm` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from scratchlm.evaluation.config import EvaluateConfig
    from scratchlm.evaluation.run import evaluate
    from scratchlm.finetuning.config import (
        ClassifyTrainingConfig,
        InstructTrainingConfig,
        PreferTrainingConfig,
        ReinforceTrainingConfig,
    )
    from scratchlm.generation.classifier import Classifier
    from scratchlm.generation.language_model import LanguageModel, load
    from scratchlm.recipes.classify import finetune_classify
    from scratchlm.recipes.config import PlanConfig, PretrainConfig, QuickstartConfig
    from scratchlm.recipes.instruct import finetune_instruct
    from scratchlm.recipes.plan import plan
    from scratchlm.recipes.prefer import finetune_prefer
    from scratchlm.recipes.pretrain import pretrain
    from scratchlm.recipes.quickstart import quickstart
    from scratchlm.recipes.reinforce import finetune_reinforce
    from scratchlm.tokens.config import PrepareConfig
    from scratchlm.tokens.prepare import prepare

__all__ = [
    "Classifier",
    "ClassifyTrainingConfig",
    "EvaluateConfig",
    "InstructTrainingConfig",
    "LanguageModel",
    "PlanConfig",
    "PreferTrainingConfig",
    "PrepareConfig",
    "PretrainConfig",
    "QuickstartConfig",
    "ReinforceTrainingConfig",
    "__version__",
    "evaluate",
    "finetune_classify",
    "finetune_instruct",
    "finetune_prefer",
    "finetune_reinforce",
    "load",
    "plan",
    "prepare",
    "pretrain",
    "quickstart",
]

_HOMES = {
    "Classifier": "generation.classifier",
    "ClassifyTrainingConfig": "finetuning.config",
    "EvaluateConfig": "evaluation.config",
    "InstructTrainingConfig": "finetuning.config",
    "LanguageModel": "generation.language_model",
    "PlanConfig": "recipes.config",
    "PreferTrainingConfig": "finetuning.config",
    "PrepareConfig": "tokens.config",
    "PretrainConfig": "recipes.config",
    "QuickstartConfig": "recipes.config",
    "ReinforceTrainingConfig": "finetuning.config",
    "evaluate": "evaluation.run",
    "finetune_classify": "recipes.classify",
    "finetune_instruct": "recipes.instruct",
    "finetune_prefer": "recipes.prefer",
    "finetune_reinforce": "recipes.reinforce",
    "load": "generation.language_model",
    "plan": "recipes.plan",
    "prepare": "tokens.prepare",
    "pretrain": "recipes.pretrain",
    "quickstart": "recipes.quickstart",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'scratchlm' has no attribute {name!r}")
    return getattr(import_module(f"scratchlm.{_HOMES[name]}"), name)
