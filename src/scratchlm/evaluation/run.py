"""`scratchlm evaluate`: bits per byte on held-out text, tasks, and two results side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scratchlm.base.config import from_dict, to_dict
from scratchlm.base.device import DTYPES, choose_device, machine, set_threads
from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.files import require_file_place, sha256_of
from scratchlm.base.result import Result
from scratchlm.base.terminal import console
from scratchlm.data.batches import ArrayTokens, Tokens
from scratchlm.data.prepared import data_folder
from scratchlm.data.shards import ShardSet
from scratchlm.evaluation.bits import HeldOutLoss, count_text_bytes, count_unknown, held_out_loss, token_nats
from scratchlm.evaluation.config import DEFAULT_NORMALISATIONS, EvaluateConfig
from scratchlm.evaluation.contamination import contamination
from scratchlm.evaluation.interpolation import NgramLoss, count_ngrams, ngram_loss
from scratchlm.evaluation.judge import judge_results
from scratchlm.evaluation.prompting import Prompting, ask
from scratchlm.evaluation.results import (
    ComparisonResult,
    TasksResult,
    compare_results,
    largest_gap,
    read_result,
    write_result,
)
from scratchlm.evaluation.scoring import TaskResult
from scratchlm.evaluation.tasks import EvaluationTask, read_task
from scratchlm.evaluation.work import Unknown, Work
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.simple import UNKNOWN
from scratchlm.training.loss import held_rows
from scratchlm.weights.checkpoint import HASHES_FILE, find_model, load_model
from scratchlm.weights.ensemble import load_network


@dataclass(frozen=True, repr=False)
class EvaluateResult(Result):
    """The loss of a model on a text."""

    model: str
    text: str
    held_out: HeldOutLoss
    documents: int
    seconds: float
    unknown: int = 0
    """Tokens that are `<|unk|>`."""
    ngrams: NgramLoss | None = None
    """With `--ngrams`: n-grams of the training side of the data, and the model interpolated with them."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        values = {"model": self.model, "text": self.text, "documents": self.documents, **self.held_out.as_dict()}
        counted = {} if self.ngrams is None else self.ngrams.as_dict()
        return {**values, **counted, "unknown": self.unknown, "seconds": self.seconds}

    def __rich__(self) -> str:
        scores = self.held_out
        sentence = (
            f"{scores.bits_per_byte:.4f} bits per byte, loss {scores.loss:.4f} nats a token, perplexity "
            f"{scores.perplexity:.2f}, over {scores.tokens:,} tokens ({scores.text_bytes:,} bytes, {self.documents:,} "
            f"documents), each predicted once; {self.seconds:.1f} s"
        )
        if self.ngrams is not None:
            alone, both = self.ngrams.alone, self.ngrams.interpolated
            sentence += (
                f"\n{self.ngrams.order}-grams of the training side alone: {alone.bits_per_byte:.4f} bits per byte; the "
                f"model interpolated with them: {both.bits_per_byte:.4f} (weight of the n-grams at the end: "
                f"{self.ngrams.weight:.2f})"
            )
        unknown = (
            f"\n{self.unknown:,} of the tokens are {UNKNOWN}, words outside the vocabulary: they count no bytes, "
            "and bits per byte cannot be compared with other tokenizers"
        )
        return sentence + unknown if self.unknown else sentence


@dataclass(frozen=True, repr=False)
class ReplayResult(Result):
    """A result that was reproduced."""

    result: str
    items: int
    largest_gap: float
    """Largest difference of a log-likelihood, in nats."""

    def __rich__(self) -> str:
        return (
            f"{self.result}: {self.items:,} items have the same results; log-likelihoods differ by at most "
            f"{self.largest_gap:.1e} nats"
        )


def evaluate(config: EvaluateConfig) -> EvaluateResult | TasksResult | ComparisonResult | ReplayResult:
    """Measure bits per byte or tasks, compare two results, or replay one.

    Raises `UserError` when model, tokenizer and data do not belong together, or there is nothing to measure on.
    """
    if config.compare is not None:
        first, second = (read_result(path) for path in config.compare)
        compared = compare_results(first, second)
        if config.judge is not None:
            compared.judged = judge_results(first, second, Endpoint(config.judge, config.judge_model))
        return compared
    if config.replay is not None:
        return _replay(config)
    return evaluate_tasks(config) if config.task else evaluate_text(config)


def evaluate_text(config: EvaluateConfig) -> EvaluateResult:
    """Score every token of the held-out part of `config.data`, or of the documents of `config.text`, in fp32."""
    started = time.perf_counter()
    set_threads(config.threads)
    assert config.model is not None
    network, tokenizer, models = load_network(config.model)
    tokens: Tokens
    if config.data is not None:
        shards = ShardSet.open(data_folder(config.data), "validation", tokenizer)
        tokens, documents, name = shards, len(shards.document_starts), str(config.data)
    else:
        tokens, documents = _encode(config, tokenizer)
        name = str(config.text)
    if len(tokens) == 0:
        raise UserError(f"{name}: holds no token to predict; name a text that is not empty")
    network.to(choose_device(config.device))
    counted = None
    if config.ngrams is None:
        held_out = held_out_loss(network, tokenizer, tokens)
    else:
        assert config.data is not None
        training = ShardSet.open(data_folder(config.data), "train", tokenizer)
        ngrams = count_ngrams(training, tokenizer, config.ngrams)
        rows = held_rows(network.config.vocabulary_size, torch.float32) // network.config.context
        nats = token_nats(network, tokenizer, tokens, rows=min(max(rows, 1), 16))
        held_out = HeldOutLoss(float(nats.sum()), len(nats), count_text_bytes(tokens, tokenizer))
        counted = ngram_loss(nats, ngrams, tokenizer, tokens, held_out.text_bytes)
    unknown = count_unknown(tokens, tokenizer)
    described = str(models[0]) if len(models) == 1 else f"{config.model}: {len(models)} models as one"
    return EvaluateResult(described, name, held_out, documents, time.perf_counter() - started, unknown, counted)


