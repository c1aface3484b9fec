"""Settings of the experiments: ladders (spam, lm, translate, understand, respond), label efficiency, and others.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from scratchlm.base.ranges import Count, Epochs, Range, Vocabulary
from scratchlm.lab.harness.settings import BOOKS, BookSettings, ExperimentConfig, StorySettings
from scratchlm.pretraining.depth_scaling import MAX_DEPTH

MESSAGES, PAIRS = "classify/sms-spam.tsv", "translate/eng-deu.tsv"
"""Labelled messages, and sentence pairs, in the data folder."""
QUESTIONS = "instruct/fairytaleqa.jsonl"
"""Questions on passages of fairy tales, in the data folder."""


Tried = Annotated[tuple[float, ...], Range(over=0, most=10_000)]
"""Values of a setting that are tried; the best is used."""


@dataclass(frozen=True)
class DetectorSettings(ExperimentConfig):
    """Settings of the networks that detect spam. Every combination of the values that are tried is trained once."""

    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the networks' tokenizer, trained on the pretraining text."""
    pretraining_steps: Count = 400
    """Pretraining steps of the small model on books."""
    learning_rates: Tried = (0.006, 0.012, 0.024)
    """Peak learning rates that the small model tries; repeat the flag for several."""
    epochs: Tried = (2.0, 4.0)
    """Epochs on the messages that the small model tries."""
    recurrent_learning_rates: Tried = (0.002, 0.004, 0.008)
    """Peak learning rates that the recurrent network tries."""
    recurrent_epochs: Tried = (3.0, 6.0)
    """Epochs on the messages that the recurrent network tries."""

    def _problems(self) -> list[str]:
        tried = {name: value for name, value in vars(self).items() if isinstance(value, tuple)}
        empty = [f"--{name.replace('_', '-')}: give at least one value" for name, value in tried.items() if not value]
        return super()._problems() + empty


@dataclass(frozen=True)
class LadderSpamConfig(DetectorSettings):
    """Spam detection on five fixed folds, by every method from the majority baseline to a language model."""

    texts: Path | None = None
    """Your own labelled texts of two classes, the rarer one positive. The SMS spam collection if not given."""
    text_column: str | None = None
    """Column of --texts that holds the text."""
    label_column: str | None = None
    """Column of --texts that holds the label."""
    folds: Annotated[int, Range(1, 5)] = 5
    """Number of the five folds to test; the other four folds train the method for each."""
    fold_file: Path | None = None
    """File with the fold of each text. The SMS spam collection has one built in; other texts go by their hash."""
    init: Path | None = None
    """Model folder of a published model of about 135 million parameters: adds two methods, zero-shot and LoRA."""

    def files(self) -> dict[str, Path]:
        """Return the files that the experiment reads, without the published model."""
        files = {"texts": self.texts or self.data_file(MESSAGES), "books": self.books}
        return files if self.fold_file is None else {**files, "folds": self.fold_file}


@dataclass(frozen=True)
class LadderLmConfig(ExperimentConfig):
    """Language models from n-grams to a transformer on the same text: bits per byte, grammar, samples."""

    reads: ClassVar[Mapping[str, str]] = {"books": BOOKS, "blimp": "evaluate/blimp"}
    megabytes: Annotated[float, Range(0.1, 10**6)] = 2.2
    """Training text of every model, in millions of bytes of books."""
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of the shared tokenizer."""
    epochs: Epochs = 1.0
    """Epochs of the networks; the n-gram models count the text once."""
    depths: Annotated[tuple[int, ...], Range(1, MAX_DEPTH)] = (3, 4)
    """Layers of the transformers that the search tries; repeat the flag for several."""
    recurrent_widths: Annotated[tuple[int, ...], Range(1, 65_536)] = (192, 256)
    """Widths of the recurrent networks that the search tries, as many as depths."""
    passes: Annotated[int, Range(2, 10**6)] = 3
    """Passes over the text of one more transformer and one more LSTM."""
    tuning_fraction: Annotated[float, Range(over=0, most=1)] = 0.25
    """Fraction of the training tokens that each setting of the search trains on."""
    recurrent_flops: Annotated[float, Range(0.01, 100)] = 1.2
    """FLOPs of the recurrent network in the time of one of the transformer, for the comparison at equal time."""
    pairs: Annotated[int, Range(2, 10**9)] = 50
    """Pairs of each BLiMP set that are scored."""
    sample_tokens: Count = 50
    """Tokens of each sample."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if not self.depths or len(self.depths) != len(self.recurrent_widths):
            counts = f"{len(self.depths)} and {len(self.recurrent_widths)} values"
            problems.append(
                f"--depths, --recurrent-widths: {counts}; give as many of one as of the other, at least one"
            )
        problems += [
            f"--{name.replace('_', '-')} {', '.join(map(str, numbers))}: give each once"
            for name, numbers in (("depths", self.depths), ("recurrent_widths", self.recurrent_widths))
            if len(set(numbers)) != len(numbers)
        ]
        return problems


