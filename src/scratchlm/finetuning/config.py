"""The settings of fine-tuning. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from scratchlm.base.config import UNSTORED, read_settings
from scratchlm.base.errors import raise_all
from scratchlm.base.ranges import Amount, Count, Epochs, Fraction, Positive, Range, Rows, Seed, Threads, out_of_range
from scratchlm.config.settings import File, FileUnlessResumed, Folder, FolderUnlessResumed, Hidden, Positional, Sources
from scratchlm.finetuning.lossconfig import LOSSES, Method, PreferenceLossConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.text.config import AUTO, LongTexts
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrackerName, TrainingConfig

NEEDED = {"init": "the model to begin from", "data": "the file to learn from", "out": "the folder to write"}
"""What a fine-tuning cannot do without, unless it is resumed."""
OF_THE_OTHER: Any = None
"""Default of a method and a loss: each follows from the other when the config is made."""


def _gentle(learning_rate: float, batch_size: int, evaluate_every: int) -> TrainingConfig:
    """Steps for a model that knows much already."""
    return TrainingConfig(
        batch_size=batch_size,
        optimizer=AdamWConfig(learning_rate=learning_rate, weight_decay=0.01),
        schedule=ScheduleConfig(shape="linear", warmup_steps=10),
        evaluate_every=evaluate_every,
        sample_every=0,
        checkpoint_every=evaluate_every,
        keep_checkpoints=1,
        keep_best=False,  # the best model is kept apart
    )


@dataclass(frozen=True)
class FinetuneConfig:
    """The settings of every fine-tuning."""

    common: ClassVar[tuple[str, ...]] = (
        "init", "data", "out", "held_out", "epochs", "steps", "lora", "resume", "seed", "threads", "force",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    recipe: Positional[str | None] = field(default=None, kw_only=True)
    """TOML file, such as the recipe.toml of a run; its values are the defaults of all flags below. Its key `base` may
    name another such file, of which it changes some values."""
    init: FolderUnlessResumed = None
    """Model folder to begin from."""
    data: FileUnlessResumed = None
    """File to learn from: .csv, .tsv, .jsonl, .json or .parquet, plain or compressed."""
    out: FolderUnlessResumed = None
    """Folder of the run to write; the model is in its model/."""
    held_out: File | None = None
    """File that training never sees; without, a fraction of the data is held out."""
    split: str = AUTO
    """What is held out where no file is: hash:FRACTION, by the hash of each text, so that copies stay together, or
    tail:FRACTION, the last rows. auto: hash:0.1; of fewer than 200 rows about 20, but at most a quarter."""
    epochs: Epochs | None = 3.0
    """Times that all data are seen; sets training.steps."""
    steps: Count | None = None
    """Optimizer steps, in the place of --epochs."""
    lora: bool = False
    """Whether adapters are trained instead of the model itself: less memory, a file of some megabytes."""
    adapter: LoRAConfig = field(default_factory=LoRAConfig)
    """What the adapters are, with --lora."""
    nf4: bool = False
    """Whether the model below the adapters is held in four bits, with --lora: a seventh of the memory, a little less
    exact (QLoRA, arXiv 2305.14314)."""
    frozen_layers: Amount = 0
    """Layers from the first that stay as they are, with the embedding; without --lora."""
    patience: Amount = 5
    """Evaluations in a row without a better one before training ends; 0: never before its last step."""
    keep: Literal["best", "last"] = "best"
    """Which state is the result: the best by what is held out, or the last, measured once, by whose scores nothing was
    chosen."""
    resume: Folder | None = None
    """Run folder to continue exactly where its latest checkpoint stands; its settings hold, other flags are refused,
    except those that say where its data and model were moved, and a smaller --training.micro-batch-size."""
    allow_changes: bool = False
    """With --resume: go on although the recipe file, an input or the number of threads has changed; it is recorded."""
    seed: Seed = 0
    """Seed of what is new in the model and of the order of the data."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of matrix products; auto takes what is faster by the processor's features, as `doctor` says."""
    threads: Threads = None
    """CPU threads; all cores if not given."""
    force: bool = False
    """Replace a run that is in the folder already."""
    track: tuple[TrackerName, ...] = ()
    """Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow, wandb (offline)."""
    json: bool = False
    """Print the result as JSON."""
    origins: Hidden[Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False, metadata=UNSTORED)
    """Where each given value came from, by dotted name: what suits few rows replaces none of them."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How `fit` trains. --epochs sets the steps; a setting that this fine-tuning does not read is refused by name."""

    @classmethod
    def base_for(cls, given: Mapping[str, Any]) -> Any:
        """Return the config whose values hold where nothing is given: those of a recipe that is given."""
        return None if given.get("recipe") is None else read_settings(cls, Path(given["recipe"]))

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        raise_all(self._problems())

    def missing(self) -> list[str]:
        """Return a line for each argument that a run cannot do without."""
        if self.resume is not None:
            return []
        return [f"--{name}: is missing; name {NEEDED[name]}" for name in self._needed() if getattr(self, name) is None]

    def _needed(self) -> tuple[str, ...]:
        return ("init", "data", "out")

    def idle(self, said: Collection[str] = ()) -> list[str]:
        """Return a line for each setting that was given and has no effect on this fine-tuning.

        `said` are the dotted names that a user gave; a value that is not the usual one counts as given too.
        """
        if self.resume is not None:
            return []
        usual, plain, problems = type(self)(), TrainingConfig(), []
        for name, instead in self.unread().items():
            unsaid = [attrgetter(name)(usual), getattr(plain, name.removeprefix("training."), None)]
            if name in said or attrgetter(name)(self) not in unsaid:
                problems.append(f"--{name.replace('_', '-')}: has no part here; {instead}")
        if not self.lora and (self.adapter != usual.adapter or any(name.startswith("adapter.") for name in said)):
            problems.append("--adapter: has no part without --lora; give that too, or leave it out")
        if (
            self.held_out is not None
            and "split" not in self.unread()
            and ("split" in said or self.split != usual.split)
        ):
            problems.append("--split: has no part beside --held-out; leave out one of the two")
        if self.keep == "last" and ("patience" in said or self.patience not in (0, usual.patience)):
            problems.append("--patience: has no part with --keep last, which measures once; leave out one of the two")
        return problems

    @classmethod
    def unread(cls) -> dict[str, str]:
        """Return the settings that no fine-tuning of this kind reads, by dotted names, with what to do instead."""
        return {
            "training.steps": "--epochs sets it, or --steps",
            "training.offsets": "each row is a text; leave it out",
            "training.masked_fraction": "texts are read forwards; leave it out",
            "training.hidden_fraction": "texts are read forwards; leave it out",
            "training.size_warmup": "all steps have the same rows; leave it out",
            "training.sample_every": "no samples are written; leave it out",
            "training.evaluation_tokens": "all that is held out is measured; leave it out",
            "training.last_evaluation_tokens": "all that is held out is measured; leave it out",
        }

    def _problems(self) -> list[str]:
        problems = out_of_range(self)
        if self.lora and self.frozen_layers:
            problems.append(
                "--frozen-layers: with --lora the whole model is frozen; give --adapter.first-layer instead"
            )
        if self.nf4 and not self.lora:
            problems.append("--nf4: holds the frozen model below adapters; give --lora too")
        if self.patience > 0 and self.training.tail_average > 0:
            average = f"--training.tail-average {self.training.tail_average:g}"
            problems.append(f"{average}: the last steps are averaged, so their number must be known; give --patience 0")
        if self.patience > 0 and self.training.ema_decay > 0:
            average = f"--training.ema-decay {self.training.ema_decay:g}"
            problems.append(f"{average}: takes the place of the last step's weights; give --patience 0")
        if self.allow_changes and self.resume is None:
            problems.append("--allow-changes: has no part without --resume; leave it out")
        return problems


