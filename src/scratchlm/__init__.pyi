"""What editors and type checkers know of this package. Written by tests/signatures.py; do not edit."""
# fmt: off
# ruff: isort: skip_file

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.data.prepare import PrepareResult
from scratchlm.evaluation.config import EvaluateConfig
from scratchlm.evaluation.results import ComparisonResult, TasksResult
from scratchlm.evaluation.run import EvaluateResult, ReplayResult
from scratchlm.finetuning.config import (
    ClassifyTrainingConfig, InstructTrainingConfig, PreferTrainingConfig, ReinforceTrainingConfig, SynthesizeConfig,
)
from scratchlm.finetuning.lossconfig import DPOConfig, IPOConfig, KTOConfig, ORPOConfig, RewardConfig, SimPOConfig
from scratchlm.finetuning.rewards import Task
from scratchlm.generation.classifier import Answer, Classifier
from scratchlm.generation.config import ClassifyConfig
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.inspection.config import InspectConfig
from scratchlm.inspection.parameters import Inspected
from scratchlm.lab.experiments.config import (
    AblationsConfig, ContextConfig, CrossoverConfig, FeaturesConfig, LabelEfficiencyConfig, LadderLmConfig,
    LadderRespondConfig, LadderSpamConfig, LadderTranslateConfig, LadderUnderstandConfig, LimitsConfig,
    ObjectiveConfig, ScalingConfig, TasksConfig,
)
from scratchlm.lab.harness.outcome import Outcome
from scratchlm.model.config import DecoderConfig
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.runs.classify import ClassifyResult
from scratchlm.runs.config import (
    DoctorConfig, PlanConfig, PretrainConfig, PublishedConfig, QuantizeConfig, QuickstartConfig, TimelapseConfig,
)
from scratchlm.runs.doctor import Diagnosis
from scratchlm.runs.instruct import InstructResult
from scratchlm.runs.plan import Plan, Published
from scratchlm.runs.prefer import PreferResult
from scratchlm.runs.pretrain import PretrainResult
from scratchlm.runs.quantize import QuantizeResult
from scratchlm.runs.quickstart.result import QuickstartResult
from scratchlm.runs.reinforce import ReinforceResult
from scratchlm.runs.synthesize import SynthesizeResult
from scratchlm.runs.timelapse.run import TimelapseResult
from scratchlm.text.config import CleanConfig
from scratchlm.tokens.commands import CompareResult, InspectResult, TrainResult
from scratchlm.tokens.config import CompareTokenizersConfig, InspectTokenizerConfig, PrepareConfig, TrainTokenizerConfig
from scratchlm.training.config import TrainingConfig
from scratchlm.weights.commands import Transfer
from scratchlm.weights.config import ExportConfig, ImportConfig

__all__ = [
    "Classifier", "ClassifyConfig", "ClassifyTrainingConfig", "CompareTokenizersConfig", "DecoderConfig",
    "DoctorConfig", "EvaluateConfig", "ExportConfig", "ImportConfig", "InspectConfig", "InspectTokenizerConfig",
    "InstructTrainingConfig", "Interrupted", "LanguageModel", "PlanConfig", "PreferTrainingConfig", "PrepareConfig",
    "PretrainConfig", "PublishedConfig", "QuickstartConfig", "ReinforceTrainingConfig", "SynthesizeConfig",
    "TimelapseConfig", "TrainTokenizerConfig", "TrainingConfig", "UserError", "__version__", "classify",
    "compare_tokenizers", "doctor", "evaluate", "experiment", "export_model", "finetune_classify", "finetune_instruct",
    "finetune_prefer", "finetune_reinforce", "import_model", "inspect", "inspect_tokenizer", "load", "plan", "prepare",
    "pretrain", "quantize", "quickstart", "synthesize", "timelapse", "train_tokenizer",
]
__version__: str

@overload
def classify(
    model: str | Path, texts: str | Path | Sequence[str | Path] = (), *,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto", threads: int | None = None,
) -> Iterator[Answer]:
    """Put texts into the classes that a model has learned."""

