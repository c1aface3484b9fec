"""The command line: each verb is one call of a function that a program can call as well.

Only the named verb's config is imported and parsed, so that `--help` answers without loading torch.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from scratchlm.base.errors import Interrupted, UserError, nearest
from scratchlm.base.flags import parse

Arguments = Sequence[str]
PIPED_WIDTH = 180
"""Columns of a table that no terminal shows."""


def _show(result: Any, as_json: bool) -> None:
    """Print a result on stdout: JSON, or its readable form."""
    if as_json:
        print(json.dumps(result.as_dict(), ensure_ascii=False))
        return
    from rich.console import Console

    # No markup: what models and users write may hold brackets. In a file or a pipe a table need not fold.
    piped = not sys.stdout.isatty()
    width = PIPED_WIDTH if piped else None
    Console(soft_wrap=piped, width=width, highlight=False, markup=False, emoji=False).print(result)


def _verb(program: str, says: str, config: str, function: str) -> Callable[[Arguments], None]:
    """Make a verb that is one call: parse its config, call its function, print what it returns unless that is None.

    Both are named as `module:name` inside the package and imported when the verb is called.
    """

    def named(place: str) -> Any:
        module, _, name = place.partition(":")
        return getattr(import_module(f"scratchlm.{module}"), name)

    def call(arguments: Arguments) -> None:
        given = parse(named(config), arguments, f"scratchlm {program}")
        result = named(function)(given)
        if result is not None:
            _show(result, given.json)

    call.__doc__ = says
    return call


def _quickstart(arguments: Arguments) -> None:
    """The whole life of a model in minutes, offline."""
    from scratchlm.recipes.config import QuickstartConfig

    config = parse(QuickstartConfig, arguments, "scratchlm quickstart")
    from scratchlm.recipes.quickstart import quickstart

    result = quickstart(config)
    _show(result, config.json)
    if config.chat and result.questions and sys.stdin.isatty() and sys.stdout.isatty():
        from scratchlm.generation.commands import chat
        from scratchlm.generation.config import ChatConfig

        chat(ChatConfig(model=config.out / "model"))


def _doctor(arguments: Arguments) -> None:
    """What this machine can do; every fast path against the plain one."""
    from scratchlm.recipes.config import DoctorConfig

    config = parse(DoctorConfig, arguments, "scratchlm doctor")
    from scratchlm.recipes.doctor import doctor

    result = doctor(config)
    _show(result, config.json)
    if not result.healthy:
        raise UserError("doctor: a fast path differs from the plain one on this machine; use --device cpu --dtype fp32")


def _tokenizer(arguments: Arguments) -> None:
    """Train, inspect and compare tokenizers."""
    inspect = _verb(
        "tokenizer inspect",
        "Show merges, longest tokens, and how a text is cut.",
        "tokens.config:InspectTokenizerConfig",
        "tokens.commands:inspect",
    )
    verbs = {"train": _tokenizer_train, "inspect": inspect, "compare": _tokenizer_compare}
    _dispatch(verbs, arguments, "scratchlm tokenizer")


def _tokenizer_train(arguments: Arguments) -> None:
    """Train a byte-level BPE tokenizer on text."""
    from scratchlm.tokens.config import TrainTokenizerConfig

    config = parse(TrainTokenizerConfig, arguments, "scratchlm tokenizer train")
    from scratchlm.tokens.commands import train

    _show(train(config, _texts(config.sources), _size(config.sources)), config.json)


def _tokenizer_compare(arguments: Arguments) -> None:
    """Compare tokenizers on one text."""
    from scratchlm.tokens.config import CompareTokenizersConfig

    config = parse(CompareTokenizersConfig, arguments, "scratchlm tokenizer compare")
    from scratchlm.tokens.commands import compare

    _show(compare(config, _texts([config.source]), _size([config.source])), config.json)


def _texts(sources: Sequence[str]) -> Iterator[str]:
    """Yield the texts of all sources, then name on stderr what could not be read."""
    from scratchlm.text.counts import Counts
    from scratchlm.text.sources import open_source

    opened, counts = [open_source(source) for source in sources], Counts()
    yield from (document.text for source in opened for document in source.documents(counts))
    counts.warn()


def _size(sources: Sequence[str]) -> int | None:
    """Return the bytes of all sources where all are plain files."""
    paths = [Path(source) for source in sources]
    return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None


def _with_recipe(cls: Any, arguments: Arguments, program: str) -> Any:
    """Parse twice: first for the recipe's name and the depth, then with the recipe's values as the defaults."""
    from scratchlm.recipes.dial import load_recipe

    name, depth = "default", None
    if arguments and not arguments[0].startswith("-"):
        name = arguments[0]
    for index, argument in enumerate(arguments):
        value = argument.partition("=")[2] or (arguments[index + 1] if index + 1 < len(arguments) else "")
        if argument.partition("=")[0] == "--depth" and value.lstrip("-").isdigit():
            depth = int(value)
    recipe = load_recipe(name, depth)
    config = parse(cls, arguments, program, cls(model=recipe.model, training=recipe.training))
    if config.recipe != name:  # its values would not be the defaults that were used
        print(
            f"{program}: the recipe {config.recipe!r} must come first: {program} {config.recipe} ...", file=sys.stderr
        )
        raise SystemExit(2)
    return config


def _plan(arguments: Arguments) -> None:
    """Parameters, memory and time of a run before it begins, or the size of a published model."""
    if arguments and _is_published(arguments[0]):
        from scratchlm.recipes.config import PublishedConfig

        published = parse(PublishedConfig, arguments, "scratchlm plan")
        from scratchlm.recipes.published import plan_published

        _show(plan_published(published), published.json)
        return
    from scratchlm.recipes.config import PlanConfig

    config = _with_recipe(PlanConfig, arguments, "scratchlm plan")
    from scratchlm.recipes.plan import plan

    _show(plan(config), config.json)


def _is_published(name: str) -> bool:
    """Tell whether a plan is asked for a published shape: a config.json, or a name that is no recipe's."""
    from scratchlm.recipes.dial import recipe_names
    from scratchlm.weights.config import published_shapes

    return name.endswith(".json") or (name in published_shapes() and name not in recipe_names())


