"""The verbs: a table of all of them, and each as a Python function. `verb.py` says how one is resolved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scratchlm.base.errors import UserError, shortened
from scratchlm.base.paths import holds_paths
from scratchlm.verb import Lazy, Named, Verb

if TYPE_CHECKING:  # what type checkers and editors follow; when it runs, a module is imported when it is asked for
    import scratchlm.base.config
    import scratchlm.config.completion
    import scratchlm.config.settings
    import scratchlm.data.given
    import scratchlm.data.prepare
    import scratchlm.evaluation.config
    import scratchlm.evaluation.run
    import scratchlm.finetuning.config
    import scratchlm.finetuning.lossconfig
    import scratchlm.generation.classifier
    import scratchlm.generation.commands
    import scratchlm.generation.config
    import scratchlm.generation.language_model
    import scratchlm.inspection.config
    import scratchlm.inspection.parameters
    import scratchlm.lab.catalogue
    import scratchlm.lab.quiz.commands
    import scratchlm.lab.quiz.config
    import scratchlm.lab.run
    import scratchlm.runs.classify
    import scratchlm.runs.config
    import scratchlm.runs.depth_scaling
    import scratchlm.runs.doctor
    import scratchlm.runs.instruct
    import scratchlm.runs.plan
    import scratchlm.runs.prefer
    import scratchlm.runs.pretrain
    import scratchlm.runs.quantize
    import scratchlm.runs.quickstart.run
    import scratchlm.runs.reinforce
    import scratchlm.runs.synthesize
    import scratchlm.runs.timelapse.run
    import scratchlm.serving.commands
    import scratchlm.serving.config
    import scratchlm.tokens.commands
    import scratchlm.tokens.config
    import scratchlm.weights.checkpoint
    import scratchlm.weights.commands
    import scratchlm.weights.config
else:
    scratchlm = Lazy("scratchlm")


def _depth(named: Named) -> int | None:
    depth = named.get("depth")
    return depth if isinstance(depth, int) else None  # what is no number is reported by what reads the other settings


def _pretraining(named: Named) -> Any:
    config = scratchlm.runs.config.PretrainConfig(str(named.get("recipe", "default")), depth=_depth(named))
    return scratchlm.runs.depth_scaling.resolve(config)


def _planning(named: Named) -> Any:
    name, runs = str(named.get("recipe", "default")), scratchlm.runs
    depth = None if runs.depth_scaling.is_published(name) else _depth(named)
    return runs.depth_scaling.resolve_plan(runs.config.PlanConfig(name, depth=depth))


def _of_file(config: Callable[[], Any]) -> Callable[[Named], Any]:
    def defaults(named: Named) -> Any:
        file = named.get("recipe")
        return None if file is None else scratchlm.base.config.read_settings(config(), Path(file))

    return defaults


def _preferring(named: Named) -> Any:
    method = named.get("method")  # one that is unknown is reported by what reads the other settings
    known = method if method in scratchlm.finetuning.lossconfig.LOSSES else None
    config = scratchlm.finetuning.config.PreferTrainingConfig()
    if named.get("recipe") is not None:
        config = scratchlm.base.config.read_settings(type(config), Path(named["recipe"]))
    if known is not None or named.get("loss") is not None:
        config = replace(config, method=known, loss=named.get("loss"))
    return scratchlm.finetuning.config.resolve_loss(config)


def _sampling_of(config: Callable[[], Any]) -> Callable[[Named], Any]:
    def defaults(named: Named) -> Any:
        if "model" not in named:
            return None
        elsewhere = {"url": named["url"]} if named.get("url") else {}
        return scratchlm.generation.language_model.resolve_sampling(config()(Path(named["model"]), **elsewhere))

    return defaults


QUANTIZE = Verb(
    "quantize", "Store a model's weights in 8 or 4 bits, and report what that costs.",
    lambda: scratchlm.runs.config.QuantizeConfig, lambda: scratchlm.runs.quantize.quantize
)  # fmt: skip
QUICKSTART = Verb(
    "quickstart", "The whole life of a model in minutes, offline.",
    lambda: scratchlm.runs.config.QuickstartConfig, lambda: scratchlm.runs.quickstart.run.quickstart,
    hidden=("json", "chat")
)  # fmt: skip
DOCTOR = Verb(
    "doctor", "What this machine can do; every fast path against the plain one.",
    lambda: scratchlm.runs.config.DoctorConfig, lambda: scratchlm.runs.doctor.doctor
)  # fmt: skip
TRAIN_TOKENIZER = Verb(
    "tokenizer train", "Train a tokenizer on text.",
    lambda: scratchlm.tokens.config.TrainTokenizerConfig, lambda: scratchlm.tokens.commands.train_tokenizer
)  # fmt: skip
INSPECT_TOKENIZER = Verb(
    "tokenizer inspect", "Show merges, longest tokens, and how a text is cut.",
    lambda: scratchlm.tokens.config.InspectTokenizerConfig, lambda: scratchlm.tokens.commands.inspect
)  # fmt: skip
COMPARE_TOKENIZERS = Verb(
    "tokenizer compare", "Compare tokenizers on one text.",
    lambda: scratchlm.tokens.config.CompareTokenizersConfig, lambda: scratchlm.tokens.commands.compare_tokenizers
)  # fmt: skip
PREPARE = Verb(
    "prepare", "Text in, cleaned and counted, token shards out.",
    lambda: scratchlm.tokens.config.PrepareConfig, lambda: scratchlm.data.prepare.prepare
)  # fmt: skip
PLAN = Verb(
    "plan", "Parameters, memory and time of a run before it begins, or the size of a published model.",
    lambda: scratchlm.runs.config.PlanConfig, lambda: scratchlm.runs.plan.plan, _planning
)  # fmt: skip
PRETRAIN = Verb(
    "pretrain", "Train from random weights, continue a model, or resume a run.",
    lambda: scratchlm.runs.config.PretrainConfig, lambda: scratchlm.runs.pretrain.pretrain, _pretraining,
    objects=("on_step",), resumed=lambda: scratchlm.runs.config.ResolvedPretrainConfig
)  # fmt: skip
TIMELAPSE = Verb(
    "timelapse", "Train a small model on the bytes of a text, and write a page that replays its training.",
    lambda: scratchlm.runs.config.TimelapseConfig, lambda: scratchlm.runs.timelapse.run.timelapse
)  # fmt: skip
SYNTHESIZE = Verb(
    "synthesize", "Make conversations of your own documents, to fine-tune on.",
    lambda: scratchlm.finetuning.config.SynthesizeConfig, lambda: scratchlm.runs.synthesize.synthesize
)  # fmt: skip
FINETUNE_CLASSIFY = Verb(
    "finetune classify", "Teach a model to put texts into classes.",
    lambda: scratchlm.finetuning.config.ClassifyTrainingConfig, lambda: scratchlm.runs.classify.finetune_classify,
    _of_file(lambda: scratchlm.finetuning.config.ClassifyTrainingConfig),
    objects=("on_step",), resumed=lambda: scratchlm.finetuning.config.ClassifyTrainingConfig
)  # fmt: skip
FINETUNE_INSTRUCT = Verb(
    "finetune instruct", "Teach a model to answer in conversations.",
    lambda: scratchlm.finetuning.config.InstructTrainingConfig, lambda: scratchlm.runs.instruct.finetune_instruct,
    _of_file(lambda: scratchlm.finetuning.config.InstructTrainingConfig),
    objects=("on_step",), resumed=lambda: scratchlm.finetuning.config.InstructTrainingConfig
)  # fmt: skip
FINETUNE_PREFER = Verb(
    "finetune prefer", "Teach a model which of two answers is preferred.",
    lambda: scratchlm.finetuning.config.PreferTrainingConfig, lambda: scratchlm.runs.prefer.finetune_prefer,
    _preferring, objects=("on_step",), resumed=lambda: scratchlm.finetuning.config.ResolvedPreferTrainingConfig
)  # fmt: skip
FINETUNE_REINFORCE = Verb(
    "finetune reinforce", "Teach a model by rewards for its own answers.",
    lambda: scratchlm.finetuning.config.ReinforceTrainingConfig,
    lambda: scratchlm.runs.reinforce.finetune_reinforce,
    _of_file(lambda: scratchlm.finetuning.config.ReinforceTrainingConfig),
    hidden=("json", "explicit", "data", "held_out", "split"),
    objects=("task", "on_step"), resumed=lambda: scratchlm.finetuning.config.ReinforceTrainingConfig
)  # fmt: skip
CLASSIFY = Verb(
    "classify", "Put texts into the classes that a model has learned.",
    lambda: scratchlm.generation.config.ClassifyConfig, lambda: scratchlm.generation.classifier.classify
)  # fmt: skip
EVALUATE = Verb(
    "evaluate", "Bits per byte on held-out text, scores of tasks, two models compared.",
    lambda: scratchlm.evaluation.config.EvaluateConfig, lambda: scratchlm.evaluation.run.evaluate
)  # fmt: skip
GENERATE = Verb(
    "generate", "Continue a text.",
    lambda: scratchlm.generation.config.GenerateConfig, lambda: scratchlm.generation.commands.generate,
    _sampling_of(lambda: scratchlm.generation.config.GenerateConfig)
)  # fmt: skip
CHAT = Verb(
    "chat", "Talk with a model.",
    lambda: scratchlm.generation.config.ChatConfig, lambda: scratchlm.generation.commands.chat,
    _sampling_of(lambda: scratchlm.generation.config.ChatConfig)
)  # fmt: skip
SERVE = Verb(
    "serve", "Answer programs that speak OpenAI's API.",
    lambda: scratchlm.serving.config.ServeConfig, lambda: scratchlm.serving.commands.serve
)  # fmt: skip
INSPECT = Verb(
    "inspect", "What a model is made of.",
    lambda: scratchlm.inspection.config.InspectConfig, lambda: scratchlm.inspection.parameters.inspect
)  # fmt: skip
IMPORT = Verb(
    "import", "Convert a published model to a model folder.",
    lambda: scratchlm.weights.config.ImportConfig, lambda: scratchlm.weights.commands.import_model
)  # fmt: skip
EXPORT = Verb(
    "export", "Write a model for transformers and other programs.",
    lambda: scratchlm.weights.config.ExportConfig, lambda: scratchlm.weights.commands.export_model
)  # fmt: skip
QUIZ = Verb(
    "quiz", "Ask the cards of the notes, spaced over days, or as an exam.",
    lambda: scratchlm.lab.quiz.config.QuizConfig, lambda: scratchlm.lab.quiz.commands.quiz
)  # fmt: skip


COMPLETION = Verb(
    "completion", "Print a script that completes commands and flags in a shell.",
    lambda: scratchlm.config.completion.CompletionConfig, lambda: completion
)  # fmt: skip


def experiment_verb(name: str) -> Verb[Any]:
    """Return the verb of an experiment: its form chooses the values that hold where nothing is said.

    Raises `UserError` for an unknown name.
    """
    catalogue = scratchlm.lab.catalogue
    entry = catalogue.find(name)

    def defaults(named: Named) -> Any:
        return catalogue.recipe(name, "full" if named.get("full") else "small" if named.get("small") else "default")

    def function() -> Callable[..., Any]:
        return partial(scratchlm.lab.run.experiment, name)

    hidden = ("json", "guess")
    return Verb(f"experiment {name}", entry.asks, lambda: entry.config, function, defaults, hidden)


FUNCTIONS: Mapping[str, Verb[Any]] = {
    "quickstart": QUICKSTART, "doctor": DOCTOR, "train_tokenizer": TRAIN_TOKENIZER, "prepare": PREPARE, "plan": PLAN,
    "inspect_tokenizer": INSPECT_TOKENIZER, "compare_tokenizers": COMPARE_TOKENIZERS, "pretrain": PRETRAIN,
    "timelapse": TIMELAPSE, "synthesize": SYNTHESIZE, "finetune_classify": FINETUNE_CLASSIFY,
    "finetune_instruct": FINETUNE_INSTRUCT,
    "finetune_prefer": FINETUNE_PREFER, "finetune_reinforce": FINETUNE_REINFORCE, "classify": CLASSIFY,
    "evaluate": EVALUATE, "inspect": INSPECT, "import_model": IMPORT, "export_model": EXPORT,
    "quantize": QUANTIZE,
}  # fmt: skip
"""The verbs that are functions in Python, by their names there; `load` gives what `generate` and `chat` do, and `quiz`
needs a terminal."""


IN_MEMORY = {
    "prepare": (), "train_tokenizer": (), "pretrain": ("data",), "finetune_classify": ("data", "held_out"),
    "finetune_instruct": ("data", "held_out"), "finetune_prefer": ("data", "held_out"),
}  # fmt: skip
"""The functions that take texts or rows from memory, by those names; the first two by the name `data`, beside the
sources that they take by path."""
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
    """Return the parameters of a verb as a Python function; `hints` are the types of those that no config has."""
    from scratchlm.config.calls import has_parts, parameters

    verb, known, kind = FUNCTIONS[name], [], inspect.Parameter.KEYWORD_ONLY
    config = verb.config()
    for each in parameters(config, verb.hidden):
        if each.name in IN_MEMORY.get(name, ()):
            each = each.replace(annotation=each.annotation | Rows)
        if each.name == "sources" and name in IN_MEMORY:
            each = each.replace(default=())
        if each.name in verb.objects:
            each = each.replace(annotation=each.annotation | hints.get(each.name, Any))
        known.append(each)
    names = [each.name for each in known]
    more = {key: hints.get(key, Any) for key in verb.objects if key not in names}
    more |= {"data": Rows | str | None} if name in IN_MEMORY and "data" not in names else {}
    more |= {"overrides": Named | None} if has_parts(config) else {}
    return known + [inspect.Parameter(key, kind, default=None, annotation=hint) for key, hint in more.items()]


def docstring_of(name: str) -> str:
    """Return the docstring of a verb as a Python function, made of those of its config and of the config's fields."""
    from scratchlm.config.field_docs import explained, field_docs

    verb = FUNCTIONS[name]
    config, known = verb.config(), parameters_of(name)
    docs = field_docs(config)
    for key, note in NOTES.items():
        if key != "data" or name in IN_MEMORY:
            docs[key] = f"{docs.get(key, '')} {note}".strip()
    return (
        f"{verb.says}\n\n{explained(known, docs)}\n\n"
        f"The arguments are the flags of `scratchlm {verb.program} --help`.\n"
        f"One `{config.__name__}` may take their place.\n"
        "Raises `UserError` for an argument that is unknown, missing or wrong."
    )


