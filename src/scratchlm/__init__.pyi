"""What editors and type checkers know of this package. Written by tests/signatures.py; do not edit."""
# fmt: off
# ruff: isort: skip_file

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.data.given import batches_from
from scratchlm.data.prepare import PrepareResult
from scratchlm.evaluation.config import EvaluateConfig, QuantizeConfig
from scratchlm.evaluation.quantize import QuantizeResult
from scratchlm.evaluation.results import ComparisonResult, TasksResult
from scratchlm.evaluation.run import EvaluateResult, ReplayResult
from scratchlm.finetuning.classify import ClassifyResult
from scratchlm.finetuning.config import (
    ClassifyTrainingConfig, InstructTrainingConfig, PreferTrainingConfig, ReinforceTrainingConfig, SynthesizeConfig,
)
from scratchlm.finetuning.instruct import InstructResult
from scratchlm.finetuning.lossconfig import DPOConfig, IPOConfig, KTOConfig, ORPOConfig, RewardConfig, SimPOConfig
from scratchlm.finetuning.prefer import PreferResult
from scratchlm.finetuning.reinforce import ReinforceResult
from scratchlm.finetuning.rewards import Task
from scratchlm.finetuning.synthesize import SynthesizeResult
from scratchlm.generation.classifier import Classification, Classifier
from scratchlm.generation.config import ClassifyConfig, SamplingConfig
from scratchlm.generation.generated import GeneratedText
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.inspection.commands import ModelViews, WeightSizes
from scratchlm.inspection.config import DoctorConfig, InspectConfig
from scratchlm.inspection.doctor import Diagnosis
from scratchlm.inspection.edits import Edit
from scratchlm.inspection.look import Look
from scratchlm.inspection.parameters import Inspected
from scratchlm.inspection.trace import attention_maps, layer_states, trace
from scratchlm.lab.experiments.config import (
    AblationsConfig, AttentionKindsConfig, CompareReadingConfig, ContextConfig, CrossoverConfig, FeaturesConfig,
    InductionConfig, LabelEfficiencyConfig, LadderLmConfig, LadderRespondConfig, LadderSpamConfig,
    LadderTranslateConfig, LimitsConfig, ObjectiveConfig, PatchingConfig, ScalingConfig, TasksConfig, TwinsConfig,
    VocabularyConfig,
)
from scratchlm.lab.harness.outcome import Outcome
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.pretraining.config import PlanConfig, PretrainConfig
from scratchlm.pretraining.plan import Plan, Published
from scratchlm.pretraining.train import PretrainResult
from scratchlm.text.config import CleanConfig
from scratchlm.tokens.commands import CompareResult, InspectResult, TrainResult
from scratchlm.tokens.config import CompareTokenizersConfig, InspectTokenizerConfig, PrepareConfig, TrainTokenizerConfig
from scratchlm.tours.quickstart.config import QuickstartConfig
from scratchlm.tours.quickstart.result import QuickstartResult
from scratchlm.tours.timelapse.config import TimelapseConfig
from scratchlm.tours.timelapse.run import TimelapseResult
from scratchlm.training.config import AdamWConfig, TrainingConfig
from scratchlm.training.loop import Loop, StepRecord
from scratchlm.weights.commands import Transfer
from scratchlm.weights.config import ExportConfig, ImportConfig

__all__ = [
    "AdamWConfig", "Classifier", "ClassifyConfig", "ClassifyTrainingConfig", "CompareTokenizersConfig",
    "DecoderConfig", "DoctorConfig", "Edit", "EvaluateConfig", "ExportConfig", "GeneratedText", "ImportConfig",
    "InspectConfig", "InspectTokenizerConfig", "InstructTrainingConfig", "Interrupted", "LanguageModel", "Loop",
    "PlanConfig", "PreferTrainingConfig", "PrepareConfig", "PretrainConfig", "QuickstartConfig",
    "ReinforceTrainingConfig", "SamplingConfig", "StepRecord", "SynthesizeConfig", "TimelapseConfig",
    "TrainTokenizerConfig", "TrainingConfig", "UserError", "__version__", "attention_maps", "batches_from",
    "build_decoder", "classify", "compare_tokenizers", "doctor", "evaluate", "experiment", "export_model",
    "finetune_classify", "finetune_instruct", "finetune_prefer", "finetune_reinforce", "import_model", "inspect",
    "inspect_tokenizer", "layer_states", "load", "plan", "prepare", "pretrain", "quantize", "quickstart", "synthesize",
    "timelapse", "trace", "train_tokenizer",
]
__version__: str

