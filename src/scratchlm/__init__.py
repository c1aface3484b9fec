"""scratchlm: build a language model from scratch, look inside it, and put it to work.

The commands of the command line are functions here: `slm.prepare("books.jsonl", out="data")`, `slm.pretrain("tiny",
data="data", out="run")`, `slm.load("run").generate(prompt)`. Their arguments are the flags of the command, with the
types that `__init__.pyi` gives to editors. Each name is imported when it is first used, so `import scratchlm` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = (
    "classify", "compare_tokenizers", "doctor", "evaluate", "export_model", "finetune_classify", "finetune_instruct",
    "finetune_prefer", "finetune_reinforce", "import_model", "inspect", "inspect_tokenizer", "plan", "prepare",
    "pretrain", "quantize", "quickstart", "synthesize", "timelapse", "train_tokenizer",
)  # fmt: skip
_HOMES = {name: module for module, names in {
    "base.errors": ("Interrupted", "UserError"),
    "data.given": ("batches_from",),
    "evaluation.config": ("EvaluateConfig",),
    "finetuning.config": ("ClassifyTrainingConfig", "InstructTrainingConfig", "PreferTrainingConfig",
                          "ReinforceTrainingConfig", "SynthesizeConfig"),
    "generation.classifier": ("Classifier",),
    "generation.config": ("ClassifyConfig", "SamplingConfig"),
    "generation.generated": ("GeneratedText",),
    "generation.language_model": ("LanguageModel", "load"),
    "inspection.config": ("DoctorConfig", "InspectConfig"),
    "inspection.edits": ("Edit",),
    "inspection.trace": ("attention_maps", "layer_states", "trace"),
    "model.config": ("DecoderConfig",),
    "model.decoder": ("build_decoder",),
    "pretraining.config": ("PlanConfig", "PretrainConfig"),
    "tours.quickstart.config": ("QuickstartConfig",),
    "tokens.config": ("CompareTokenizersConfig", "InspectTokenizerConfig", "PrepareConfig", "TrainTokenizerConfig"),
    "training.config": ("AdamWConfig", "TrainingConfig"),
    "training.loop": ("Loop", "StepRecord"),
    "commands": ("experiment",),
    "tours.timelapse.config": ("TimelapseConfig",),
    "weights.config": ("ExportConfig", "ImportConfig"),
}.items() for name in names}  # fmt: skip

__all__ = ["__version__", *_HOMES, *_FUNCTIONS]


def __dir__() -> list[str]:
    """Return the public names, those not yet imported too."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _FUNCTIONS:
        value = import_module("scratchlm.commands").function_of(name)
    elif name in _HOMES:
        value = getattr(import_module(f"scratchlm.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'scratchlm' has no attribute {name!r}")
    globals()[name] = value
    return value