def function_of(name: str) -> Callable[..., Any]:
    """Return a verb as a Python function: of its settings by name, or of one config."""
    verb = FUNCTIONS[name]

    def call(*positional: Any, overrides: Named | None = None, **named: Any) -> Any:
        objects = {key: named.pop(key) for key in verb.objects if not isinstance(named.get(key, ""), str)}
        if not callable(objects.get("on_step") or call):
            raise UserError(f"on_step is {shortened(objects['on_step'])}: give a function of a step's record")
        named = _on_disk(name, named, bool(positional))
        return verb.run(verb.from_call(positional, named, overrides), **objects)

    call.__name__ = call.__qualname__ = name
    call.__signature__ = inspect.Signature(parameters_of(name))  # type: ignore[attr-defined]
    call.__doc__ = docstring_of(name)
    return call


def completion(config: Any) -> str:
    """Return the script that completes all commands in the shell of a `CompletionConfig`."""
    every = [verb for verb in globals().values() if isinstance(verb, Verb)]
    every += [experiment_verb(name) for name in scratchlm.lab.catalogue.EXPERIMENTS]
    known = {verb.program: scratchlm.config.settings.settings(verb.config()) for verb in every}
    return scratchlm.config.completion.script(config.shell, known)


def _are_paths(value: Any) -> bool:
    """Return whether an argument names files, not what they would hold: a text in a list is a text."""
    return isinstance(value, str) or holds_paths(tuple(value) if isinstance(value, list) else value)