@overload
def classify(config: ClassifyConfig, /) -> Iterator[Answer]: ...
@overload
def compare_tokenizers(
    paths: str | Path | Sequence[str | Path], *, sample_mb: float = 20.0, threads: int | None = None,
) -> CompareResult:
    """Compare tokenizers on one text."""

@overload
def compare_tokenizers(config: CompareTokenizersConfig, /) -> CompareResult: ...
@overload
def doctor(*, threads: int | None = None, distributed: bool = False) -> Diagnosis:
    """What this machine can do; every fast path against the plain one."""

@overload
def doctor(config: DoctorConfig, /) -> Diagnosis: ...
@overload
def evaluate(
    model: str | Path | None = None, *, data: str | Path | None = None, text: str | Path | None = None,
    ngrams: int | None = None, text_field: str | None = None, task: str | Path | Sequence[str | Path] = (),
    shots: int = 0, example: str | Path | Sequence[str | Path] = (), limit: int | None = None, chat: bool = False,
    normalisation: str | Path | Sequence[str | Path] = (), answer_tokens: int = 256, shuffled: bool = False,
    trained_on: str | Path | Sequence[str | Path] = (), text_column: str | None = None,
    label_column: str | None = None, out: str | Path | None = None, replay: str | Path | None = None,
    compare: tuple[str | Path, str | Path] | None = None, judge: str | None = None, judge_model: str = "default",
    rows: int = 16, seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32", threads: int | None = None,
) -> EvaluateResult | TasksResult | ComparisonResult | ReplayResult:
    """Bits per byte on held-out text, scores of tasks, two models compared."""

@overload
def evaluate(config: EvaluateConfig, /) -> EvaluateResult | TasksResult | ComparisonResult | ReplayResult: ...
@overload
def export_model(
    model: str | Path, *, out: str | Path, to: Literal["hf", "gguf", "html", "peft"] = "hf",
    precision: Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] = "f16", force: bool = False,
) -> Transfer:
    """Write a model for transformers and other programs."""

@overload
def export_model(config: ExportConfig, /) -> Transfer: ...
@overload
def finetune_classify(
    *, init: str | Path | None = None, data: str | Path | None = None, out: str | Path | None = None,
    held_out: str | Path | None = None, split: str = "hash:0.1", epochs: float = 3.0, lora: bool = False,
    adapter: LoRAConfig = ..., nf4: bool = False, frozen_layers: int = 0, patience: int = 5,
    keep: Literal["best", "last"] = "best", resume: str | Path | None = None, allow_changes: bool = False,
    seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto", threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    text_column: str | None = None, label_column: str | None = None, positive: str | None = None,
    class_weights: Literal["none", "balanced"] = "none", prompt: str = "{text}",
    pooling: Literal["last", "mean"] = "last", long: Literal["head", "head-and-tail", "windows"] = "head",
    validation: float = 0.1, overrides: Mapping[str, Any] | None = None,
) -> ClassifyResult:
    """Teach a model to put texts into classes."""

@overload
def finetune_classify(config: ClassifyTrainingConfig, /) -> ClassifyResult: ...
@overload
def finetune_instruct(
    *, init: str | Path | None = None, data: str | Path | None = None, out: str | Path | None = None,
    held_out: str | Path | None = None, split: str = "hash:0.1", epochs: float = 3.0, lora: bool = False,
    adapter: LoRAConfig = ..., nf4: bool = False, frozen_layers: int = 0, patience: int = 5,
    keep: Literal["best", "last"] = "best", resume: str | Path | None = None, allow_changes: bool = False,
    seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto", threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    rehearse: str | Path | None = None, preview: int = 0, scored: int = 100, reply_tokens: int = 160,
    overrides: Mapping[str, Any] | None = None,
) -> InstructResult | None:
    """Teach a model to answer in conversations."""