@overload
def classify(
    model: str | Path, texts: str | Path | Sequence[str | Path] = (), *,
    use: Literal["best", "linear", "network"] = "best", device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int | None = None,
) -> Iterator[Classification]:
    """Put texts into the classes that a model has learned.

    Arguments:
        model
            Model folder or run folder of a classifier.
        texts
            Texts; without any, each line of the standard input that is not empty is one.
        use
            Which classifier of the folder answers: the network, the linear model that learned from the
            same texts, or the one with the higher F1 on the held-out texts, which is said on stderr.
        device
            Where to compute.
        threads
            CPU threads; all cores if not given.

    The arguments are the flags of `scratchlm classify --help`.
    One `ClassifyConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def classify(config: ClassifyConfig, /) -> Iterator[Classification]: ...
@overload
def compare_tokenizers(
    paths: str | Path | Sequence[str | Path], *, sample_mb: float = 20.0, threads: int | None = None,
) -> CompareResult:
    """Compare tokenizers on one text.

    Arguments:
        paths
            Folders or files of tokenizers (also GPT-2's vocab.bpe, cl100k_base.tiktoken), then one
            source of text.
        sample_mb
            Compare on at most this many megabytes (millions of bytes).
        threads
            Threads to encode with; all cores if not given.

    The arguments are the flags of `scratchlm tokenizer compare --help`.
    One `CompareTokenizersConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def compare_tokenizers(config: CompareTokenizersConfig, /) -> CompareResult: ...
@overload
def doctor(*, threads: int | None = None, distributed: bool = False) -> Diagnosis:
    """What this machine can do; every fast path against the plain one.

    Arguments:
        threads
            CPU threads; all cores if not given.
        distributed
            With torchrun: report who the ranks are, how fast they sum, and whether they round alike.

    The arguments are the flags of `scratchlm doctor --help`.
    One `DoctorConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def doctor(config: DoctorConfig, /) -> Diagnosis: ...
@overload
def evaluate(
    model: str | Path | None = None, *, data: str | Path | None = None, text: str | Path | None = None,
    ngrams: int | None = None, text_column: str | None = None, task: str | Path | Sequence[str | Path] = (),
    shots: int = 0, example: str | Path | Sequence[str | Path] = (), limit: int | None = None, chat: bool = False,
    normalisation: str | Path | Sequence[str | Path] = (), answer_tokens: int = 256, shuffled: bool = False,
    trained_on: str | Path | Sequence[str | Path] = (), label_column: str | None = None, out: str | Path | None = None,
    replay: str | Path | None = None, compare: tuple[str | Path, str | Path] | None = None, judge: str | None = None,
    judge_model: str = "default", rows: int = 16, seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto", dtype: Literal["fp32", "bf16", "fp16"] = "fp32",
    threads: int | None = None,
) -> EvaluateResult | TasksResult | ComparisonResult | ReplayResult:
    """Bits per byte on held-out text, scores of tasks, two models compared.

    Arguments:
        model
            Model folder or run folder; for a text also a folder of several (an ensemble, of their mean
            probabilities).
        data
            Folder that prepare wrote; its held-out side is measured.
        text
            Or a text of your own: a file or folder, every document of it.
        ngrams
            With --data: also count the n-grams of its training side, each up to this many tokens long
            (5 is usual for subwords, 7 for characters), and measure them alone and interpolated with
            the model.
        text_column
            Column or field that holds the text, of --text FILE or of --task classes=FILE.
        task
            Or a task, NAME=FILE; give the flag again for another.
        shots
            Solved examples before each question (few-shot); 0: zero-shot.
        example
            File that few-shot examples of a task are drawn from, NAME=FILE; if not given, other items
            of the task.
        limit
            Most items of a task, drawn at random; all if not given.
        chat
            Whether questions with written answers go through the model's chat template.
        normalisation
            How the likelihoods of answers of different lengths are normalised: raw, characters, bytes,
            tokens, unconditional; raw and characters if not given.
        answer_tokens
            Most tokens of a written answer.
        shuffled
            Whether tasks are also run with the words of each question in random order, as a baseline.
        trained_on
            Training text to search for the items: a model may have memorised those that occur there.
        label_column
            Column of labels of --task classes=FILE.
        out
            File to write the result of the tasks to, with the scores of each item.
        replay
            Result file to reproduce: its settings on the same model and files must give the same; other
            flags are ignored.
        compare
            Two result files to compare, item by item.
        judge
            With --compare: address of an OpenAI-compatible endpoint that judges written answers, each
            pair in both orders.
        judge_model
            Name of the judging model at that address.
        rows
            Texts in a batch.
        seed
            Seed of all random choices: items, examples, shuffling.
        device
            Where to compute.
        dtype
            Precision of matrix products for likelihoods; answers are generated in fp32.
        threads
            CPU threads; all cores if not given.

    The arguments are the flags of `scratchlm evaluate --help`.
    One `EvaluateConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def evaluate(config: EvaluateConfig, /) -> EvaluateResult | TasksResult | ComparisonResult | ReplayResult: ...
@overload
def export_model(
    model: str | Path, *, out: str | Path, to: Literal["hf", "gguf", "html", "peft"] = "hf",
    precision: Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] = "f16", force: bool = False,
) -> Transfer:
    """Write a model for transformers and other programs.

    Arguments:
        model
            Model folder or run folder.
        out
            Folder to write.
        to
            hf: for transformers and vLLM. gguf: for llama.cpp and Ollama, with a Modelfile. html: one
            file that runs the model in a browser, from disk. These merge an adapter into the weights;
            peft: the adapter alone, for PEFT.
        precision
            Precision of the matrices in a GGUF file; q8_0, q4_0 and q4_1 take 8.5, 4.5 and 5 bits a
            weight.
        force
            Replace an existing export in the folder.

    The arguments are the flags of `scratchlm export --help`.
    One `ExportConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def export_model(config: ExportConfig, /) -> Transfer: ...
@overload
def finetune_classify(
    recipe: str | None = None, *, init: str | Path | None = None,
    data: str | Path | Iterable[str | Mapping[str, Any]] | None = None, out: str | Path | None = None,
    held_out: str | Path | Iterable[str | Mapping[str, Any]] | None = None, split: str = "auto",
    epochs: float | None = None, steps: int | None = None, lora: bool = False, adapter: LoRAConfig = ...,
    nf4: bool = False, frozen_layers: int = 0, patience: int = 5, keep: Literal["best", "last"] = "best",
    resume: str | Path | None = None, allow_changes: bool = False, seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto", dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    text_column: str | None = None, label_column: str | None = None, positive: str | None = None,
    class_weights: Literal["none", "balanced"] = "none", prompt: str = "{text}",
    pooling: Literal["last", "mean"] = "last", long: Literal["head", "head-and-tail", "windows"] = "head",
    validation: float = 0.1, on_step: Callable[[StepRecord], object] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ClassifyResult:
    """Teach a model to put texts into classes.

    Arguments:
        recipe
            TOML file, such as the recipe.toml of a run; its values are the defaults of all flags below.
            Its key `base` may name another such file, of which it changes some values.
        init
            Model folder to begin from.
        data
            File to learn from: .csv, .tsv, .jsonl, .json or .parquet, plain or compressed. Here also
            texts, or rows of named fields such as {'text': ..., 'label': ...}, from memory: they are
            written once to the cache, under their hash.
        out
            Folder of the run to write; the model is in its model/.
        held_out
            File that training never sees; without, a fraction of the data is held out.
        split
            What is held out where no file is: hash:FRACTION, by the hash of each text, so that copies
            stay together, or tail:FRACTION, the last rows. auto: hash:0.1; of fewer than 200 rows about
            20, but at most a quarter.
        epochs
            Times that all texts are seen. If not given: 3; of at most 300 training texts as many as
            make 150 steps, but at most 30.
        steps
            Optimizer steps, in the place of --epochs.
        lora
            Whether adapters are trained instead of the model itself: less memory, a file of some
            megabytes.
        adapter
            What the adapters are, with --lora.
        nf4
            Whether the model below the adapters is held in four bits, with --lora: a seventh of the
            memory, a little less exact (QLoRA, arXiv 2305.14314).
        frozen_layers
            Layers from the first that stay as they are, with the embedding; without --lora.
        patience
            Evaluations in a row without a better one before training ends; 0: never before its last
            step.
        keep
            Which state is the result: the best by what is held out, or the last, measured once, by
            whose scores nothing was chosen.
        resume
            Run folder to continue exactly where its latest checkpoint stands; its settings hold, other
            flags are refused, except those that say where its data and model were moved, and a smaller
            --training.micro-batch-size.
        allow_changes
            With --resume: go on although the recipe file, an input or the number of threads has
            changed; it is recorded.
        seed
            Seed of what is new in the model and of the order of the data.
        device
            Where to compute; auto takes a GPU where there is one.
        dtype
            Number format of matrix products; auto takes what is faster by the processor's features, as
            `doctor` says.
        threads
            CPU threads; all cores if not given.
        force
            Replace a run that is in the folder already.
        track
            Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow,
            wandb (offline).
        training
            How `fit` trains. --epochs sets the steps; a setting that this fine-tuning does not read is
            refused by name.
        text_column
            Column of the texts, by name or, in a table without a first row of names, by number from 1.
        label_column
            Column of the labels.
        positive
            The positive class of two labels, whose F1 is reported; the rarer one if not given. Of more,
            F1 is the mean.
        class_weights
            Whether rare classes weigh more, so that all weigh the same in sum.
        prompt
            What the model reads: {text} with words before and after it, such as "{text} Is this message
            spam?".
        pooling
            What of a text the head reads: the hidden state of its last token, or the mean of all.
        long
            What is read of a text longer than the context: its beginning; head-and-tail, as much from
            both ends; or windows that hold all of it, each learned as a text of its own, whose logits
            are averaged, at the cost of each.
        validation
            Part of the training texts, of each class, that state, temperature and threshold are chosen
            on. With 0 nothing is chosen; give --keep last too.
        on_step
            Called with the record of each step (its step, loss, lr, gradient_norm, tokens, seconds).
            Where it returns True, the run ends after that step, evaluated and saved; what it raises
            ends the run there.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm finetune classify --help`.
    One `ClassifyTrainingConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def finetune_classify(
    config: ClassifyTrainingConfig, /, *, on_step: Callable[[StepRecord], object] | None = None,
) -> ClassifyResult: ...
@overload
def finetune_instruct(
    recipe: str | None = None, *, init: str | Path | None = None,
    data: str | Path | Iterable[str | Mapping[str, Any]] | None = None, out: str | Path | None = None,
    held_out: str | Path | Iterable[str | Mapping[str, Any]] | None = None, split: str = "auto",
    epochs: float | None = None, steps: int | None = None, lora: bool = False, adapter: LoRAConfig = ...,
    nf4: bool = False, frozen_layers: int = 0, patience: int = 5, keep: Literal["best", "last"] = "best",
    resume: str | Path | None = None, allow_changes: bool = False, seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto", dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    prompt_column: str | None = None, answer_column: str | None = None, rewordings: int | None = None,
    general: float | None = None, rehearse: str | Path | None = None, preview: int = 0, scored: int = 100,
    reply_tokens: int = 160, on_step: Callable[[StepRecord], object] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> InstructResult | None:
    """Teach a model to answer in conversations.

    Arguments:
        recipe
            TOML file, such as the recipe.toml of a run; its values are the defaults of all flags below.
            Its key `base` may name another such file, of which it changes some values.
        init
            Model folder to begin from.
        data
            File to learn from: .csv, .tsv, .jsonl, .json or .parquet, plain or compressed. Here also
            texts, or rows of named fields such as {'text': ..., 'label': ...}, from memory: they are
            written once to the cache, under their hash.
        out
            Folder of the run to write; the model is in its model/.
        held_out
            File that training never sees; without, a fraction of the data is held out.
        split
            What is held out where no file is: hash:FRACTION, by the hash of each question, so that
            copies stay together, tail:FRACTION, the last rows, or rewordings: of each question one in
            words that training never has, so that all answers are learned. auto: rewordings of small
            data, else hash:0.1; of fewer than 200 rows about 20, but at most a quarter.
        epochs
            Times that all conversations are seen, each time in one of their wordings; 3 if not given.
            Small data: what suits them.
        steps
            Optimizer steps, in the place of --epochs.
        lora
            Whether adapters are trained instead of the model itself: less memory, a file of some
            megabytes.
        adapter
            What the adapters are, with --lora.
        nf4
            Whether the model below the adapters is held in four bits, with --lora: a seventh of the
            memory, a little less exact (QLoRA, arXiv 2305.14314).
        frozen_layers
            Layers from the first that stay as they are, with the embedding; without --lora.
        patience
            Evaluations in a row without a better one before training ends; 0: never before its last
            step.
        keep
            Which state is the result: the best by what is held out, or the last, measured once, by
            whose scores nothing was chosen.
        resume
            Run folder to continue exactly where its latest checkpoint stands; its settings hold, other
            flags are refused, except those that say where its data and model were moved, and a smaller
            --training.micro-batch-size.
        allow_changes
            With --resume: go on although the recipe file, an input or the number of threads has
            changed; it is recorded.
        seed
            Seed of what is new in the model and of the order of the data.
        device
            Where to compute; auto takes a GPU where there is one.
        dtype
            Number format of matrix products; auto takes what is faster by the processor's features, as
            `doctor` says.
        threads
            CPU threads; all cores if not given.
        force
            Replace a run that is in the folder already.
        track
            Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow,
            wandb (offline).
        training
            How `fit` trains. --epochs sets the steps; a setting that this fine-tuning does not read is
            refused by name.
        prompt_column
            Column of the questions, by name or, in a table without a first row of names, by number from
            1.
        answer_column
            Column of the answers.
        rewordings
            Rewordings of each question, made by rule, that training has beside it; 0 if not given.
            Small data: 16.
        general
            Fraction of what is trained on that are general questions with the model's own answers from
            before, so that it forgets less; 0 if not given. Small data: a quarter, if the model answers
            questions already.
        rehearse
            Text of the kind the model learned before, seen in between so that it does not forget how to
            write it.
        preview
            Show the tokens of this many conversations, those that are learned in colour or in [[double
            brackets]], and do not train.
        scored
            Most held-out conversations that are answered before and after training, to compare.
        reply_tokens
            Most tokens of such an answer.
        on_step
            Called with the record of each step (its step, loss, lr, gradient_norm, tokens, seconds).
            Where it returns True, the run ends after that step, evaluated and saved; what it raises
            ends the run there.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm finetune instruct --help`.
    One `InstructTrainingConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def finetune_instruct(
    config: InstructTrainingConfig, /, *, on_step: Callable[[StepRecord], object] | None = None,
) -> InstructResult | None: ...
@overload
def finetune_prefer(
    recipe: str | None = None, *, init: str | Path | None = None,
    data: str | Path | Iterable[str | Mapping[str, Any]] | None = None, out: str | Path | None = None,
    held_out: str | Path | Iterable[str | Mapping[str, Any]] | None = None, split: str = "auto", epochs: float = 1.0,
    steps: int | None = None, lora: bool = False, adapter: LoRAConfig = ..., nf4: bool = False, frozen_layers: int = 0,
    patience: int = 5, keep: Literal["best", "last"] = "best", resume: str | Path | None = None,
    allow_changes: bool = False, seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto", threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    method: Literal["dpo", "ipo", "kto", "orpo", "simpo", "reward"] | None = None,
    loss: DPOConfig | IPOConfig | KTOConfig | ORPOConfig | SimPOConfig | RewardConfig | None = None,
    on_step: Callable[[StepRecord], object] | None = None, overrides: Mapping[str, Any] | None = None,
) -> PreferResult:
    """Teach a model which of two answers is preferred.

    Arguments:
        recipe
            TOML file, such as the recipe.toml of a run; its values are the defaults of all flags below.
            Its key `base` may name another such file, of which it changes some values.
        init
            Model folder to begin from.
        data
            File to learn from: .csv, .tsv, .jsonl, .json or .parquet, plain or compressed. Here also
            texts, or rows of named fields such as {'text': ..., 'label': ...}, from memory: they are
            written once to the cache, under their hash.
        out
            Folder of the run to write; the model is in its model/.
        held_out
            File that training never sees; without, a fraction of the data is held out.
        split
            What is held out where no file is: hash:FRACTION, by the hash of each text, so that copies
            stay together, or tail:FRACTION, the last rows. auto: hash:0.1; of fewer than 200 rows about
            20, but at most a quarter.
        epochs
            Times that all pairs are seen; sets training.steps.
        steps
            Optimizer steps, in the place of --epochs.
        lora
            Whether adapters are trained instead of the model itself: less memory, a file of some
            megabytes.
        adapter
            What the adapters are, with --lora.
        nf4
            Whether the model below the adapters is held in four bits, with --lora: a seventh of the
            memory, a little less exact (QLoRA, arXiv 2305.14314).
        frozen_layers
            Layers from the first that stay as they are, with the embedding; without --lora.
        patience
            Evaluations in a row without a better one before training ends; 0: never before its last
            step.
        keep
            Which state is the result: the best by what is held out, or the last, measured once, by
            whose scores nothing was chosen.
        resume
            Run folder to continue exactly where its latest checkpoint stands; its settings hold, other
            flags are refused, except those that say where its data and model were moved, and a smaller
            --training.micro-batch-size.
        allow_changes
            With --resume: go on although the recipe file, an input or the number of threads has
            changed; it is recorded.
        seed
            Seed of what is new in the model and of the order of the data.
        device
            Where to compute; auto takes a GPU where there is one.
        dtype
            Number format of matrix products; auto takes what is faster by the processor's features, as
            `doctor` says.
        threads
            CPU threads; all cores if not given.
        force
            Replace a run that is in the folder already.
        track
            Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow,
            wandb (offline).
        training
            How `fit` trains. --epochs sets the steps; a setting that this fine-tuning does not read is
            refused by name.
        method
            Which loss; its settings are under --loss. If not given, that of the loss, else dpo.
        loss
            The loss with its settings; if not given, the method's usual ones.
        on_step
            Called with the record of each step (its step, loss, lr, gradient_norm, tokens, seconds).
            Where it returns True, the run ends after that step, evaluated and saved; what it raises
            ends the run there.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm finetune prefer --help`.
    One `PreferTrainingConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def finetune_prefer(
    config: PreferTrainingConfig, /, *, on_step: Callable[[StepRecord], object] | None = None,
) -> PreferResult: ...
@overload
def finetune_reinforce(
    recipe: str | None = None, *, init: str | Path | None = None, out: str | Path | None = None, epochs: float = 1.0,
    steps: int | None = None, lora: bool = False, adapter: LoRAConfig = ..., nf4: bool = False, frozen_layers: int = 0,
    patience: int = 0, keep: Literal["best", "last"] = "best", resume: str | Path | None = None,
    allow_changes: bool = False, seed: int = 0, device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "fp32", threads: int | None = None, force: bool = False,
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (), training: TrainingConfig = ...,
    task: Literal["sums", "storyworld", "sums-exploitable", "own"] | Task | None = "sums", questions: int = 16,
    group_size: int = 8, temperature: float = 1.0, reply_tokens: int = 16, kl_weight: float = 0.0, scaled: bool = True,
    on_step: Callable[[StepRecord], object] | None = None, overrides: Mapping[str, Any] | None = None,
) -> ReinforceResult:
    """Teach a model by rewards for its own answers.

    Arguments:
        recipe
            TOML file, such as the recipe.toml of a run; its values are the defaults of all flags below.
            Its key `base` may name another such file, of which it changes some values.
        init
            Model folder to begin from.
        out
            Folder of the run to write; the model is in its model/.
        epochs
            Times that all questions are asked; sets training.steps.
        steps
            Optimizer steps, in the place of --epochs.
        lora
            Whether adapters are trained instead of the model itself: less memory, a file of some
            megabytes.
        adapter
            What the adapters are, with --lora.
        nf4
            Whether the model below the adapters is held in four bits, with --lora: a seventh of the
            memory, a little less exact (QLoRA, arXiv 2305.14314).
        frozen_layers
            Layers from the first that stay as they are, with the embedding; without --lora.
        patience
            Evaluations in a row without a better one before training ends; 0: never before its last
            step.
        keep
            Which state is the result: the best by what is held out, or the last, measured once, by
            whose scores nothing was chosen.
        resume
            Run folder to continue exactly where its latest checkpoint stands; its settings hold, other
            flags are refused, except those that say where its data and model were moved, and a smaller
            --training.micro-batch-size.
        allow_changes
            With --resume: go on although the recipe file, an input or the number of threads has
            changed; it is recorded.
        seed
            Seed of what is new in the model and of the order of the data.
        device
            Where to compute; auto takes a GPU where there is one.
        dtype
            Number format of matrix products. Answers are drawn in fp32, and what is learned of them
            should see the same.
        threads
            CPU threads; all cores if not given.
        force
            Replace a run that is in the folder already.
        track
            Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow,
            wandb (offline).
        training
            How `fit` trains. --epochs sets the steps; a setting that this fine-tuning does not read is
            refused by name.
        task
            Built-in questions: sums of two-digit numbers; facts of the embedded stories; the sums with
            a reward that can be had by saying many numbers, to see it happen. From Python, any
            questions and rewards, recorded as own.
        questions
            Questions of one step.
        group_size
            Answers drawn to each question.
        temperature
            Of the draw.
        reply_tokens
            Most tokens of an answer.
        kl_weight
            Weight of the distance from the reference model; 0: no reference is kept, and no distance
            measured.
        scaled
            Whether advantages are divided by their group's standard deviation; without, see Dr. GRPO
            (arXiv 2503.20783).
        on_step
            Called with the record of each step (its step, loss, lr, gradient_norm, tokens, seconds).
            Where it returns True, the run ends after that step, evaluated and saved; what it raises
            ends the run there.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm finetune reinforce --help`.
    One `ReinforceTrainingConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def finetune_reinforce(
    config: ReinforceTrainingConfig, /, *, task: Task | None = None,
    on_step: Callable[[StepRecord], object] | None = None,
) -> ReinforceResult: ...
@overload
def import_model(
    source: str, *, out: str | Path, base: str | Path | None = None,
    dtype: Literal["stored", "fp32", "bf16", "fp16", "quantized"] = "stored", force: bool = False,
) -> Transfer:
    """Convert a published model to a model folder.

    Arguments:
        source
            A folder in Hugging Face's format, a .gguf file, a .bin file of llama2.c with its tok*.bin
            in the same folder, an adapter of PEFT (with --base), or a name such as smollm2-135m or a
            Hugging Face repository owner/name.
        out
            Model folder to write.
        base
            Base model of the adapter, where `source` is a folder of PEFT; or the new path of the base
            model of a run or model folder.
        dtype
            Precision of the weights in the folder; stored: that of each tensor, dequantized; quantized:
            the matrices of a .gguf file in int8 or int4, with the codes of Q8_0, Q4_0, Q4_1 and Q4_K;
            others are rounded to that.
        force
            Replace an existing model in the folder.

    The arguments are the flags of `scratchlm import --help`.
    One `ImportConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def import_model(config: ImportConfig, /) -> Transfer: ...
@overload
def inspect(
    model: str | Path, prompt: str | None = None, *, page: str | Path | None = None, target: str | None = None,
    against: str | None = None, chat: bool = False, new: int = 0, losses: bool = False, attention: bool = False,
    lens: bool = False, tuned_lens: bool = False, attribution: bool = False, neurons: bool = False,
    ablation: bool = False, patch: str | None = None, paths: bool = False, map: bool = False, heads: bool = False,
    neighbours: str | None = None, features: int | None = None, layer: int | None = None, texts: str | None = None,
    weights: bool = False, threads: int | None = None,
) -> Inspected | Look | WeightSizes | ModelViews:
    """What a model is made of, and why it writes what it writes.

    Arguments:
        model
            Model folder or run folder.
        prompt
            Text whose next token is looked into.
        page
            Write all of it to this HTML file, which works offline; a small model runs in it.
        target
            The next token in question, with the space before a word; without, the likeliest.
        against
            Another token: attribution then says what speaks for the one rather than the other.
        chat
            Take the prompt as a user's message, as `chat` does.
        new
            Tokens that the model writes first, the likeliest each time; they are looked into as the
            prompt is.
        losses
            How much each token surprised the model, and how fast the answer would change with each.
        attention
            Where each head looks.
        lens
            What the model would say if it ended after each layer (logit lens).
        tuned_lens
            The same with a translation for each layer, trained on --texts.
        attribution
            What each part adds by itself to the score of the token.
        neurons
            Which neurons add most, and the tokens that they raise.
        ablation
            The probability without each part.
        patch
            Another text of as many tokens: which of its values, put into this one, bring its answer
            back.
        paths
            With --patch: what single earlier heads tell the head that matters most, on the direct path.
        map
            Where the text's tokens lie by the two main directions of their vectors.
        heads
            What each head does in general: previous token, same token, induction.
        neighbours
            A token: those whose vectors are nearest.
        features
            Train a sparse autoencoder of this many features on --texts; show those that are active,
            with a causal check.
        layer
            The layer of --features; without, the one in the middle.
        texts
            Text or named corpus to train --tuned-lens and --features on; without, the model writes its
            own.
        weights
            Norms and singular values of all matrices; of a run at its first and last checkpoint.
        threads
            CPU threads; all cores if not given.

    The arguments are the flags of `scratchlm inspect --help`.
    One `InspectConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def inspect(config: InspectConfig, /) -> Inspected | Look | WeightSizes | ModelViews: ...
@overload
def inspect_tokenizer(
    tokenizer: str | Path, text: str | None = None, *, merges: int = 20, longest: int = 10,
) -> InspectResult:
    """Show merges, longest tokens, and how a text is cut.

    Arguments:
        tokenizer
            Folder or file of the tokenizer.
        text
            Text to encode.
        merges
            Number of merges to show, the earliest.
        longest
            Number of tokens to show, the longest.

    The arguments are the flags of `scratchlm tokenizer inspect --help`.
    One `InspectTokenizerConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def inspect_tokenizer(config: InspectTokenizerConfig, /) -> InspectResult: ...
@overload
def plan(
    recipe: str = "default", *, depth: int | None = None, minutes: float | None = None,
    data: str | Path | Sequence[str | Path] = (), mix: str = "", mix_after: str = "", probe: bool = True,
    ranks: int = 1, ranks_per_machine: int = 8, sharding: Literal["none", "full", "hybrid"] = "none",
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto", dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    threads: int | None = None, tokens: float | None = None, model: DecoderConfig | None = None,
    training: TrainingConfig | None = None, overrides: Mapping[str, Any] | None = None,
) -> Plan | Published:
    """Parameters, memory and time of a run before it begins, or the size of a published model.

    Arguments:
        recipe
            Named recipe or a TOML file; or a published model, by name, such as llama-3.1-405b, or its
            config.json.
        depth
            Layers, from which the other sizes follow (depth scaling).
        minutes
            Time to train for: reports how many steps fit, and which loss each depth is expected to
            reach.
        data
            Folder that `scratchlm prepare` wrote, to try learning rates on; give the flag again to mix
            several. Without, steps are timed on random ids.
        mix
            With several --data: weights, as in 3,1, of how many tokens of each are read. Without, each
            is read equally often.
        mix_after
            Other weights after a step, as in 900=1,3: those of an annealing phase.
        probe
            Whether to time a few steps; without, only what can be counted is reported.
        ranks
            Processes that train together; reports what each of them holds and sends.
        ranks_per_machine
            Of these, with --sharding hybrid.
        sharding
            What a rank holds; none: all weights, full: a part of them, hybrid: the ranks of each
            machine hold all of them together.
        device
            Where to compute.
        dtype
            Number format of matrix products.
        threads
            CPU threads; all cores if not given.
        tokens
            Of a published model: tokens of training to count FLOPs for; 20 a parameter that a token
            passes if not given.
        model
            Shape to plan for; a published model has its own. One that is given replaces the recipe's.
        training
            Training to plan for. One that is given replaces the recipe's.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm plan --help`.
    One `PlanConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def plan(config: PlanConfig, /) -> Plan | Published: ...
@overload
def prepare(
    sources: str | Path | Sequence[str | Path] = (), *, out: str | Path,
    tokenizer: Literal["characters", "words"] | str | Path | None = None, vocabulary_size: int = 4096,
    split: str = "hash:0.05", text_column: str | None = None, split_on: str | None = None, strict: bool = False,
    from_local: str | Path | None = None, overlap: bool = True, clean: CleanConfig = ..., seed: int = 0,
    threads: int | None = None, on: Literal["here", "ray"] = "here", force: bool = False,
    data: Iterable[str | Mapping[str, Any]] | str | None = None, overrides: Mapping[str, Any] | None = None,
) -> PrepareResult:
    r"""Text in, cleaned and counted, token shards out.

    Arguments:
        sources
            Files, folders or named corpora (storyworld:20MB, stdlib, shakespeare, gutenberg:1342, ...).
        out
            Folder to write shards, tokenizer and report to.
        tokenizer
            Folder or file of a tokenizer, or `characters` or `words` to build one from all characters
            or the most frequent words of this text (a folder of that name: ./words); if not given,
            byte-level BPE is trained on this text.
        vocabulary_size
            Number of ordinary tokens of a tokenizer trained here; a tokenizer of characters keeps all
            of them.
        split
            What is held out: hash:FRACTION of the documents, or tail:FRACTION of the text.
        text_column
            Field or column with the text.
        split_on
            Cut .txt and .md files into documents at this text, for example a blank line as \n\n.
        strict
            Stop at the first bad file or row instead of naming, skipping and counting it.
        from_local
            Take a named source from this file instead of downloading it.
        overlap
            Report how much of the held-out text also occurs in the training text.
        clean
            How text is cleaned: repairs, and reasons to drop a document.
        seed
            Seed of generated sources.
        threads
            Threads to encode with; all cores if not given.
        on
            Where to encode: ray takes the machines of a cluster, and --threads for each batch, one if
            not given.
        force
            Replace existing data in the folder.
        data
            Here also texts, or rows of named fields such as {'text': ..., 'label': ...}, from memory:
            they are written once to the cache, under their hash.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm prepare --help`.
    One `PrepareConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def prepare(config: PrepareConfig, /) -> PrepareResult: ...
@overload
def pretrain(
    recipe: str = "default", *, data: str | Path | Sequence[str | Path] | Iterable[str | Mapping[str, Any]] = (),
    out: str | Path | None = None, mix: str = "", mix_after: str = "", minutes: float | None = None,
    depth: int | None = None, init: str | Path | None = None, teacher: str | Path | None = None,
    distillation: float = 0.5, resume: str | Path | None = None, allow_changes: bool = False, seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto", dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    threads: int | None = None, force: bool = False, sharding: Literal["none", "full", "hybrid"] = "none",
    track: Sequence[Literal["tensorboard", "trackio", "mlflow", "wandb"]] = (),
    sweep: str | Path | Sequence[str | Path] = (), sweep_processes: int | None = None,
    sweep_on: Literal["here", "ray"] = "here", model: DecoderConfig | None = None,
    training: TrainingConfig | None = None, on_step: Callable[[StepRecord], object] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> PretrainResult:
    """Train from random weights, continue a model, or resume a run.

    Arguments:
        recipe
            Named recipe (tiny, default, speedrun, books, characters, characters-quick, gpt2, further)
            or a TOML file; its values are the defaults of all flags below.
        data
            Folder that `scratchlm prepare` wrote; give the flag again to mix several. Here also texts,
            or rows of named fields such as {'text': ..., 'label': ...}, from memory: they are written
            once to the cache, under their hash.
        out
            Folder of the run to write.
        mix
            With several --data: weights, as in 3,1, of how many tokens of each are read. Without, each
            is read equally often.
        mix_after
            Other weights after a step, as in 900=1,3: those of an annealing phase.
        minutes
            Time for training and its evaluations; a short probe turns it into a number of steps, which
            then follows the clock. Without --depth, the recipes default and speedrun take the depth
            that should learn most in this time.
        depth
            Layers, from which width, heads, learning rate, batch and length follow (depth scaling).
        init
            Model folder to continue from, instead of random weights; `further` is the recipe for an
            imported model.
        teacher
            Model, or a folder of several (an ensemble), to learn the probabilities of beside the text
            (distillation).
        distillation
            With --teacher: how much of the gradient comes from its probabilities, the rest from the
            text.
        resume
            Run folder to continue exactly where its latest checkpoint stands; its recipe holds, other
            flags are refused, except those that say where its data and model were moved, and a smaller
            --training.micro-batch-size.
        allow_changes
            With --resume: go on although the recipe file, an input or the number of threads has
            changed; it is recorded.
        seed
            Seed of weights, order of the data and dropout.
        device
            Where to compute; auto takes a GPU where there is one.
        dtype
            Number format of matrix products; auto takes what is faster by the processor's features, as
            `doctor` says.
        threads
            CPU threads; all cores if not given.
        force
            Replace a run that is in the folder already.
        sharding
            With torchrun: what a rank holds; none: all weights, full: a part of them, hybrid: the ranks
            of each machine hold all of them together.
        track
            Programs that get the curves of the run beside its own log: tensorboard, trackio, mlflow,
            wandb (offline).
        sweep
            Train every combination of values, as in KEY=A,B,C, the best third of them longer, and so on
            to one that takes all steps; give the flag again for another key.
        sweep_processes
            Trials at a time, which share the threads; as many as there are threads if not given, fewer
            where memory is short.
        sweep_on
            Where trials are trained: ray takes the machines of a cluster, and --threads for each trial.
        model
            A decoder-only transformer: embedding, blocks, final norm, head. One that is given replaces
            the recipe's. It is filled when the config is made: to change recipe or depth of one, give
            `dataclasses.replace` model=None too.
        training
            How `fit` trains: sizes, optimizer, schedule, and how often it looks up. One that is given
            replaces the recipe's.
        on_step
            Called with the record of each step (its step, loss, lr, gradient_norm, tokens, seconds).
            Where it returns True, the run ends after that step, evaluated and saved; what it raises
            ends the run there.
        overrides
            Single values by dotted names, such as {'training.steps': 50}: they win over arguments, and
            arguments win over a recipe, a method or a model. A whole part that is given replaces the
            usual one whole.

    The arguments are the flags of `scratchlm pretrain --help`.
    One `PretrainConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def pretrain(config: PretrainConfig, /, *, on_step: Callable[[StepRecord], object] | None = None) -> PretrainResult: ...
@overload
def quantize(
    model: str | Path, *, out: str | Path, to: Literal["int8", "int4"] = "int8", calibrate: str | None = None,
    text: str | None = None, threads: int | None = None, force: bool = False,
) -> QuantizeResult:
    """Store a model's weights in 8 or 4 bits, and report what that costs.

    Arguments:
        model
            Model folder or run folder.
        out
            Model folder to write.
        to
            int8: a scale for 32 inputs of an output. int4: a scale and a minimum for them; embedding
            and head stay in int8.
        calibrate
            Text that int4 is rounded for (GPTQ), so that the model's answers to it change little: a
            file, a folder or a source. Without, each weight goes to its nearest code.
        text
            Text to measure on; if not given, what is left of the calibration text, or embedded stories.
        threads
            CPU threads; all cores if not given.
        force
            Replace an existing model in the folder.

    The arguments are the flags of `scratchlm quantize --help`.
    One `QuantizeConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def quantize(config: QuantizeConfig, /) -> QuantizeResult: ...
@overload
def quickstart(
    *, minutes: float = 3.0, out: str | Path = ..., source: str = "storyworld", text_column: str | None = None,
    seed: int = 0, threads: int | None = None, dtype: Literal["auto", "fp32", "bf16"] = "auto", force: bool = False,
) -> QuickstartResult:
    """The whole life of a model in minutes, offline.

    Arguments:
        minutes
            Time for everything; kept within a tenth, and the size of the model follows from it.
        out
            Folder to write the model, the questions and the report to.
        source
            Text to learn from: the embedded corpus, a named source, or a file or folder of your own.
        text_column
            Column or field of a structured file that holds the text.
        seed
            Seed of the text, the weights and the order of training.
        threads
            CPU threads; all cores if not given.
        dtype
            Number format of matrix products; auto takes what is faster by the processor's features, as
            `doctor` says.
        force
            Replace what an earlier quickstart left in the folder.

    The arguments are the flags of `scratchlm quickstart --help`.
    One `QuickstartConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def quickstart(config: QuickstartConfig, /) -> QuickstartResult: ...
@overload
def synthesize(
    sources: str | Path | Sequence[str | Path], *, out: str | Path, templates: str | Path | None = None,
    endpoint: str | None = None, endpoint_model: str = "default", per_document: int = 8, count: int | None = None,
    near_duplicates: float = 0.8, text_column: str | None = None, seed: int = 0, force: bool = False,
) -> SynthesizeResult:
    """Make conversations of your own documents, to fine-tune on.

    Arguments:
        sources
            Files, folders or names of known sources.
        out
            File to write, .jsonl.
        templates
            TOML file of your own templates: [[template]] with user and assistant; slots are {passage},
            {mixed}, {before}, {next}, {sentence}, {word}, {blank}, {statement}, {subject}, {verb}.
        endpoint
            Or the address of an OpenAI-compatible endpoint whose model writes questions and answers.
        endpoint_model
            Name of the model there.
        per_document
            Most conversations of one document.
        count
            Most conversations in all.
        near_duplicates
            Leave out what resembles an earlier one at least as much; 0 leaves out only equal ones.
        text_column
            Column or field of a structured file that holds the text.
        seed
            Seed of what is drawn.
        force
            Replace the file.

    The arguments are the flags of `scratchlm synthesize --help`.
    One `SynthesizeConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def synthesize(config: SynthesizeConfig, /) -> SynthesizeResult: ...
@overload
def timelapse(
    source: str = "storyworld:8MB", *, out: str | Path = ..., text_column: str | None = None,
    prompt: str = "Once upon a time", steps: int = 500, depth: int = 3, frames: int = 60, passage: int = 200,
    seed: int = 0, threads: int | None = None, dtype: Literal["auto", "fp32", "bf16"] = "auto", force: bool = False,
) -> TimelapseResult:
    """Train a small model on the bytes of a text, and write a page that replays its training.

    Arguments:
        source
            Text to learn from: the embedded corpus, a named source, or a file or folder of your own.
        out
            Folder to write the page, its picture and their data to.
        text_column
            Column or field of a structured file that holds the text.
        prompt
            Text that the model continues at each moment.
        steps
            Optimizer steps; 500 at depth 3 took 98 seconds of one core of an AMD EPYC, in bf16.
        depth
            Layers, from which width, heads and learning rate follow.
        frames
            Moments to show, spaced evenly in the logarithm of the step.
        passage
            Bytes of the held-out passage whose predictions are shown.
        seed
            Seed of the weights, the order of training and the written texts.
        threads
            CPU threads; all cores if not given.
        dtype
            Number format of matrix products; auto takes what is faster by the processor's features, as
            `doctor` says.
        force
            Replace an earlier time-lapse in the folder.

    The arguments are the flags of `scratchlm timelapse --help`.
    One `TimelapseConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

@overload
def timelapse(config: TimelapseConfig, /) -> TimelapseResult: ...
@overload
def train_tokenizer(
    sources: str | Path | Sequence[str | Path] = (), *, out: str | Path,
    kind: Literal["bpe", "wordpiece", "unigram", "characters", "words"] = "bpe", vocabulary_size: int = 4096,
    pattern: Literal["qwen2", "gpt2", "cl100k", "smollm"] = "qwen2", sample_mb: float = 200.0, readable: bool = False,
    force: bool = False, data: Iterable[str | Mapping[str, Any]] | str | None = None,
) -> TrainResult:
    """Train a tokenizer on text.

    Arguments:
        sources
            Files, folders or named corpora to learn from.
        out
            Folder to write the tokenizer to.
        kind
            What a token is: a frequent part of a word (bpe, and wordpiece and unigram for comparison,
            whose trainers are plain Python), a character, or a word. Text with a character outside the
            vocabulary of characters is refused; a word outside the vocabulary of words becomes <|unk|>.
        vocabulary_size
            Number of ordinary tokens, the bytes (256; 512 in wordpiece) or the <|unk|> of words
            included; special tokens are extra. A tokenizer of characters keeps all of them.
        pattern
            How text is split into chunks first; qwen2 is read by most other tools. Not for characters
            and words.
        sample_mb
            Learn from at most this many megabytes (millions of bytes), spread over the text where its
            size is known.
        readable
            Train with the plain Python trainer: the same merges, slower.
        force
            Replace an existing tokenizer in the folder.
        data
            Here also texts, or rows of named fields such as {'text': ..., 'label': ...}, from memory:
            they are written once to the cache, under their hash.

    The arguments are the flags of `scratchlm tokenizer train --help`.
    One `TrainTokenizerConfig` may take their place.
    Raises `UserError` for an argument that is unknown, missing or wrong.
    """

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
    name: Literal["compare-reading"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, questions: int = 5000, tested: int = 500, epochs: float = 1.0,
    vocabulary_size: int = 4096, pretraining_steps: int = 400, init: str | Path | None = None,
) -> Outcome: ...
@overload
def experiment(name: Literal["compare-reading"], config: CompareReadingConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["ladder-respond"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, pretraining_steps: int = 1200, vocabulary_size: int = 2048,
    epochs: float = 2.0, tested: int = 200, rates: Sequence[float] = ...,
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
    name: Literal["vocabulary"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, megabytes: float = 1.5, epochs: float = 1.0, vocabulary_sizes: Sequence[int] = ...,
    depth: int = 3, search_share: float = 0.25,
) -> Outcome: ...
@overload
def experiment(name: Literal["vocabulary"], config: VocabularyConfig, /) -> Outcome: ...
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
    depths: Sequence[int] = ..., cases: int = 1000, tested: int = 200, pairs: int = 20, init: str | Path | None = None,
    fewest_steps: int = 1000, published_steps: int = 500, published_rows: int = 1, published_length: int = 256,
) -> Outcome: ...
@overload
def experiment(name: Literal["crossover"], config: CrossoverConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["limits"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, pretraining_steps: int = 1200, vocabulary_size: int = 2048, epochs: float = 2.0,
    model: str | Path | None = None, tested: int = 200, sampled: int = 200, rates: Sequence[float] = ...,
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
@overload
def experiment(
    name: Literal["twins"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, vocabulary_size: int = 1024, pretraining_steps: int = 120, search_steps: int = 40,
    targets: int = 16384,
) -> Outcome: ...
@overload
def experiment(name: Literal["twins"], config: TwinsConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["attention-kinds"], *, out: str | Path | None = None, data: str | Path | None = None,
    full: bool = False, small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1,
    threads: int | None = None, force: bool = False, vocabulary_size: int = 1024, pretraining_steps: int = 120,
    search_steps: int = 40, targets: int = 16384,
) -> Outcome: ...
@overload
def experiment(name: Literal["attention-kinds"], config: AttentionKindsConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["induction"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, vocabulary_size: int = 1024, pretraining_steps: int = 2000, copies: int = 64,
) -> Outcome: ...
@overload
def experiment(name: Literal["induction"], config: InductionConfig, /) -> Outcome: ...
@overload
def experiment(
    name: Literal["patching"], *, out: str | Path | None = None, data: str | Path | None = None, full: bool = False,
    small: bool = False, replay: str | Path | None = None, seed: int = 0, seeds: int = 1, threads: int | None = None,
    force: bool = False, pretraining_steps: int = 1000, vocabulary_size: int = 2048, epochs: float = 2.0,
    pairs: int = 400,
) -> Outcome: ...
@overload
def experiment(name: Literal["patching"], config: PatchingConfig, /) -> Outcome: ...
