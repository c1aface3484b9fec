"""The verbs: a table of all of them, and each as a Python function. `verb.py` says how one is resolved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.verb import Arguments, Named, Verb, imported


def _recipe_and_depth(arguments: Arguments, program: str) -> Named:
    from scratchlm.base.flags import given

    depth = given(arguments).get("depth") or ""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else "default"
    return {"recipe": name, "depth": int(depth) if depth.lstrip("-").isdigit() else None}


def _depth(named: Named) -> int | None:
    depth = named.get("depth")
    return depth if isinstance(depth, int) else None  # what is no number is told by what reads the other settings


def _pretraining(named: Named) -> Any:
    from scratchlm.runs.config import PretrainConfig
    from scratchlm.runs.depth_scaling import resolve

    return resolve(PretrainConfig(str(named.get("recipe", "default")), depth=_depth(named)))


def _planning(named: Named) -> Any:
    from scratchlm.runs.config import PlanConfig
    from scratchlm.runs.depth_scaling import is_published, resolve_plan

    name = str(named.get("recipe", "default"))
    return resolve_plan(PlanConfig(name, depth=None if is_published(name) else _depth(named)))


def _method(arguments: Arguments, program: str) -> Named:
    from scratchlm.base.flags import given

    return {"method": given(arguments).get("method")}


def _preferring(named: Named) -> Any:
    from scratchlm.finetuning.config import PreferTrainingConfig, resolve_loss
    from scratchlm.finetuning.lossconfig import LOSSES

    method = named.get("method")  # one that is unknown is told by what reads the other settings
    return resolve_loss(PreferTrainingConfig(method=method if method in LOSSES else None, loss=named.get("loss")))


def _model_of(config: str) -> Callable[[Arguments, str], Named]:
    def early(arguments: Arguments, program: str) -> Named:
        from scratchlm.base.flags import parse

        cls = imported(config)
        return {"model": parse(cls, arguments, program, None, inspect.getdoc(cls.__base__)).model}

    return early


def _sampling_of(config: str) -> Callable[[Named], Any]:
    def defaults(named: Named) -> Any:
        if "model" not in named:
            return None
        return imported("generation.language_model:resolve_sampling")(imported(config)(Path(named["model"])))

    return defaults


QUICKSTART = Verb(
    "quickstart",
    "The whole life of a model in minutes, offline.",
    "runs.config:QuickstartConfig",
    "runs.quickstart.run:quickstart",
    hidden=("json", "chat"),
)
DOCTOR = Verb(
    "doctor",
    "What this machine can do; every fast path against the plain one.",
    "runs.config:DoctorConfig",
    "runs.doctor:doctor",
)
TRAIN_TOKENIZER = Verb(
    "tokenizer train",
    "Train a tokenizer on text.",
    "tokens.config:TrainTokenizerConfig",
    "tokens.commands:train_tokenizer",
)
INSPECT_TOKENIZER = Verb(
    "tokenizer inspect",
    "Show merges, longest tokens, and how a text is cut.",
    "tokens.config:InspectTokenizerConfig",
    "tokens.commands:inspect",
)
COMPARE_TOKENIZERS = Verb(
    "tokenizer compare",
    "Compare tokenizers on one text.",
    "tokens.config:CompareTokenizersConfig",
    "tokens.commands:compare_tokenizers",
)
PREPARE = Verb(
    "prepare",
    "Text in, cleaned and counted, token shards out.",
    "tokens.config:PrepareConfig",
    "data.prepare:prepare",
)
PLAN = Verb(
    "plan",
    "Parameters, memory and time of a run before it begins, or the size of a published model.",
    "runs.config:PlanConfig",
    "runs.plan:plan",
    _planning,
    _recipe_and_depth,
)
PRETRAIN = Verb(
    "pretrain",
    "Train from random weights, continue a model, or resume a run.",
    "runs.config:PretrainConfig",
    "runs.pretrain:pretrain",
    _pretraining,
    _recipe_and_depth,
    resumed="runs.config:ResolvedPretrainConfig",
)
SYNTHESIZE = Verb(
    "synthesize",
    "Make conversations of your own documents, to fine-tune on.",
    "finetuning.config:SynthesizeConfig",
    "runs.synthesize:synthesize",
)
FINETUNE_CLASSIFY = Verb(
    "finetune classify",
    "Teach a model to put texts into classes.",
    "finetuning.config:ClassifyTrainingConfig",
    "runs.classify:finetune_classify",
    resumed="finetuning.config:ClassifyTrainingConfig",
)
FINETUNE_INSTRUCT = Verb(
    "finetune instruct",
    "Teach a model to answer in conversations.",
    "finetuning.config:InstructTrainingConfig",
    "runs.instruct:finetune_instruct",
    resumed="finetuning.config:InstructTrainingConfig",
)
FINETUNE_PREFER = Verb(
    "finetune prefer",
    "Teach a model which of two answers is preferred.",
    "finetuning.config:PreferTrainingConfig",
    "runs.prefer:finetune_prefer",
    _preferring,
    _method,
    resumed="finetuning.config:ResolvedPreferTrainingConfig",
)
FINETUNE_REINFORCE = Verb(
    "finetune reinforce",
    "Teach a model by what its own answers are worth.",
    "finetuning.config:ReinforceTrainingConfig",
    "runs.reinforce:finetune_reinforce",
    hidden=("json", "data", "held_out", "split"),
    objects=("task",),
    resumed="finetuning.config:ReinforceTrainingConfig",
)
CLASSIFY = Verb(
    "classify",
    "Put texts into the classes that a model has learned.",
    "generation.config:ClassifyConfig",
    "generation.classifier:classify",
)
EVALUATE = Verb(
    "evaluate",
    "Bits per byte on held-out text, scores of tasks, two models compared.",
    "evaluation.config:EvaluateConfig",
    "evaluation.run:evaluate",
)
GENERATE = Verb(
    "generate",
    "Continue a text.",
    "generation.config:GenerateConfig",
    "generation.commands:generate",
    _sampling_of("generation.config:GenerateConfig"),
    _model_of("generation.config:ResolvedGenerateConfig"),
)
CHAT = Verb(
    "chat",
    "Talk with a model.",
    "generation.config:ChatConfig",
    "generation.commands:chat",
    _sampling_of("generation.config:ChatConfig"),
    _model_of("generation.config:ResolvedChatConfig"),
)
INSPECT = Verb(
    "inspect", "What a model is made of.", "inspection.config:InspectConfig", "inspection.parameters:inspect"
)
IMPORT = Verb(
    "import",
    "Take a published model over as a model folder.",
    "weights.config:ImportConfig",
    "weights.commands:import_model",
)
EXPORT = Verb(
    "export",
    "Write a model for transformers and other programs.",
    "weights.config:ExportConfig",
    "weights.commands:export_model",
)
QUIZ = Verb(
    "quiz",
    "Ask the cards of the notes, spaced over days, or as an exam.",
    "lab.quiz.config:QuizConfig",
    "lab.quiz.commands:quiz",
)


def experiment_verb(name: str) -> Verb:
    """Return the verb of an experiment: its form chooses the values that hold where nothing is said.

    Raises `UserError` for an unknown name.
    """
    from scratchlm.lab.catalogue import find, form_of, recipe, todays_name

    name = todays_name(name)
    entry = find(name)

    def defaults(named: Named) -> Any:
        return recipe(name, "full" if named.get("full") else "small" if named.get("small") else "default")

    def early(arguments: Arguments, program: str) -> Named:
        return {form_of(arguments): True}

    place = f"{entry.config.__module__.removeprefix('scratchlm.')}:{entry.config.__name__}"
    return Verb(f"experiment {name}", entry.asks, place, "lab.run:experiment", defaults, early, first=(name,))


FUNCTIONS: Mapping[str, Verb] = {
    "quickstart": QUICKSTART,
    "doctor": DOCTOR,
    "train_tokenizer": TRAIN_TOKENIZER,
    "inspect_tokenizer": INSPECT_TOKENIZER,
    "compare_tokenizers": COMPARE_TOKENIZERS,
    "prepare": PREPARE,
    "plan": PLAN,
    "pretrain": PRETRAIN,
    "synthesize": SYNTHESIZE,
    "finetune_classify": FINETUNE_CLASSIFY,
    "finetune_instruct": FINETUNE_INSTRUCT,
    "finetune_prefer": FINETUNE_PREFER,
    "finetune_reinforce": FINETUNE_REINFORCE,
    "classify": CLASSIFY,
    "evaluate": EVALUATE,
    "inspect": INSPECT,
    "import_model": IMPORT,
    "export_model": EXPORT,
}
"""The verbs that are functions in Python, by their names there; `load` gives what `generate` and `chat` do, and `quiz`
needs a terminal."""


OVERRIDES = """`overrides` are single values by dotted names, such as {"training.steps": 50}: they win over arguments,
and arguments win over a recipe, a method or a model. A whole part that is given replaces the usual one whole.
"""


def function_of(name: str) -> Callable[..., Any]:
    """Return a verb as a Python function: of its settings by name, or of one config."""
    from scratchlm.base.calls import has_parts, parameters

    verb = FUNCTIONS[name]

    def call(*positional: Any, overrides: Named | None = None, **named: Any) -> Any:
        objects = {key: named.pop(key) for key in verb.objects if not isinstance(named.get(key, ""), str)}
        return verb.run(verb.from_call(positional, named, overrides), **objects)

    config = imported(verb.config)
    known, told = parameters(config, verb.hidden), ""
    if has_parts(config):
        annotation = Named | None
        known.append(
            inspect.Parameter("overrides", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
        told = OVERRIDES
    call.__name__ = call.__qualname__ = name
    call.__signature__ = inspect.Signature(known)  # type: ignore[attr-defined]
    call.__doc__ = (
        f"{verb.says}\n\nTakes the flags of `scratchlm {verb.program} --help` as arguments of the same names, or one "
        f"`{config.__name__}`.\n{told}Raises `UserError` for an argument that is unknown, missing or wrong."
    )
    return call


def experiment(name: str, *positional: Any, **named: Any) -> Any:
    """Prove a claim of the notes: one experiment, its numbers, its report, returned as an `Outcome`.

    `name` is one of `scratchlm experiment --list`; its flags are arguments of the same names. Settings that are not
    named are those of its recipe, in the form that `small=True` or `full=True` chooses. A config holds all its values
    instead. Raises `UserError` for an argument that is unknown or wrong, and as `scratchlm.lab.run` does.
    """
    verb = experiment_verb(name)
    if positional and (getattr(positional[0], "small", False) or getattr(positional[0], "full", False)):
        raise UserError(f"experiment {name}: a config holds all its values; choose the form by name, as in small=True")
    return verb.run(verb.from_call(positional, named))
