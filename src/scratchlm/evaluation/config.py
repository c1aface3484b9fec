"""Settings of `scratchlm evaluate`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from scratchlm.base.errors import nearest, raise_all
from scratchlm.base.ranges import Amount, Count, Range, Seed, Threads, out_of_range
from scratchlm.config.settings import File, Folder, ModelFolder, Positional, Spelling

NORMALISATIONS = ("raw", "characters", "bytes", "tokens", "unconditional")
"""How likelihoods of answers of different lengths are normalised."""
DEFAULT_NORMALISATIONS = ("raw", "characters")


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a model: loss and bits per byte on held-out text, or scores on tasks; or compare two results.

    Tasks are named with their files, as in `--task arc-easy=FILE --task storyworld`: arc-easy, openbookqa, hellaswag,
    copa, winogrande, blimp (a folder), lambada, gsm8k, storyworld (built in), and, for files of your own, choices,
    pairs, last-word, answers, classes (of a classifier).

    Sentences of blimp and pairs are scored whole, after a start token and a leading space, as lm-evaluation-harness
    does by default: the token is the tokenizer's BOS token, else its EOS token, and the result names it. After another
    token, or without the space, close pairs may come out differently.
    """

    common: ClassVar[tuple[str, ...]] = (
        "data", "text", "task", "limit", "shots", "chat", "compare", "out", "threads", "json",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    model: Annotated[Positional[Path | None], Spelling("MODEL", "required, except with --compare or --replay")] = None
    """Model folder or run folder; for a text also a folder of several (an ensemble, of their mean probabilities)."""
    data: Folder | None = None
    """Folder that prepare wrote; its held-out side is measured."""
    text: Path | None = None
    """Or a text of your own: a file or folder, every document of it."""
    ngrams: Annotated[int | None, Range(1, 12)] = None
    """With --data: also count the n-grams of its training side, each up to this many tokens long (5 is usual for
    subwords, 7 for characters), and measure them alone and interpolated with the model."""
    text_column: str | None = None
    """Column or field that holds the text, of --text FILE or of --task classes=FILE."""
    task: tuple[str, ...] = ()
    """Or a task, NAME=FILE; give the flag again for another."""
    shots: Amount = 0
    """Solved examples before each question (few-shot); 0: zero-shot."""
    example: tuple[str, ...] = ()
    """File that few-shot examples of a task are drawn from, NAME=FILE; if not given, other items of the task."""
    limit: Annotated[int | None, Range(1)] = None
    """Most items of a task, drawn at random; all if not given."""
    chat: bool = False
    """Whether questions with written answers go through the model's chat template."""
    normalisation: tuple[str, ...] = ()
    """How the likelihoods of answers of different lengths are normalised: raw, characters, bytes, tokens,
    unconditional; raw and characters if not given."""
    answer_tokens: Count = 256
    """Most tokens of a written answer."""
    shuffled: bool = False
    """Whether tasks are also run with the words of each question in random order, as a baseline."""
    trained_on: tuple[str, ...] = ()
    """Training text to search for the items: a model may have memorised those that occur there."""
    label_column: str | None = None
    """Column of labels of --task classes=FILE."""
    out: File | None = None
    """File to write the result of the tasks to, with the scores of each item."""
    replay: File | None = None
    """Result file to reproduce: its settings on the same model and files must give the same; other flags are
    ignored."""
    compare: tuple[File, File] | None = None
    """Two result files to compare, item by item."""
    judge: str | None = None
    """With --compare: address of an OpenAI-compatible endpoint that judges written answers, each pair
    in both orders."""
    judge_model: str = "default"
    """Name of the judging model at that address."""
    rows: Annotated[int, Range(1, 65_536)] = 16
    """Texts in a batch."""
    seed: Seed = 0
    """Seed of all random choices: items, examples, shuffling."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of matrix products for likelihoods; answers are generated in fp32."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check that there is one thing to do, and ranges; every problem is reported at once."""
        raise_all([*self._ways(), *self._ranges()])

    def _ways(self) -> list[str]:
        alone = {"--replay": self.replay, "--compare": self.compare}
        measured = {"--data DIR": self.data, "--text PATH": self.text, "--task NAME=FILE": self.task or None}
        chosen = [name for name, value in {**alone, **measured}.items() if value is not None]
        if len(chosen) != 1:
            listed = f"; given are {', '.join(chosen)}" if chosen else ""
            unnamed = "" if self.model is not None or chosen else "name the model, a folder, and "
            choice = f"{', '.join(measured)}, or {', '.join(alone)}{listed}"
            return [f"evaluate: {unnamed}give one thing to measure on: {choice}"]
        if self.model is None and chosen[0] not in alone:
            return ["evaluate: name the model, a folder"]
        if not self.task:
            usual = EvaluateConfig.__dataclass_fields__
            names = ("out", "limit", "shots", "example", "shuffled", "trained_on", "chat", "normalisation")
            idle = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) != usual[name].default]
            if idle:
                return [f"{', '.join(idle)}: have no effect without --task; leave them out"]
        if self.ngrams is not None and self.data is None:
            return ["--ngrams: n-grams are counted in the training side of prepared data; name it with --data DIR"]
        if self.example and not self.shots:
            return ["--example: few-shot examples are used with --shots N only; give it"]
        if self.judge is not None and self.compare is None:
            return ["--judge: judges the answers of two results; name them with --compare"]
        return []

    def _ranges(self) -> list[str]:
        problems = out_of_range(self)
        unknown = [name for name in self.normalisation if name not in NORMALISATIONS]
        problems += [f"--normalisation {name!r}: {nearest(name, NORMALISATIONS)}" for name in unknown]
        return problems


@dataclass(frozen=True)
class QuantizeConfig:
    """Store a model's weights in 8 or 4 bits: smaller, faster to write with, and a little worse.

    The table reports what was lost in bits per byte. A quantized model writes, talks, is evaluated and exported;
    training begins from the model that it was made of.
    """

    model: ModelFolder
    """Model folder or run folder."""
    out: Folder
    """Model folder to write."""
    to: Literal["int8", "int4"] = "int8"
    """int8: a scale for 32 inputs of an output. int4: a scale and a minimum for them; embedding and head stay in
    int8."""
    calibrate: str | None = None
    """Text that int4 is rounded for (GPTQ), so that the model's answers to it change little: a file, a folder or a
    source. Without, each weight goes to its nearest code."""
    text: str | None = None
    """Text to measure on; if not given, what is left of the calibration text, or embedded stories."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    force: bool = False
    """Replace an existing model in the folder."""
    json: bool = False
    """Print the result as JSON."""

    def __post_init__(self) -> None:
        """Check that a calibration text is of use."""
        problems = out_of_range(self)
        if self.calibrate is not None and self.to == "int8":
            problems.append("--calibrate: int8 is rounded to nearest, without a text; leave it out, or use --to int4")
        raise_all(problems)
