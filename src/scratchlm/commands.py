"""Every command, declared once, and each that is a function in Python. `command.py` says how one is resolved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scratchlm.base.errors import UserError, shortened
from scratchlm.base.paths import holds_paths
from scratchlm.command import Command, Named, imported


class Writing(Command):
    """A command that writes with a model, whose own settings of sampling hold where nothing is given."""

    def base(self, given: Named) -> Any:
        """Return the config with the sampling that the model which is given was saved to."""
        if "model" not in given:
            return None
        elsewhere = {"url": given["url"]} if given.get("url") else {}
        config = self.config()(Path(given["model"]), **elsewhere)
        return replace(config, sampling=imported("generation.language_model:sampling_of")(config))


_TRAINS: Mapping[str, Any] = MappingProxyType({"objects": ("on_step",), "resumes": True})
_FINETUNES: Mapping[str, Any] = MappingProxyType({**_TRAINS, "in_memory": ("data", "held_out")})
COMMANDS: Mapping[str, Command] = {each.program: each for each in (
    Command(
        "quickstart", "The whole life of a model in minutes, offline.",
        "tours.quickstart.config:QuickstartConfig", "tours.quickstart.run:quickstart", hidden=("json", "chat"),
    ),
    Command(
        "doctor", "What this machine can do; every fast path against the plain one.",
        "inspection.config:DoctorConfig", "inspection.doctor:doctor",
    ),
    Command(
        "tokenizer train", "Train a tokenizer on text.",
        "tokens.config:TrainTokenizerConfig", "tokens.commands:train_tokenizer", in_memory=(),
    ),
    Command(
        "tokenizer inspect", "Show merges, longest tokens, and how a text is cut.",
        "tokens.config:InspectTokenizerConfig", "tokens.commands:inspect",
    ),
    Command(
        "tokenizer compare", "Compare tokenizers on one text.",
        "tokens.config:CompareTokenizersConfig", "tokens.commands:compare_tokenizers",
    ),
    Command(
        "prepare", "Text in, cleaned and counted, token shards out.",
        "tokens.config:PrepareConfig", "data.prepare:prepare", in_memory=(),
    ),
    Command(
        "plan", "Parameters, memory and time of a run before it begins, or the size of a published model.",
        "pretraining.config:PlanConfig", "pretraining.plan:plan",
    ),
    Command(
        "pretrain", "Train from random weights, continue a model, or resume a run.",
        "pretraining.config:PretrainConfig", "pretraining.pretrain:pretrain", **_TRAINS, in_memory=("data",),
    ),
    Command(
        "timelapse", "Train a small model on the bytes of a text, and write a page that replays its training.",
        "tours.timelapse.config:TimelapseConfig", "tours.timelapse.run:timelapse",
    ),
    Command(
        "synthesize", "Make conversations of your own documents, to fine-tune on.",
        "finetuning.config:SynthesizeConfig", "finetuning.synthesize:synthesize",
    ),
    Command(
        "finetune classify", "Teach a model to put texts into classes.",
        "finetuning.config:ClassifyTrainingConfig", "finetuning.classify:finetune_classify", **_FINETUNES,
    ),
    Command(
        "finetune instruct", "Teach a model to answer in conversations.",
        "finetuning.config:InstructTrainingConfig", "finetuning.instruct:finetune_instruct", **_FINETUNES,
    ),
    Command(
        "finetune prefer", "Teach a model which of two answers is preferred.",
        "finetuning.config:PreferTrainingConfig", "finetuning.prefer:finetune_prefer", **_FINETUNES,
    ),
    Command(
        "finetune reinforce", "Teach a model by rewards for its own answers.",
        "finetuning.config:ReinforceTrainingConfig", "finetuning.reinforce:finetune_reinforce",
        objects=("task", "on_step"), resumes=True,
    ),
    Command(
        "classify", "Put texts into the classes that a model has learned.",
        "generation.config:ClassifyConfig", "generation.classifier:classify",
    ),
    Command(
        "evaluate", "Bits per byte on held-out text, scores of tasks, two models compared.",
        "evaluation.config:EvaluateConfig", "evaluation.run:evaluate",
    ),
    Writing("generate", "Continue a text.", "generation.config:GenerateConfig", "generation.commands:generate"),
    Writing("chat", "Talk with a model.", "generation.config:ChatConfig", "generation.commands:chat"),
    Command(
        "serve", "Answer programs that speak OpenAI's API.", "serving.config:ServeConfig", "serving.commands:serve"
    ),
    Command(
        "inspect", "What a model is made of, and why it writes what it writes.",
        "inspection.config:InspectConfig", "inspection.commands:inspect",
    ),
    Command(
        "import", "Convert a published model to a model folder.",
        "weights.config:ImportConfig", "weights.commands:import_model",
    ),
    Command(
        "export", "Write a model for transformers and other programs.",
        "weights.config:ExportConfig", "weights.commands:export_model",
    ),
    Command(
        "quantize", "Store a model's weights in 8 or 4 bits, and report what that costs.",
        "evaluation.config:QuantizeConfig", "evaluation.quantize:quantize",
    ),
    Command(
        "learn", "The course: its chapters, what is solved, what comes next.",
        "lab.course.config:LearnConfig", "lab.course.commands:learn",
    ),
    Command(
        "learn start", "Write the files of a chapter's exercises.",
        "lab.course.config:StartConfig", "lab.course.commands:start",
    ),
    Command(
        "learn check", "Check an exercise, and name the mistake.",
        "lab.course.config:CheckConfig", "lab.course.commands:check",
    ),
    Command(
        "learn train", "Train the GPT that you wrote, and save it as a model.",
        "lab.course.config:TrainOwnConfig", "lab.course.own_model:train_own",
    ),
    Command(
        "quiz", "Ask the cards of the notes, spaced over days, or as an exam.",
        "lab.quiz.config:QuizConfig", "lab.quiz.commands:quiz",
    ),
    Command(
        "completion", "Print a script that completes commands and flags in a shell.",
        "config.completion:CompletionConfig", "commands:completion",
    ),
)}  # fmt: skip
"""By the words of a command line, in the order in which `--help` lists them."""
GROUPS: Mapping[str, str] = {
    "tokenizer": "Train, inspect and compare tokenizers.",
    "finetune": "Teach a model: classes, answers, preferences, or by rewards.",
    "learn": "The course: chapters, exercises and their checks.",
}
"""What is said of commands that share their first word."""
_NOT_IN_PYTHON = (
    "generate", "chat", "serve", "quiz", "completion", "learn", "learn start", "learn check", "learn train",
)  # fmt: skip
"""`load` gives what `generate` and `chat` do; the others need a terminal or serve until they are stopped."""
_OTHER_NAMES = {
    "tokenizer train": "train_tokenizer", "tokenizer inspect": "inspect_tokenizer", "import": "import_model",
    "tokenizer compare": "compare_tokenizers", "export": "export_model",
}  # fmt: skip
FUNCTIONS: Mapping[str, Command] = {
    _OTHER_NAMES.get(words, words.replace(" ", "_")): command
    for words, command in COMMANDS.items()
    if words not in _NOT_IN_PYTHON
}
"""The commands that are functions in Python, by their names there."""


class Experiment(Command):
    """The command of an experiment, whose form chooses the values that hold where nothing is given."""

    def base(self, given: Named) -> Any:
        """Return the recipe of the form that is given."""
        form = "full" if given.get("full") else "small" if given.get("small") else "default"
        return imported("lab.catalogue:recipe")(self.program.split()[1], form)

    def function(self) -> Callable[..., Any]:
        """Return what runs it."""
        return partial(super().function(), self.program.split()[1])


def experiment_command(name: str) -> Experiment:
    """Return the command of an experiment. Raises `UserError` for an unknown name."""
    entry = imported("lab.catalogue:find")(name)
    settings = f"{entry.config.__module__.removeprefix('scratchlm.')}:{entry.config.__name__}"
    return Experiment(f"experiment {name}", entry.asks, settings, "lab.run:experiment", ("json", "guess"))


Rows = Iterable[str | Mapping[str, Any]]
NOTES = {
    "overrides": "Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and "
    "arguments win over a recipe, a method or a model. A whole part that is given replaces the usual one whole.",
    "on_step": "Called with the record of each step (its step, loss, lr, gradient_norm, tokens, seconds). Where it "
    "returns True, the run ends after that step, evaluated and saved; what it raises ends the run there.",
    "data": "Here also texts, or rows of named fields such as {'text': ..., 'label': ...}, from memory: they are "
    "written once to the cache, under their hash.",
}
"""What `help()` says of arguments that only Python has, or that take more there."""


def parameters_of(name: str, hints: Mapping[str, Any] = MappingProxyType({})) -> list[inspect.Parameter]:
    """Return the parameters of a command as a Python function; `hints` are the types of those that no config has."""
    from scratchlm.config.calls import has_parts, parameters

    command, known, kind = FUNCTIONS[name], [], inspect.Parameter.KEYWORD_ONLY
    in_memory = command.in_memory or ()
    config = command.config()
    for each in parameters(config, command.hidden):
        if each.name in in_memory:
            each = each.replace(annotation=each.annotation | Rows)
        if each.name == "sources" and command.in_memory is not None:
            each = each.replace(default=())
        if each.name in command.objects:
            each = each.replace(annotation=each.annotation | hints.get(each.name, Any))
        known.append(each)
    names = [each.name for each in known]
    more = {key: hints.get(key, Any) for key in command.objects if key not in names}
    more |= {"data": Rows | str | None} if command.in_memory is not None and "data" not in names else {}
    more |= {"overrides": Named | None} if has_parts(config) else {}
    return known + [inspect.Parameter(key, kind, default=None, annotation=hint) for key, hint in more.items()]


def docstring_of(name: str) -> str:
    """Return the docstring of a command as a Python function, made of those of its config and of its fields."""
    from scratchlm.config.field_docs import explained, field_docs

    command = FUNCTIONS[name]
    config, known = command.config(), parameters_of(name)
    docs = field_docs(config)
    for key, note in NOTES.items():
        if key != "data" or command.in_memory is not None:
            docs[key] = f"{docs.get(key, '')} {note}".strip()
    return (
        f"{command.says}\n\n{explained(known, docs)}\n\n"
        f"The arguments are the flags of `scratchlm {command.program} --help`.\n"
        f"One `{config.__name__}` may take their place.\n"
        "Raises `UserError` for an argument that is unknown, missing or wrong."
    )


def function_of(name: str) -> Callable[..., Any]:
    """Return a command as a Python function: of its settings by name, or of one config."""
    command = FUNCTIONS[name]

    def call(*positional: Any, overrides: Named | None = None, **named: Any) -> Any:
        objects = {key: named.pop(key) for key in command.objects if not isinstance(named.get(key, ""), str)}
        if not callable(objects.get("on_step") or call):
            raise UserError(f"on_step is {shortened(objects['on_step'])}: give a function of a step's record")
        named = _on_disk(command, named, bool(positional))
        return command.function()(command.from_call(positional, named, overrides), **objects)

    call.__name__ = call.__qualname__ = name
    call.__signature__ = inspect.Signature(parameters_of(name))  # type: ignore[attr-defined]
    call.__doc__ = docstring_of(name)
    return call


def completion(config: Any) -> str:
    """Return the script that completes all commands in the shell of a `CompletionConfig`."""
    from scratchlm.config.completion import script
    from scratchlm.config.settings import settings

    every = [*COMMANDS.values(), *map(experiment_command, imported("lab.catalogue:EXPERIMENTS"))]
    return script(config.shell, {command.program: settings(command.config()) for command in every})


def _are_paths(value: Any) -> bool:
    """Return whether an argument names files, not what they would hold: a text in a list is a text."""
    return isinstance(value, str) or holds_paths(tuple(value) if isinstance(value, list) else value)


def _on_disk(command: Command, named: dict[str, Any], placed: bool) -> dict[str, Any]:
    """Return the arguments of a call with the files that hold what it gives from memory."""
    if command.in_memory == () and named.get("data") is not None:
        if placed or named.get("sources"):
            raise UserError(f"{command.program}: sources and data; give paths, or what is in memory")
        file = imported("data.given:file_of_rows")(named["data"], "data")
        return {**{key: value for key, value in named.items() if key != "data"}, "sources": (str(file),)}
    for key in command.in_memory or ():
        if named.get(key) is None or _are_paths(named[key]):
            continue
        if command.program == "pretrain":
            init = named.get("init")
            model = None if init is None else imported("weights.checkpoint:find_model")(Path(init))
            named[key] = imported("data.given:prepared_rows")(named[key], key, model)
        else:
            named[key] = imported("data.given:file_of_rows")(named[key], key)
    return named


def experiment(name: str, *positional: Any, **named: Any) -> Any:
    """Test claims of the notes: one experiment, its numbers, its report, returned as an `Outcome`.

    `name` is one of `scratchlm experiment --list`; its flags are arguments of the same names. Settings that are not
    named are those of its recipe, in the form that `small=True` or `full=True` chooses. A config holds all its values
    instead. Raises `UserError` for an argument that is unknown or wrong, and as `scratchlm.lab.run` does.
    """
    command = experiment_command(name)
    if positional and (getattr(positional[0], "small", False) or getattr(positional[0], "full", False)):
        raise UserError(f"experiment {name}: a config holds all its values; choose the form by name, as in small=True")
    return command.function()(command.from_call(positional, named))