@overload
def finetune_instruct(config: InstructTrainingConfig, /) -> InstructResult | None: ...
@overload
def finetune_prefer(
    *, init: str | Path | None = None, data: str | Path | None = None, out: str | Path | None = None,
    held_out: str | Path | None = None, split: str = "hash:0.1", epochs: float = 1.0, lora: bool = False,
    adapter: LoRAConfig = ..., nf4: bool = False, frozen_layers: int = 0, patience: int = 5,
    keep: Literal["best", "last"] = "best", resume: str | Path | None = None, allow_changes: bool = False,
    seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto", threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    method: Literal["dpo", "ipo", "kto", "orpo", "simpo", "reward"] | None = None,
    loss: DPOConfig | IPOConfig | KTOConfig | ORPOConfig | SimPOConfig | RewardConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> PreferResult:
    """Teach a model which of two answers is preferred."""

@overload
def finetune_prefer(config: PreferTrainingConfig, /) -> PreferResult: ...
@overload
def finetune_reinforce(
    *, init: str | Path | None = None, out: str | Path | None = None, epochs: float = 1.0, lora: bool = False,
    adapter: LoRAConfig = ..., nf4: bool = False, frozen_layers: int = 0, patience: int = 0,
    keep: Literal["best", "last"] = "best", resume: str | Path | None = None, allow_changes: bool = False,
    seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "fp32", threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    task: Literal["sums", "storyworld", "sums-exploitable", "own"] | Task | None = "sums", questions: int = 16,
    group_size: int = 8, temperature: float = 1.0, reply_tokens: int = 16, kl_weight: float = 0.0, scaled: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> ReinforceResult:
    """Teach a model by what its own answers are worth."""

@overload
def finetune_reinforce(config: ReinforceTrainingConfig, /, *, task: Task | None = None) -> ReinforceResult: ...
@overload
def import_model(
    source: str, *, out: str | Path, base: str | Path | None = None,
    dtype: Literal["stored", "fp32", "bf16", "fp16"] = "stored", force: bool = False,
) -> Transfer:
    """Take a published model over as a model folder."""

@overload
def import_model(config: ImportConfig, /) -> Transfer: ...
@overload
def inspect(model: str | Path) -> Inspected:
    """What a model is made of."""

@overload
def inspect(config: InspectConfig, /) -> Inspected: ...
@overload
def inspect_tokenizer(
    tokenizer: str | Path, text: str | None = None, *, merges: int = 20, longest: int = 10,
) -> InspectResult:
    """Show merges, longest tokens, and how a text is cut."""

@overload
def inspect_tokenizer(config: InspectTokenizerConfig, /) -> InspectResult: ...
@overload
def plan(
    recipe: str = "default", *, depth: int | None = None, minutes: float | None = None, data: str | Path | None = None,
    probe: bool = True, ranks: int = 1, ranks_per_machine: int = 8,
    sharding: Literal["none", "full", "hybrid"] = "none", device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto", threads: int | None = None,
    model: DecoderConfig | None = None, training: TrainingConfig | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Plan | Published:
    """Parameters, memory and time of a run before it begins, or the size of a published model."""

@overload
def plan(recipe: str, *, tokens: float | None = None) -> Plan | Published: ...
@overload
def plan(config: PlanConfig | PublishedConfig, /) -> Plan | Published: ...
@overload
def prepare(
    sources: str | Path | Sequence[str | Path], *, out: str | Path,
    tokenizer: Literal["characters", "words"] | str | Path | None = None, vocabulary_size: int = 4096,
    split: str = "hash:0.05", text_field: str | None = None, split_on: str | None = None, strict: bool = False,
    from_local: str | Path | None = None, overlap: bool = True, clean: CleanConfig = ..., seed: int = 0,
    threads: int | None = None, on: Literal["here", "ray"] = "here", force: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> PrepareResult:
    """Text in, cleaned and counted, token shards out."""

@overload
def prepare(config: PrepareConfig, /) -> PrepareResult: ...
@overload
def pretrain(
    recipe: str = "default", *, data: str | Path | None = None, out: str | Path | None = None,
    minutes: float | None = None, depth: int | None = None, init: str | Path | None = None,
    teacher: str | Path | None = None, distillation: float = 0.5, resume: str | Path | None = None,
    allow_changes: bool = False, seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto", threads: int | None = None, force: bool = False,
    sharding: Literal["none", "full", "hybrid"] = "none", tensor_parallel: int = 1, context_parallel: int = 1,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (),
    sweep: str | Path | Sequence[str | Path] = (), sweep_processes: int | None = None,
    sweep_on: Literal["here", "ray"] = "here", model: DecoderConfig | None = None,
    training: TrainingConfig | None = None, overrides: Mapping[str, Any] | None = None,
) -> PretrainResult:
    """Train from random weights, continue a model, or resume a run."""

@overload
def pretrain(config: PretrainConfig, /) -> PretrainResult: ...
@overload
def quantize(
    model: str | Path, *, out: str | Path, to: Literal["int8", "int4"] = "int8", calibrate: str | None = None,
    text: str | None = None, threads: int | None = None, force: bool = False,
) -> QuantizeResult:
    """Store a model's weights in 8 or 4 bits, and tell what that costs."""

@overload
def quantize(config: QuantizeConfig, /) -> QuantizeResult: ...
@overload
def quickstart(
    *, minutes: float = 3.0, out: str | Path = ..., source: str = "storyworld", text_field: str | None = None,
    seed: int = 0, threads: int | None = None, dtype: Literal["auto", "fp32", "bf16"] = "auto", force: bool = False,
) -> QuickstartResult:
    """The whole life of a model in minutes, offline."""

@overload
def quickstart(config: QuickstartConfig, /) -> QuickstartResult: ...
@overload
def synthesize(
    sources: str | Path | Sequence[str | Path], *, out: str | Path, templates: str | Path | None = None,
    endpoint: str | None = None, endpoint_model: str = "default", per_document: int = 8, count: int | None = None,
    near_duplicates: float = 0.8, text_field: str | None = None, seed: int = 0, force: bool = False,
) -> SynthesizeResult:
    """Make conversations of your own documents, to fine-tune on."""

@overload
def synthesize(config: SynthesizeConfig, /) -> SynthesizeResult: ...
@overload
def timelapse(
    source: str = "storyworld:8MB", *, out: str | Path = ..., text_field: str | None = None,
    prompt: str = "Once upon a time", steps: int = 500, depth: int = 3, frames: int = 60, passage: int = 200,
    seed: int = 0, threads: int | None = None, dtype: Literal["auto", "fp32", "bf16"] = "auto", force: bool = False,
) -> TimelapseResult:
    """Train a small model on the bytes of a text, and write a page that replays its training."""

@overload
def timelapse(config: TimelapseConfig, /) -> TimelapseResult: ...
@overload
def train_tokenizer(
    sources: str | Path | Sequence[str | Path], *, out: str | Path,
    kind: Literal["bpe", "characters", "words"] = "bpe", vocabulary_size: int = 4096,
    pattern: Literal["qwen2", "gpt2", "cl100k", "smollm"] = "qwen2", sample_mb: float = 200.0, readable: bool = False,
    force: bool = False,
) -> TrainResult:
    """Train a tokenizer on text."""

@overload
def train_tokenizer(config: TrainTokenizerConfig, /) -> TrainResult: ...
@overload
def experiment(
    name: Literal["ladder-spam"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, vocabulary_size: int = 4096, pretraining_steps: int = 400,
    learning_rates: Sequence[float] = ..., epochs: Sequence[float] = ...,
    recurrent_learning_rates: Sequence[float] = ..., recurrent_epochs: Sequence[float] = ...,
    texts: str | Path | None = None, text_column: str | None = None, label_column: str | None = None, folds: int = 5,
    fold_file: str | Path | None = None, init: str | Path | None = None,
) -> Outcome: ...
@overload
def experiment(name: Literal["ladder-spam"], config: LadderSpamConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["ladder-lm"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, megabytes: float = 2.2, vocabulary_size: int = 4096, epochs: float = 1.0,
    depths: Sequence[int] = ..., recurrent_widths: Sequence[int] = ..., passes: int = 3, tuning_fraction: float = 0.25,
    recurrent_flops: float = 1.2, pairs: int = 50, sample_tokens: int = 50,
) -> Outcome: ...
@overload
def experiment(name: Literal["ladder-lm"], config: LadderLmConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["ladder-translate"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, pairs: int = 15000, tested: int = 1000, rounds: int = 5,
    tuned: int = 400, beam: int = 5, epochs: float = 4.0, longer: int = 3, trial_pairs: int = 15000, width: int = 96,
    vocabulary_size: int = 2048, init: str | Path | None = None,
) -> Outcome: ...
@overload
def experiment(name: Literal["ladder-translate"], config: LadderTranslateConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["ladder-understand"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, questions: int = 5000, tested: int = 500, epochs: float = 1.0,
    vocabulary_size: int = 4096, pretraining_steps: int = 400, init: str | Path | None = None,
) -> Outcome: ...
@overload
def experiment(name: Literal["ladder-understand"], config: LadderUnderstandConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["ladder-respond"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, pretraining_steps: int = 1200, vocabulary_size: int = 2048,
    epochs: float = 2.0, tested: int = 200, read: int = 30, ratings: str | Path | None = None,
) -> Outcome: ...
@overload
def experiment(name: Literal["ladder-respond"], config: LadderRespondConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["label-efficiency"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, vocabulary_size: int = 4096, pretraining_steps: int = 400,
    learning_rates: Sequence[float] = ..., epochs: Sequence[float] = ...,
    recurrent_learning_rates: Sequence[float] = ..., recurrent_epochs: Sequence[float] = ...,
    sizes: Sequence[int] = ..., tuned_labels: int = 128, fewest_steps: Sequence[int] = ...,
    recurrent_fewest_steps: Sequence[int] = ...,
) -> Outcome: ...
@overload
def experiment(name: Literal["label-efficiency"], config: LabelEfficiencyConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["ablations"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, vocabulary_size: int = 4096, pretraining_steps: int = 600, frozen_steps: int = 800,
    search_steps: int = 64, targets: int = 16384,
) -> Outcome: ...
@overload
def experiment(name: Literal["ablations"], config: AblationsConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["objective"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, megabytes: float = 2.2, epochs: float = 1.0, vocabulary_size: int = 4096, depth: int = 3,
    sample_tokens: int = 40, sampled_words: int = 32,
) -> Outcome: ...
@overload
def experiment(name: Literal["objective"], config: ObjectiveConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["scaling"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, widths: Sequence[int] = ..., layers: int = 2, tokens: Sequence[int] = ..., tuned: int = 3,
    larger_width: int = 192, larger_tokens: int = 1450000, vocabulary_size: int = 1024, batch_size: int = 8,
) -> Outcome: ...
@overload
def experiment(name: Literal["scaling"], config: ScalingConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["features"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, vocabulary_size: int = 4096, pretraining_steps: int = 600, story_steps: int = 1200,
    story_vocabulary: int = 2048, windows: int = 320, stories: int = 1200, tokens: int = 4000,
) -> Outcome: ...
@overload
def experiment(name: Literal["features"], config: FeaturesConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["tasks"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, pretraining_steps: int = 1200, vocabulary_size: int = 2048, epochs: float = 2.0,
    messages: int = 2000, pairs: int = 3000, tested: int = 250,
) -> Outcome: ...
@overload
def experiment(name: Literal["tasks"], config: TasksConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["crossover"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, pretraining_steps: int = 1200, vocabulary_size: int = 2048, epochs: float = 1.0,
    depths: Sequence[int] = ..., larger_depth: int | None = None, cases: int = 1000, tested: int = 200,
    pairs: int = 20, init: str | Path | None = None, fewest_steps: int = 1000, published_steps: int = 500,
    published_rows: int = 1, published_length: int = 256,
) -> Outcome: ...
@overload
def experiment(name: Literal["crossover"], config: CrossoverConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["limits"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, pretraining_steps: int = 1200, vocabulary_size: int = 2048, epochs: float = 2.0,
    tested: int = 200, sampled: int = 200,
) -> Outcome: ...
@overload
def experiment(name: Literal["limits"], config: LimitsConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["context"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, vocabulary_size: int = 4096, pretraining_steps: int = 600, targets: int = 1024,
    order_steps: int = 250, copies: int = 64, copy_steps: int = 400, copy_seeds: int = 1,
) -> Outcome: ...
@overload
def experiment(name: Literal["context"], config: ContextConfig, /) -> Outcome: ...