def _pretrain(arguments: Arguments) -> None:
    """Train from random weights, continue a model, or resume a run."""
    from scratchlm.recipes.config import PretrainConfig

    config = _with_recipe(PretrainConfig, arguments, "scratchlm pretrain")
    from scratchlm.recipes.pretrain import pretrain

    _show(pretrain(config), False)


def _finetune(arguments: Arguments) -> None:
    """Teach a model: classes, answers, preferences, or by the worth of its own answers."""
    verbs = {
        "classify": _verb(
            "finetune classify",
            "Teach a model to put texts into classes.",
            "finetuning.config:ClassifyTrainingConfig",
            "recipes.classify:finetune_classify",
        ),
        "instruct": _verb(
            "finetune instruct",
            "Teach a model to answer in conversations.",
            "finetuning.config:InstructTrainingConfig",
            "recipes.instruct:finetune_instruct",
        ),
        "prefer": _finetune_prefer,
        "reinforce": _verb(
            "finetune reinforce",
            "Teach a model by what its own answers are worth.",
            "finetuning.config:ReinforceTrainingConfig",
            "recipes.reinforce:finetune_reinforce",
        ),
    }
    _dispatch(verbs, arguments, "scratchlm finetune")


def _finetune_prefer(arguments: Arguments) -> None:
    """Teach a model which of two answers is preferred."""
    from scratchlm.finetuning.config import LOSSES, PreferTrainingConfig

    program = "scratchlm finetune prefer"
    named = next((value for flag, value in itertools.pairwise(arguments) if flag == "--method"), "dpo")
    named = next((a.partition("=")[2] for a in arguments if a.startswith("--method=")), named)
    default = PreferTrainingConfig(loss=LOSSES.get(named, LOSSES["dpo"]))  # its settings are the flags under --loss
    config = parse(PreferTrainingConfig, arguments, program, default)
    from scratchlm.recipes.prefer import finetune_prefer

    _show(finetune_prefer(config), config.json)


def _classify(arguments: Arguments) -> None:
    """Put texts into the classes that a model has learned."""
    from scratchlm.generation.config import ClassifyConfig

    config = parse(ClassifyConfig, arguments, "scratchlm classify")
    from scratchlm.generation.classifier import classify

    for answer in classify(config):
        print(json.dumps(answer.as_dict(), ensure_ascii=False) if config.json else answer)


def _with_stored_sampling(cls: Any, arguments: Arguments, program: str) -> Any:
    """Parse twice: first for the model, then with the sampling settings it was saved with as the defaults."""
    config = parse(cls, arguments, program)
    from scratchlm.generation.language_model import stored_sampling

    return parse(cls, arguments, program, dataclasses.replace(config, sampling=stored_sampling(config.model)))


def _generate(arguments: Arguments) -> None:
    """Continue a text."""
    from scratchlm.generation.config import GenerateConfig

    config = _with_stored_sampling(GenerateConfig, arguments, "scratchlm generate")
    from scratchlm.generation.commands import generate

    generate(config)


