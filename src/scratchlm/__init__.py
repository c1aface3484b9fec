"""scratchlm: build a language model from scratch, look inside it, and put it to work.

The verbs of the command line are functions here: `slm.prepare("books.jsonl", out="data")`, `slm.pretrain("tiny",
data="data", out="run")`, `slm.load("run").generate(prompt)`. Their arguments are the flags of the command, with the
types that `__init__.pyi` tells to editors. Each name is imported when it is first used, so `import scratchlm` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_VERBS = (
    "classify",
    "compare_tokenizers",
    "doctor",
    "evaluate",
    "export_model",
    "finetune_classify",
    "finetune_instruct",
    "finetune_prefer",
    "finetune_reinforce",
    "import_model",
    "inspect",
    "inspect_tokenizer",
    "plan",
    "prepare",
    "pretrain",
    "quickstart",
    "synthesize",
    "train_tokenizer",
)
_HOMES = {
    "Classifier": "generation.classifier",
    "ClassifyConfig": "generation.config",
    "ClassifyTrainingConfig": "finetuning.config",
    "CompareTokenizersConfig": "tokens.config",
    "DecoderConfig": "model.config",
    "DoctorConfig": "runs.config",
    "EvaluateConfig": "evaluation.config",
    "ExportConfig": "weights.config",
    "ImportConfig": "weights.config",
    "InspectConfig": "inspection.config",
    "InspectTokenizerConfig": "tokens.config",
    "InstructTrainingConfig": "finetuning.config",
    "Interrupted": "base.errors",
    "LanguageModel": "generation.language_model",
    "PlanConfig": "runs.config",
    "PreferTrainingConfig": "finetuning.config",
    "PrepareConfig": "tokens.config",
    "PretrainConfig": "runs.config",
    "PublishedConfig": "runs.config",
    "QuickstartConfig": "runs.config",
    "ReinforceTrainingConfig": "finetuning.config",
    "SynthesizeConfig": "finetuning.config",
    "TrainTokenizerConfig": "tokens.config",
    "TrainingConfig": "training.config",
    "UserError": "base.errors",
    "experiment": "verbs",
    "load": "generation.language_model",
}

__all__ = ["__version__", *_HOMES, *_VERBS]


def __dir__() -> list[str]:
    """Return the public names, those not yet imported too."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _VERBS:
        value = import_module("scratchlm.verbs").function_of(name)
    elif name in _HOMES:
        value = getattr(import_module(f"scratchlm.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'scratchlm' has no attribute {name!r}")
    globals()[name] = value
    return value