@dataclass(frozen=True)
class LadderTranslateConfig(ExperimentConfig):
    """Translation of English into German, from rules, words and phrases to networks with attention."""

    reads: ClassVar[Mapping[str, str]] = {"pairs": PAIRS}
    pairs: Annotated[int, Range(100, 10**9)] = 15_000
    """Training pairs of sentences, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 1000
    """Test sentences, about."""
    rounds: Annotated[int, Range(1, 1000)] = 5
    """EM iterations of each IBM model."""
    tuned: Annotated[int, Range(10, 10**6)] = 400
    """Training pairs on which the weights of the phrase-based translator are tuned; it learns its phrases from all."""
    beam: Annotated[int, Range(1, 1000)] = 5
    """Hypotheses that a beam search keeps, of the phrase-based translator and of the transformers."""
    epochs: Epochs = 4.0
    """Epochs of the networks on the pairs."""
    longer: Annotated[int, Range(2, 1000)] = 3
    """Factor by which one more transformer has more epochs."""
    trial_pairs: Count = 15_000
    """Training pairs, at most, of each trial of an optimizer and a learning rate."""
    width: Annotated[int, Range(32, 65_536)] = 96
    """Width of the transformer; the other networks have the width that gives as many weights."""
    vocabulary_size: Vocabulary = 2048
    """Vocabulary size of the networks' tokenizer."""
    init: Path | None = None
    """Model folder of a published model: one more method, prompted few-shot with some pairs."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.width % 32:
            problems.append(f"--width {self.width}: must be a multiple of 32, the width of a head")
        return problems


@dataclass(frozen=True)
class CompareReadingConfig(ExperimentConfig):
    """Question answering on passages of fairy tales, by rules, by retrieval and by networks."""

    reads: ClassVar[Mapping[str, str]] = {"questions": QUESTIONS, "books": BOOKS}
    questions: Annotated[int, Range(32, 10**9)] = 5000
    """Training questions, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 500
    """Test questions, at most."""
    epochs: Epochs = 1.0
    """Epochs of the networks on the questions."""
    vocabulary_size: Annotated[int, Range(2048, 1 << 20)] = 4096
    """Vocabulary size of the networks' tokenizer."""
    pretraining_steps: Count = 400
    """Pretraining steps of the small model on books."""
    init: Path | None = None
    """Model folder of a published chat model: one more method, zero-shot."""


@dataclass(frozen=True)
class LadderRespondConfig(StorySettings):
    """Replies in a conversation, from ELIZA's patterns, retrieval and n-grams to a fine-tuned model."""

    tested: Annotated[int, Range(10, 10**9)] = 200
    """Test questions, at most, besides requests for a story. There are 116 facts that choose no setting."""
    rates: Tried = (1.0,)
    """Learning rates of fine-tuning that are tried, as multiples of the usual ones; repeat the flag for several."""