def _on_disk(name: str, named: dict[str, Any], placed: bool) -> dict[str, Any]:
    """Return the arguments of a call with the files that hold what it gives from memory."""
    if name not in IN_MEMORY:
        return named
    if IN_MEMORY[name] == () and named.get("data") is not None:
        if placed or named.get("sources"):
            raise UserError(f"{FUNCTIONS[name].program}: sources and data; give paths, or what is in memory")
        file = scratchlm.data.given.file_of_rows(named["data"], "data")
        return {**{key: value for key, value in named.items() if key != "data"}, "sources": (str(file),)}
    in_memory = {
        key: named[key] for key in IN_MEMORY[name] if named.get(key) is not None and not _are_paths(named[key])
    }
    for key, rows in in_memory.items():
        if name == "pretrain":
            init = named.get("init")
            model = None if init is None else scratchlm.weights.checkpoint.find_model(Path(init))
            named[key] = scratchlm.data.given.prepared_rows(rows, key, model)
        else:
            named[key] = scratchlm.data.given.file_of_rows(rows, key)
    return named


def experiment(name: str, *positional: Any, **named: Any) -> Any:
    """Test claims of the notes: one experiment, its numbers, its report, returned as an `Outcome`.

    `name` is one of `scratchlm experiment --list`; its flags are arguments of the same names. Settings that are not
    named are those of its recipe, in the form that `small=True` or `full=True` chooses. A config holds all its values
    instead. Raises `UserError` for an argument that is unknown or wrong, and as `scratchlm.lab.run` does.
    """
    verb = experiment_verb(name)
    if positional and (getattr(positional[0], "small", False) or getattr(positional[0], "full", False)):
        raise UserError(f"experiment {name}: a config holds all its values; choose the form by name, as in small=True")
    return verb.run(verb.from_call(positional, named))
