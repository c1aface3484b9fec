"""`scratchlm finetune instruct`: conversations in, a model that answers, and what it answered before and after."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.text import Text

from scratchlm.base.device import DTYPES, autocast, choose_device
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.result import Result
from scratchlm.base.terminal import console
from scratchlm.data.batches import Batch, masked_batch
from scratchlm.evaluation.text_metrics import TextScores, score_texts
from scratchlm.finetuning.config import InstructTrainingConfig
from scratchlm.finetuning.conversations import Messages, question_of, read_conversations
from scratchlm.finetuning.instruct import instruct_batches, rendered
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.language_model import LanguageModel
from scratchlm.model.decoder import Decoder
from scratchlm.runs.finetuning import KeepBest, begin, equip, kept_line, open_model, resolved, train, within_context
from scratchlm.runs.reports.page import write_report
from scratchlm.runs.runs import end_run, holds_run, write_run_result
from scratchlm.text.counts import Counts
from scratchlm.text.records import read_records
from scratchlm.text.sources import open_source
from scratchlm.text.split import parse_split, two_sides
from scratchlm.tokens.chat import ChatTemplate, Rendered
from scratchlm.training.loss import next_token_loss
from scratchlm.weights.checkpoint import SavedModel

SAMPLES = 12
"""Answers before and after that the report shows."""


@dataclass(frozen=True)
class Exchange:
    """A held-out question with the answer that was expected, and those of the model before and after."""

    question: str
    expected: str
    before: str
    after: str


@dataclass(repr=False)
class InstructResult(Result):
    """What came out, on the held-out conversations."""

    out: str
    layout: str
    conversations: int
    held_out: int
    truncated: int
    """Conversations longer than a row: their ends are not learned."""
    step: int
    steps: int
    chosen: bool
    loss_before: float
    loss: float
    before: TextScores
    after: TextScores
    exchanges: list[Exchange]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"format": 1, **dataclasses.asdict(self)}

    def __rich__(self) -> str:
        lines = [
            f"{self.conversations:,} conversations ({self.layout}), {self.held_out:,} held out"
            + (f"; {self.truncated:,} are longer than a row and were cut" if self.truncated else ""),
            f"held-out loss {self.loss_before:.3f} before, {self.loss:.3f} after (nats a token of the answers)",
            f"before: {self.before}",
            f"after:  {self.after}",
            kept_line(self.step, self.steps, self.chosen, "loss was the lowest"),
        ]
        for each in self.exchanges[:2]:
            lines += [
                f"asked:  {_line(each.question)}",
                f"before: {_line(each.before)}",
                f"after:  {_line(each.after)}",
            ]
        return "\n".join([*lines, f"{self.seconds:.0f} s; model in {self.out}/model, report in {self.out}/report.html"])


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else flat[:97] + "..."


@dataclass(frozen=True)
class Taught:
    """Conversations of both sides."""

    layout: str
    train: list[Messages]
    held_out: list[Messages]


@holds_run
def finetune_instruct(config: InstructTrainingConfig) -> InstructResult | None:
    """Teach a model to answer and write its run folder; with `preview`, show tokens instead and return None.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    started = time.perf_counter()
    if config.preview:
        preview(config)
        return None
    config = resolved(config)
    model = open_model(config)
    config = within_context(config, model)
    model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
    taught = _read(config)
    equip(model, config)
    batches = instruct_batches(LanguageModel(model), taught.train, config.training, config.seed, _rehearsed(config))
    held = rendered(model.template, taught.held_out)
    rows = _held_batches(held, config, batches.pad)
    count = _batches_an_epoch(batches.samples, config)
    config = begin(config, model, batches, count, next_token_loss)
    before = _answers(model, taught.held_out, config)
    best = KeepBest(model, config, lambda decoder: _measure(decoder, rows, config), "loss", higher=False)
    loss_before = _measure(model.decoder.to(choose_device(config.device)), rows, config)["loss"]
    kept = train("instruct", config, model, batches, next_token_loss, best)
    after = _answers(kept, taught.held_out, config)
    expected = [messages[-1]["content"].strip() for messages in taught.held_out[: config.scored]]
    assert best.best is not None
    result = InstructResult(
        out=str(config.out),
        layout=taught.layout,
        conversations=len(taught.train),
        held_out=len(taught.held_out),
        truncated=sum(len(sample.ids) > config.training.sequence_length + 1 for sample in [*batches.samples, *held]),
        step=best.step,
        steps=config.training.steps,
        chosen=config.keep == "best",
        loss_before=loss_before,
        loss=best.best,
        before=_scored(before, expected),
        after=_scored(after, expected),
        exchanges=[
            Exchange(messages[-2]["content"], wanted, one[0], other[0])
            for messages, wanted, one, other in zip(taught.held_out, expected, before, after, strict=False)
        ],
        seconds=time.perf_counter() - started,
    )
    _finish(config, result)
    return result