@dataclass(frozen=True)
class LabelEfficiencyConfig(DetectorSettings):
    """Spam detection against the number of labelled messages, for each kind of method; each seed draws the labels."""

    reads: ClassVar[Mapping[str, str]] = {"texts": MESSAGES, "books": BOOKS}
    sizes: Annotated[tuple[int, ...], Range(4, 10**9)] = (8, 32, 128, 512)
    """Numbers of labels; repeat the flag for several."""
    tuned_labels: Annotated[int, Range(4, 10**9)] = 128
    """Number of labels with which the settings of every method are tried."""
    fewest_steps: Annotated[tuple[int, ...], Range(1, 10**6)] = (24, 48)
    """Fewest training steps of the small model, however few the labels: values that it tries."""
    recurrent_fewest_steps: Annotated[tuple[int, ...], Range(1, 10**6)] = (48, 96)
    """Fewest training steps of the recurrent network that it tries."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if list(self.sizes) != sorted(set(self.sizes)):
            problems.append(f"--sizes {', '.join(map(str, self.sizes))}: give each once, in ascending order")
        return problems


@dataclass(frozen=True)
class AblationsConfig(BookSettings):
    """Ablations of a model: count parameters by part, change one, freeze parts, add noise, set weights to zero."""

    frozen_steps: Count = 800
    """Training steps of a very small model with frozen parts; it is also trained for half and a quarter of them."""
    search_steps: Count = 64
    """Training steps of each run that searches a learning rate."""
    targets: Annotated[int, Range(256, 10**9)] = 16_384
    """Held-out tokens, predicted once per condition."""


@dataclass(frozen=True)
class ObjectiveConfig(ExperimentConfig):
    """The training objective: loss and samples during training; bytes, characters, sub-words and words compared."""

    reads: ClassVar[Mapping[str, str]] = {"books": BOOKS}
    megabytes: Annotated[float, Range(0.05, 10**6)] = 2.2
    """Text in millions of bytes: the beginnings of books, some of them held out."""
    epochs: Epochs = 1.0
    """Epochs of sub-words; the other kinds of tokens train for as many steps, as much text, or as much compute."""
    vocabulary_size: Vocabulary = 4096
    """Vocabulary size of sub-words and of words, at most."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 3
    """Layers of the model."""
    sample_tokens: Count = 40
    """Tokens of each sample."""
    sampled_words: Annotated[int, Range(2, 10**6)] = 32
    """Unknown words at which the probability of known words is measured."""