def _encode(config: EvaluateConfig, tokenizer: Tokenizer) -> tuple[ArrayTokens, int]:
    """Encode all documents of a text, each ended by the end-of-text token where the tokenizer has one."""
    source = open_source(str(config.text), text_column=config.text_column)
    rows: list[np.ndarray] = []
    documents, counts = 0, Counts()
    for document in source.documents(counts):
        ids = tokenizer.encode(document.text)
        if not document.continued:
            documents += 1
            ids = ids if tokenizer.end_of_text is None else [*ids, tokenizer.end_of_text]
        rows.append(np.array(ids, dtype=np.int64))
    counts.warn()
    return ArrayTokens(np.concatenate(rows)), documents


def evaluate_tasks(config: EvaluateConfig, stored: Sequence[TaskResult] = ()) -> TasksResult:
    """Score the model on all tasks; with `config.out`, write the result file.

    `stored` are the results to replay, one for each task: answers without a prompt follow the same token as there.
    """
    started = time.perf_counter()
    set_threads(config.threads)
    assert config.model is not None
    tasks = [read_task(spec) for spec in config.task]  # first, so that errors in files show before the model is loaded
    examples = {task.name: task for task in map(read_task, config.example)}
    if config.out is not None:
        require_file_place(config.out)
    folder = find_model(config.model)
    model = load_model(folder)
    model.decoder.to(choose_device(config.device))
    same = ("shots", "limit", "chat", "answer_tokens", "rows", "seed", "text_column", "label_column")
    prompting = Prompting(
        **{name: getattr(config, name) for name in same},
        normalisations=config.normalisation or DEFAULT_NORMALISATIONS,
        dtype=DTYPES[config.dtype],
    )
    digest = digest_of(folder)
    work = Work(None if config.out is None else config.out.with_name(f"{config.out.name}.partial"), digest)
    results: list[TaskResult] = []

    def result() -> TasksResult:
        settings = to_dict(dataclasses.replace(config, out=None, json=False))
        return TasksResult(str(folder), digest, settings, machine(), results, round(time.perf_counter() - started, 2))

    starts = [model.tokenizer.specials.get(each.start) for each in stored] or [None] * len(tasks)
    for task, start in zip(tasks, starts, strict=True):
        drawn_from = examples[task.name].items if task.name in examples else None
        asked = dataclasses.replace(prompting, examples=drawn_from, start=start, work=work)
        try:
            scored = ask(model, task, asked, control=config.shuffled)
        except (Interrupted, KeyboardInterrupt):
            work.save()
            with contextlib.suppress(Unknown):
                work.ended = True
                results.append(ask(model, task, asked))
            raise Interrupted(_stopped(result(), work)) from None
        if config.trained_on and task.items:
            scored.contaminated = contamination(task, config.trained_on)
        scored.digest = _digest(task, examples.get(task.name))
        results.append(scored)
    finished = result()
    if config.out is not None:
        write_result(config.out, finished)
        work.discard()
    return finished


def _stopped(partial: TasksResult, work: Work) -> str:
    """Show the scores of what was finished on stderr, and return what is said of the rest."""
    if partial.tasks:
        print("partial scores, of the items that were finished (long ones come first):", file=sys.stderr)
        console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(partial)
    if work.path is None:
        return "interrupted; nothing is kept without --out FILE"
    if not work.known:
        return "interrupted before anything was computed"
    return f"interrupted; what was computed is in {work.path}: the same command goes on from there"


def _digest(task: EvaluationTask, examples: EvaluationTask | None) -> str:
    """Return a hash of a task's files and of the files of its few-shot examples."""
    return task.digest if examples is None else f"{task.digest}+{examples.digest}"


def digest_of(folder: Path) -> str:
    """Return a hash of a model folder: of the file that lists the hashes of its files."""
    return sha256_of(folder / HASHES_FILE)


def _replay(config: EvaluateConfig) -> ReplayResult:
    """Evaluate again with the settings of a result file; every result must be the same."""
    assert config.replay is not None
    stored, where = read_result(config.replay), f"--replay {config.replay}"
    again = from_dict(EvaluateConfig, stored.settings, str(config.replay), None)
    again = dataclasses.replace(again, model=config.model or Path(stored.model), trained_on=())
    assert again.model is not None
    if digest_of(find_model(again.model)) != stored.model_digest:
        raise UserError(f"{where}: {again.model} is not the model that was measured; name the right one")
    if len(again.task) != len(stored.tasks):
        raise UserError(f"{where}: has {len(stored.tasks)} results for {len(again.task)} tasks; evaluate again")
    examples = {task.name: task for task in map(read_task, again.example)}
    for spec, task in zip(again.task, stored.tasks, strict=True):
        if _digest(read_task(spec), examples.get(task.name)) != task.digest:
            raise UserError(f"{where}: {spec} has other items than were measured; restore the old file")
    result = evaluate_tasks(again, stored.tasks)
    items = sum(task.items for task in result.tasks)
    return ReplayResult(str(config.replay), items, largest_gap(stored.tasks, result.tasks))