def _read(config: InstructTrainingConfig) -> Taught:
    """Read the conversations and hold some out, by the hash of what is asked or from the end."""
    assert config.data is not None
    found, layout = read_conversations(read_records(config.data))
    if config.held_out is not None:
        return Taught(layout.name, found, read_conversations(read_records(config.held_out))[0])
    return Taught(layout.name, *two_sides(found, parse_split(config.split), question_of))


def _rehearsed(config: InstructTrainingConfig) -> list[str]:
    if config.rehearse is None:
        return []
    counts = Counts()
    texts = [document.text for document in open_source(str(config.rehearse)).documents(counts)]
    counts.warn()
    return texts


def _held_batches(samples: Sequence[Rendered], config: InstructTrainingConfig, pad: int) -> list[Batch]:
    """Lay held-out conversations into batches, those of like length together."""
    length, rows = config.training.sequence_length, config.training.batch_size
    fitting = sorted((sample for sample in samples if any(sample.mask[1 : length + 1])), key=lambda s: len(s.ids))
    if not fitting:
        raise UserError(
            f"held-out conversations: none has an answer within {length} tokens; raise training.sequence_length"
        )
    return [masked_batch(fitting[start : start + rows], length, pad) for start in range(0, len(fitting), rows)]


def _batches_an_epoch(samples: Sequence[Rendered], config: InstructTrainingConfig) -> int:
    """Estimate how many batches hold all conversations once."""
    length = config.training.sequence_length
    tokens = sum(min(len(sample.ids) - 1, length) for sample in samples)
    return max(1, round(tokens / (0.95 * length * config.training.batch_size)))


@torch.no_grad()
def _measure(decoder: Decoder, held: Sequence[Batch], config: InstructTrainingConfig) -> dict[str, float]:
    """Return the mean loss of the held-out answers' tokens."""
    decoder.eval()
    device, total = decoder.embedding.weight.device, 0.0
    for batch in held:
        with autocast(device, DTYPES[config.dtype]):
            total += float(next_token_loss(decoder, batch.to(device)))
    return {"loss": total / sum(batch.target_count for batch in held)}


def _answers(
    model: SavedModel, conversations: Sequence[Messages], config: InstructTrainingConfig
) -> list[tuple[str, bool]]:
    """Answer the last question of each conversation greedily; tell whether the answer ended by itself."""
    assert model.template is not None
    model.decoder.to(choose_device(config.device))
    room = model.decoder.config.context
    prompts = [
        model.template.render(messages[:-1], reply=True).ids[-(room - 1) :]
        for messages in conversations[: config.scored]
    ]
    written = greedy_batch(model.decoder, prompts, config.reply_tokens, model.stop_ids)
    return [
        (model.tokenizer.decode(ids).strip(), len(ids) < min(config.reply_tokens, room - len(prompt)))
        for ids, prompt in zip(written, prompts, strict=True)
    ]


def _scored(answers: Sequence[tuple[str, bool]], expected: Sequence[str]) -> TextScores:
    return score_texts([text for text, _ in answers], expected, [ended for _, ended in answers])


def _finish(config: InstructTrainingConfig, result: InstructResult) -> None:
    """Write result and report."""
    assert config.out is not None
    write_run_result(config.out, result.as_dict())
    kept = kept_line(result.step, result.steps, result.chosen, "loss was the lowest")
    write_report(config.out, "instruct.jinja", result=result, kept=kept, shown=result.exchanges[:SAMPLES])
    end_run(config.out)


def preview(config: InstructTrainingConfig) -> None:
    """Show the tokens of some conversations: green ones are learned, grey ones are read."""
    raise_all(config.missing())
    model = open_model(config)
    template = model.template or ChatTemplate.suited_to(model.tokenizer)
    taught = _read(config)
    drawn = console(highlight=False, soft_wrap=True)
    drawn.print(f"{len(taught.train):,} conversations in the layout {taught.layout}, {len(taught.held_out):,} held out")
    names = {id: name for name, id in model.tokenizer.specials.items()}
    for messages in taught.train[: config.preview]:
        sample = template.render(messages)
        line = Text()
        for id, learned in zip(sample.ids, sample.mask, strict=True):
            spelled = names.get(id) or model.tokenizer.token_bytes(id).decode("utf-8", "replace")
            line.append(spelled, style="bold green" if learned else "dim")
            line.append("|", style="dim")
        drawn.print(line)
        learned_count = sum(sample.mask)
        drawn.print(f"{len(sample.ids)} tokens, of which {learned_count} are learned", style="italic")