@dataclass(frozen=True)
class VocabularyConfig(ExperimentConfig):
    """Tokenizers: bits per byte over the vocabulary size of BPE; then BPE, WordPiece, Unigram and words at one size."""

    reads: ClassVar[Mapping[str, str]] = {"books": BOOKS}
    megabytes: Annotated[float, Range(0.05, 10**6)] = 1.5
    """Text in millions of bytes: the beginnings of books, some of them held out."""
    epochs: Epochs = 1.0
    """Epochs of BPE at the size in the middle; all others train for as much compute."""
    vocabulary_sizes: Annotated[tuple[int, ...], Range(256, 2**20)] = (256, 512, 1024, 2048, 4096, 8192, 16_384)
    """Vocabulary sizes of BPE, ascending; all kinds of tokenizers are compared at the one in the middle."""
    depth: Annotated[int, Range(1, MAX_DEPTH)] = 3
    """Layers of the model."""
    search_share: Annotated[float, Range(over=0, most=1)] = 0.25
    """Share of the training steps in each run that searches a learning rate."""

    def _problems(self) -> list[str]:
        sizes, problems = self.vocabulary_sizes, super()._problems()
        if len(sizes) < 3 or list(sizes) != sorted({256, *sizes}) or sizes[len(sizes) // 2] <= 512:
            shown = ", ".join(map(str, sizes)) or "none"
            problems.append(
                f"--vocabulary-sizes {shown}: give 256 (bytes), then two or more, ascending, the middle one over 512"
            )
        return problems


@dataclass(frozen=True)
class ScalingConfig(ExperimentConfig):
    """Loss against parameters, tokens and compute, and how well two published laws predict a larger run."""

    reads: ClassVar[Mapping[str, str]] = {"books": BOOKS}
    widths: Annotated[tuple[int, ...], Range(32, 4096)] = (32, 64, 96, 128)
    """Widths of the models that the laws are fitted to, ascending multiples of 32; repeat the flag for several."""
    layers: Annotated[int, Range(1, MAX_DEPTH)] = 2
    """Layers of every model."""
    tokens: Annotated[tuple[int, ...], Range(4096)] = (60_000, 140_000, 320_000, 720_000)
    """Training tokens of each of them, ascending."""
    tuned: Annotated[int, Range(1)] = 3
    """On this many of the smaller numbers of tokens each size is trained with three learning rates. A rule that is
    fitted to their validation losses sets the rate of every run."""
    larger_width: Annotated[int, Range(32, 4096)] = 192
    """Width of the larger run that is predicted."""
    larger_tokens: Annotated[int, Range(4096)] = 1_450_000
    """Training tokens of the larger run."""
    vocabulary_size: Vocabulary = 1024
    """Vocabulary size of the shared tokenizer."""
    batch_size: Annotated[int, Range(1, 65_536)] = 8
    """Rows of a batch, of 128 tokens each."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        for name in ("widths", "tokens"):
            numbers = getattr(self, name)
            if len(numbers) < 3 or list(numbers) != sorted(set(numbers)):
                shown = f"--{name} {', '.join(map(str, numbers))}"
                problems.append(f"{shown}: give at least three, each once, in ascending order")
        wrong = [width for width in (*self.widths, self.larger_width) if width % 32]
        problems += [f"--widths, --larger-width {width}: must be a multiple of 32" for width in wrong]
        if self.tuned > len(self.tokens):
            problems.append(f"--tuned {self.tuned}: there are {len(self.tokens)} numbers of tokens; give no more")
        larger = (self.larger_width, self.larger_tokens)
        least_of = (max(self.widths, default=1), max(self.tokens, default=1))
        if larger[0] < least_of[0] or larger[1] < least_of[1] or larger == least_of:
            problems.append(
                f"--larger-width {larger[0]}, --larger-tokens {larger[1]}: must exceed the runs of the fit, "
                f"{least_of[0]} and {least_of[1]}"
            )
        return problems


@dataclass(frozen=True)
class FeaturesConfig(BookSettings):
    """Linear probes on each layer: which simple and contextual properties of tokens can be read."""

    story_steps: Count = 1200
    """Pretraining steps of the model of stories; a batch has 8 rows of 192 tokens."""
    story_vocabulary: Vocabulary = 2048
    """Vocabulary size of its tokenizer."""
    windows: Annotated[int, Range(8, 10**9)] = 320
    """Windows of books that train the probes; the test uses half as many from other books."""
    stories: Annotated[int, Range(8, 10**9)] = 1200
    """Stories that train the probes; the test uses half as many other stories."""
    tokens: Annotated[int, Range(80, 10**9)] = 4000
    """Tokens that train a probe, at most; as many test it."""


@dataclass(frozen=True)
class TasksConfig(StorySettings):
    """Multi-task fine-tuning: one model for four tasks, compared with a baseline and a single-task model for each."""

    reads: ClassVar[Mapping[str, str]] = {"messages": MESSAGES, "pairs": PAIRS}
    messages: Annotated[int, Range(20, 10**9)] = 2000
    """Labelled training messages, at most."""
    vocabulary_size: Annotated[int, Range(1024, 1 << 20)] = 2048
    """Vocabulary size of its tokenizer."""
    pairs: Annotated[int, Range(100, 10**9)] = 3000
    """Training pairs of English and German sentences, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 250
    """Test cases of each task, at most."""


@dataclass(frozen=True)
class CrossoverConfig(StorySettings):
    """Models of several sizes, and a published one, against the best earlier method of each task."""

    reads: ClassVar[Mapping[str, str]] = {
        "messages": MESSAGES, "pairs": PAIRS, "questions": QUESTIONS, "books": BOOKS, "blimp": "evaluate/blimp",
    }  # fmt: skip
    depths: Annotated[tuple[int, ...], Range(1, MAX_DEPTH)] = (2, 4)
    """Depths of our models, ascending: 2 is 0.2 million parameters, 4 is 1, 7 is 5."""
    vocabulary_size: Annotated[int, Range(1024, 1 << 20)] = 2048
    """Vocabulary size of their tokenizer."""
    cases: Annotated[int, Range(20, 10**9)] = 1000
    """Training cases of each task, at most."""
    tested: Annotated[int, Range(10, 10**9)] = 200
    """Test cases of each task, at most."""
    pairs: Annotated[int, Range(2, 10**9)] = 20
    """Pairs of each BLiMP set that are scored."""
    init: Path | None = None
    """Model folder of a published chat model, which is asked and fine-tuned as well."""
    epochs: Epochs = 1.0
    """Epochs of fine-tuning on a task, at least."""
    fewest_steps: Count = 1000
    """Fewest steps of fine-tuning one of our models on a task, of one row of 256 tokens."""
    published_steps: Count = 500
    """Fewest steps of fine-tuning the published model with LoRA."""
    published_rows: Annotated[int, Range(1, 65_536)] = 1
    """Rows of a batch when the published model is fine-tuned."""
    published_length: Annotated[int, Range(16, 65_536)] = 256
    """Tokens of such a row."""

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if list(self.depths) != sorted(set(self.depths)) or not self.depths:
            problems.append(f"--depths {', '.join(map(str, self.depths))}: give each once, in ascending order")
        return problems


@dataclass(frozen=True)
class LimitsConfig(StorySettings):
    """Limits of a fluent model: rewording, negation, false premises, unknown facts, memorised sentences."""

    model: Path | None = None
    """Folder of a model of `scratchlm quickstart`, which answers in place of one that is trained here. With --small:
    quickstart/model in the current folder, if there."""
    tested: Annotated[int, Range(10, 10**9)] = 200
    """Questions of each kind, at most."""
    sampled: Annotated[int, Range(10, 10**9)] = 200
    """Sentences that the model writes and that are looked up in its training text."""
    rates: Tried = (1.0,)
    """Learning rates of fine-tuning that are tried, as multiples of the usual ones; repeat the flag for several."""

    def _problems(self) -> list[str]:
        same = self.model is not None and self.seeds > 1
        problem = f"--seeds {self.seeds}: all of them would ask the one model of --model; leave out --seeds and --full"
        return super()._problems() + ([problem] if same else [])


@dataclass(frozen=True)
class ContextConfig(BookSettings):
    """The value of context: its length, its order, attention, and the heads that copy."""

    pretraining_steps: Count = 600
    """Pretraining steps on books."""
    targets: Annotated[int, Range(8, 10**9)] = 1024
    """Held-out tokens, predicted once per condition."""
    order_steps: Annotated[int, Range(2, 10**9)] = 250
    """Training steps of the network that gets the order of its context in part; half of them for a comparison."""
    copies: Annotated[int, Range(2, 10**6)] = 64
    """Rows of random tokens that are repeated."""
    copy_steps: Count = 400
    """Training steps of each small model that learns to copy."""
    copy_seeds: Annotated[int, Range(1, 100)] = 1
    """Seeds of the small models that learn to copy, which are cheap, apart from the seeds of the whole experiment."""


@dataclass(frozen=True)
class PatchingConfig(StorySettings):
    """Activation patching: one value from another person's question, and the answer becomes that person's pet."""

    pretraining_steps: Count = 1000
    """Pretraining steps of the small model on stories; a batch has 8 rows of 192 tokens."""
    pairs: Annotated[int, Range(10, 10**6)] = 400
    """Pairs of people, at most."""


@dataclass(frozen=True)
class TwinsConfig(BookSettings):
    """Twins, models that differ in one part, such as residuals, norms, positions, heads or feed-forwards."""

    vocabulary_size: Vocabulary = 1024
    """Vocabulary size of the tokenizer."""
    pretraining_steps: Count = 120
    """Training steps of each model."""
    search_steps: Count = 40
    """Training steps of each run that searches a learning rate."""
    targets: Annotated[int, Range(512, 10**9)] = 16_384
    """Held-out tokens of the test; as many others choose learning rates."""


@dataclass(frozen=True)
class InductionConfig(BookSettings):
    """Induction heads, which copy: when they form in small models of books, and what is lost without them."""

    vocabulary_size: Vocabulary = 1024
    """Vocabulary size of the tokenizer."""
    pretraining_steps: Count = 2000
    """Training steps of each model."""
    copies: Annotated[int, Range(2, 10**6)] = 64
    """Rows of random tokens that are repeated."""


@dataclass(frozen=True)
class AttentionKindsConfig(TwinsConfig):
    """Kinds of attention at equal parameters: multi-head, grouped-query, latent, windowed, Gated DeltaNet."""