@dataclass(frozen=True)
class ClassifyTrainingConfig(FinetuneConfig):
    """Teach a model to put texts into classes: a head on the last token, trained with all layers, some, or adapters.

    The data are a table of texts and labels. A tenth of the training texts is not trained on: the best state by F1, the
    temperature and the threshold are chosen on it. What is held out is scored once, by no choice. A linear model on
    TF-IDF features learns from the same texts and is scored beside.
    """

    common: ClassVar[tuple[str, ...]] = (
        "init", "data", "out", "text_column", "label_column", "held_out", "epochs", "lora", "resume", "seed",
        "threads", "force",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    epochs: Epochs | None = None
    """Times that all texts are seen. If not given: 3; of at most 300 training texts as many as make 150 steps, but at
    most 30."""
    text_column: str | None = None
    """Column of the texts, by name or, in a table without a first row of names, by number from 1."""
    label_column: str | None = None
    """Column of the labels."""
    positive: str | None = None
    """The positive class of two labels, whose F1 is reported; the rarer one if not given. Of more, F1 is the mean."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether rare classes weigh more, so that all weigh the same in sum."""
    prompt: str = "{text}"
    """What the model reads: {text} with words before and after it, such as "{text}\nIs this message spam?"."""
    pooling: Literal["last", "mean"] = "last"
    """What of a text the head reads: the hidden state of its last token, or the mean of all."""
    long: LongTexts = "head"
    """What is read of a text longer than the context: its beginning; head-and-tail, as much from both ends; or windows
    that hold all of it, each learned as a text of its own, whose logits are averaged, at the cost of each."""
    validation: float = 0.1
    """Part of the training texts, of each class, that state, temperature and threshold are chosen on. With 0 nothing is
    chosen; give --keep last too."""
    training: TrainingConfig = field(default_factory=lambda: _gentle(2e-4, 16, 50))

    @classmethod
    def unread(cls) -> dict[str, str]:
        """Return the settings that it does not read, with what to do instead."""
        return super().unread() | {"training.sequence_length": "a text may fill the model's context; leave it out"}

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if not 0 <= self.validation <= 0.5:
            problems.append(f"--validation {self.validation:g}: must be between 0 and 0.5")
        elif self.validation == 0 and self.keep == "best":
            problems.append("--validation 0: leaves no text to choose the best state by; give --keep last too")
        if self.prompt.count("{text}") != 1:
            problems.append(f"--prompt {self.prompt!r}: must hold {{text}} once, where each text stands")
        return problems


@dataclass(frozen=True)
class InstructTrainingConfig(FinetuneConfig):
    """Teach a model to answer: the loss falls on what the assistant says and on the end of its turn, nothing else.

    The data are conversations: messages, ShareGPT's conversations, or a table with a column of questions and one of
    answers, such as prompt and completion; or a FAQ in Markdown, .docx or .pdf. The best model by held-out loss is
    kept.
    """

    common: ClassVar[tuple[str, ...]] = (
        "init", "data", "out", "prompt_column", "answer_column", "held_out", "epochs", "lora", "preview", "resume",
        "threads", "force",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    prompt_column: str | None = None
    """Column of the questions, by name or, in a table without a first row of names, by number from 1."""
    answer_column: str | None = None
    """Column of the answers."""
    split: str = AUTO
    """What is held out where no file is: hash:FRACTION, by the hash of each question, so that copies stay together,
    tail:FRACTION, the last rows, or rewordings: of each question one in words that training never has, so that all
    answers are learned. auto: rewordings of small data, else hash:0.1; of fewer than 200 rows about 20, but at most a
    quarter."""
    epochs: Epochs | None = None
    """Times that all conversations are seen, each time in one of their wordings; 3 if not given. Small data: what suits
    them."""
    rewordings: Annotated[int | None, Range(0, 1000)] = None
    """Rewordings of each question, made by rule, that training has beside it; 0 if not given. Small data: 16."""
    general: Annotated[float | None, Range(0, 0.9)] = None
    """Fraction of what is trained on that are general questions with the model's own answers from before, so that it
    forgets less; 0 if not given. Small data: a quarter, if the model answers questions already."""
    rehearse: File | None = None
    """Text of the kind the model learned before, seen in between so that it does not forget how to write it."""
    preview: Amount = 0
    """Show the tokens of this many conversations, those that are learned in colour or in [[double brackets]],
    and do not train."""
    scored: Count = 100
    """Most held-out conversations that are answered before and after training, to compare."""
    reply_tokens: Count = 160
    """Most tokens of such an answer."""
    training: TrainingConfig = field(default_factory=lambda: _gentle(1e-4, 8, 50))

    def _needed(self) -> tuple[str, ...]:
        return ("init", "data") if self.preview else super()._needed()

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.rehearse is not None and (self.rewordings or self.general):
            problems.append("--rehearse: not beside --rewordings or --general; leave out one of the two")
        return problems


@dataclass(frozen=True)
class PreferTrainingConfig(FinetuneConfig):
    """Teach a model which of two answers is preferred.

    The data are rows with chosen and rejected, as texts beside prompt or instruction, or as lists of messages. The best
    model by held-out loss is kept.
    """

    common: ClassVar[tuple[str, ...]] = (
        "init", "data", "out", "method", "held_out", "epochs", "lora", "resume", "seed", "threads", "force",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    method: Method = OF_THE_OTHER
    """Which loss; its settings are under --loss. If not given, that of the loss, else dpo."""
    epochs: Epochs = 1.0
    """Times that all pairs are seen; sets training.steps."""
    loss: PreferenceLossConfig = OF_THE_OTHER
    """The loss with its settings; if not given, the method's usual ones."""
    training: TrainingConfig = field(default_factory=lambda: _gentle(5e-5, 8, 20))

    @classmethod
    def base_for(cls, given: Mapping[str, Any]) -> Any:
        """Return the values of a recipe, with the loss of the method, or the method of the loss, that is given."""
        config = super().base_for(given) or cls()
        if given.get("method") not in LOSSES and given.get("loss") is None:
            return config  # a method that is unknown is reported with the other settings
        method: Any = given.get("method")
        loss: Any = given.get("loss")
        return replace(config, method=method, loss=loss)

    def __post_init__(self) -> None:
        """Take the method of the loss, or the loss of the method, and check ranges."""
        method = self.method or (self.loss.type if self.loss else "dpo")
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "loss", self.loss or LOSSES.get(method))
        super().__post_init__()

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.loss is not None and self.method != self.loss.type:
            problems.append(f"--method {self.method}: but the loss is {self.loss.type}'s; give one of the two")
        return problems


@dataclass(frozen=True)
class ReinforceTrainingConfig(FinetuneConfig):
    """Teach a model by rewards for its own answers (GRPO, Shao et al. 2024, arXiv 2402.03300).

    Each step draws several answers to some questions and makes those likelier that are better than their group. The
    best model by the true score on held-out questions is kept.
    """

    common: ClassVar[tuple[str, ...]] = (
        "init", "out", "task", "questions", "group_size", "reply_tokens", "steps", "lora", "resume", "seed",
        "threads", "force",
    )  # fmt: skip
    """What `--help` shows; `--help-all` shows the others too."""

    data: Hidden[Path | None] = None
    held_out: Hidden[File | None] = None
    split: Hidden[str] = FinetuneConfig.split
    task: Literal["sums", "storyworld", "sums-exploitable", "own"] = "sums"
    """Built-in questions: sums of two-digit numbers; facts of the embedded stories; the sums with a reward that can be
    had by saying many numbers, to see it happen. From Python, any questions and rewards, recorded as own."""
    questions: Rows = 16
    """Questions of one step."""
    group_size: Annotated[int, Range(2, 65_536)] = 8
    """Answers drawn to each question."""
    temperature: Positive = 1.0
    """Of the draw."""
    reply_tokens: Count = 16
    """Most tokens of an answer."""
    kl_weight: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the distance from the reference model; 0: no reference is kept, and no distance measured."""
    scaled: bool = True
    """Whether advantages are divided by their group's standard deviation; without, see Dr. GRPO (arXiv 2503.20783)."""
    epochs: Epochs = 1.0
    """Times that all questions are asked; sets training.steps."""
    patience: Amount = 0
    """Evaluations in a row without a better one before training ends; 0: never before its last step."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Number format of matrix products. Answers are drawn in fp32, and what is learned of them should see the same."""
    training: TrainingConfig = field(default_factory=lambda: _gentle(5e-5, 128, 20))

    def _needed(self) -> tuple[str, ...]:
        return ("init", "out")

    @classmethod
    def unread(cls) -> dict[str, str]:
        """Return the settings that it does not read, with what to do instead."""
        return super().unread() | {
            **dict.fromkeys(("data", "held_out", "split"), "questions come from --task, or from Python"),
            "training.batch_size": "--questions times --group-size sets it",
            "training.sequence_length": "--reply-tokens bounds what is written",
        }


@dataclass(frozen=True)
class SynthesizeConfig:
    """Make conversations of your own documents: by templates over their sentences, or by a model behind an endpoint.

    The file that is written is one that `finetune instruct --data` reads.
    """

    sources: Sources
    """Files, folders or names of known sources."""
    out: File
    """File to write, .jsonl."""
    templates: File | None = None
    """TOML file of your own templates: [[template]] with user and assistant; slots are {passage}, {mixed}, {before},
    {next}, {sentence}, {word}, {blank}, {statement}, {subject}, {verb}."""
    endpoint: str | None = None
    """Or the address of an OpenAI-compatible endpoint whose model writes questions and answers."""
    endpoint_model: str = "default"
    """Name of the model there."""
    per_document: Count = 8
    """Most conversations of one document."""
    count: Annotated[int | None, Range(1)] = None
    """Most conversations in all."""
    near_duplicates: Fraction = 0.8
    """Leave out what resembles an earlier one at least as much; 0 leaves out only equal ones."""
    text_column: str | None = None
    """Column or field of a structured file that holds the text."""
    seed: Seed = 0
    """Seed of what is drawn."""
    force: bool = False
    """Replace the file."""
    json: bool = False
    """Print the account as JSON."""

    def __post_init__(self) -> None:
        """Check ranges; every problem is reported at once."""
        problems = out_of_range(self)
        if self.out.suffix != ".jsonl":
            problems.append(f"--out {self.out}: must end in .jsonl")
        if self.endpoint is not None and self.templates is not None:
            problems.append("--endpoint, --templates: choose one of the two")
        raise_all(problems)