def _chat(arguments: Arguments) -> None:
    """Talk with a model."""
    from scratchlm.generation.config import ChatConfig

    config = _with_stored_sampling(ChatConfig, arguments, "scratchlm chat")
    from scratchlm.generation.commands import chat

    chat(config)


def _experiment(arguments: Arguments) -> None:
    """Prove a claim of the notes: one experiment, its numbers, its report."""
    from scratchlm.experiments.config import EXPERIMENTS, find, form_of, recipe

    program = "scratchlm experiment"
    if not arguments or arguments[0] in ("-h", "--help", "--list"):
        width = max(map(len, EXPERIMENTS))
        lines = [f"  {name:<{width}}  {entry.asks}" for name, entry in EXPERIMENTS.items()]
        print(f"usage: {program} NAME ...\n\n" + "\n".join(lines) + f"\n\n{program} NAME --help tells more.")
        if not arguments:
            raise SystemExit(2)
        return
    name, rest = arguments[0], arguments[1:]
    config = parse(find(name).config, rest, f"{program} {name}", recipe(name, form_of(rest)))
    from scratchlm.experiments.run import experiment

    outcome = experiment(name, config)
    _show(outcome, config.json)


def _quiz(arguments: Arguments) -> None:
    """Ask the cards of the notes, spaced over days, or as an exam."""
    from scratchlm.quiz.config import QuizConfig

    config = parse(QuizConfig, arguments, "scratchlm quiz")
    from scratchlm.quiz.commands import quiz

    result = quiz(config)
    if isinstance(result, Path):
        print(result)
    elif result is not None:
        _show(result, config.json)


VERBS: Mapping[str, Callable[[Arguments], None]] = {
    "quickstart": _quickstart,
    "doctor": _doctor,
    "tokenizer": _tokenizer,
    "prepare": _verb(
        "prepare",
        "Text in, cleaned and counted, token shards out.",
        "tokens.config:PrepareConfig",
        "tokens.prepare:prepare",
    ),
    "plan": _plan,
    "pretrain": _pretrain,
    "synthesize": _verb(
        "synthesize",
        "Make conversations of your own documents, to fine-tune on.",
        "finetuning.config:SynthesizeConfig",
        "recipes.synthesize:synthesize",
    ),
    "finetune": _finetune,
    "classify": _classify,
    "evaluate": _verb(
        "evaluate",
        "Bits per byte on held-out text, scores of tasks, two models compared.",
        "evaluation.config:EvaluateConfig",
        "evaluation.run:evaluate",
    ),
    "generate": _generate,
    "chat": _chat,
    "inspect": _verb(
        "inspect", "What a model is made of.", "inspection.config:InspectConfig", "inspection.parameters:inspect"
    ),
    "import": _verb(
        "import",
        "Take a published model over as a model folder.",
        "weights.config:ImportConfig",
        "weights.commands:import_model",
    ),
    "export": _verb(
        "export",
        "Write a model for transformers and other programs.",
        "weights.config:ExportConfig",
        "weights.commands:export_model",
    ),
    "experiment": _experiment,
    "quiz": _quiz,
}


def _dispatch(verbs: Mapping[str, Callable[[Arguments], None]], arguments: Arguments, program: str) -> None:
    """Call the named verb, or list them."""
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, verbs))
        lines = [f"  {name:<{width}}  {(verb.__doc__ or '').splitlines()[0]}" for name, verb in verbs.items()]
        print(f"usage: {program} COMMAND ...\n\n" + "\n".join(lines) + f"\n\n{program} COMMAND --help tells more.")
        if not arguments:
            raise SystemExit(2)
        return
    if arguments[0] == "--version" and program == "scratchlm":
        from scratchlm import __version__

        print(__version__)
        return
    if arguments[0] not in verbs:
        print(f"{program}: unknown command {arguments[0]!r}; {nearest(arguments[0], verbs)}", file=sys.stderr)
        raise SystemExit(2)
    verbs[arguments[0]](arguments[1:])


def main(arguments: Arguments | None = None) -> None:
    """Run one command; exits with 0, 1 after a user's mistake, 2 for wrong usage, 130 when stopped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows ? instead of failing
    try:
        _dispatch(VERBS, sys.argv[1:] if arguments is None else arguments, "scratchlm")
    except UserError as error:
        print(f"scratchlm: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Interrupted as request:
        print(f"scratchlm: {request}", file=sys.stderr)
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        print("scratchlm: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nobody to tell
        raise SystemExit(1) from None
    except MemoryError:
        print("scratchlm: out of memory; lower the batch, the sequence length or the model's size", file=sys.stderr)
        raise SystemExit(1) from None
