"""`scratchlm finetune instruct`: conversations in, a model that answers, and what it answered before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.text import Text

from scratchlm.base.device import DTYPES, autocast
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.terminal import console
from scratchlm.data.batches import Batch, masked_batch
from scratchlm.evaluation.text_metrics import TextScores, score_texts
from scratchlm.finetuning.config import InstructTrainingConfig
from scratchlm.finetuning.conversations import Messages, question_of, read_conversations
from scratchlm.finetuning.instruct import instruct_batches, rendered
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.language_model import LanguageModel
from scratchlm.model.decoder import Decoder
from scratchlm.runs.finetuning import FinetuneResult, KeepBest, Stage, finetune, open_model, within_context
from scratchlm.runs.reports.changes import Answers, first_changed, judge_answers
from scratchlm.runs.runs import held
from scratchlm.text.counts import Counts
from scratchlm.text.records import read_records
from scratchlm.text.sources import open_source
from scratchlm.text.split import parse_split, two_sides
from scratchlm.tokens.chat import ChatTemplate, Rendered
from scratchlm.training.loop import OnStep
from scratchlm.training.loss import next_token_loss
from scratchlm.weights.checkpoint import SavedModel

Conversations = tuple[str, list[Messages], list[Messages]]
"""The layout of a file, the conversations to learn from, and those held out."""
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
class InstructResult(FinetuneResult):
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

    def lines(self) -> list[str]:
        """Return what a terminal shows before the last line."""
        cut = f"; {self.truncated:,} are longer than a row and were cut" if self.truncated else ""
        lines = [
            f"{self.conversations:,} conversations ({self.layout}), {self.held_out:,} held out{cut}",
            f"held-out loss {self.loss_before:.3f} before, {self.loss:.3f} after (nats a token of the answers)",
            f"before: {self.before}",
            f"after:  {self.after}",
            self.kept(),
        ]
        for each in self.exchanges[:2]:
            told = {"asked:  ": each.question, "before: ": each.before, "after:  ": each.after}
            lines += [f"{what}{_line(text)}" for what, text in told.items()]
        return lines


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else flat[:97] + "..."


def finetune_instruct(config: InstructTrainingConfig, on_step: OnStep | None = None) -> InstructResult | None:
    """Teach a model to answer and write its run folder; with `preview`, show tokens instead and return None.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    if not config.preview:
        return finetune(config, InstructStage, _read, on_step)
    with held(config):
        preview(config)
    return None


class InstructStage(Stage[InstructTrainingConfig, InstructResult]):
    """Conversations packed into rows, the loss of what the assistant says, and its answers before and after."""

    kind = "instruct"

    def __init__(self, config: InstructTrainingConfig, model: SavedModel, data: Conversations) -> None:
        self.config = config = within_context(config, model)
        model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
        self.layout, self.train, self.held_out = data
        told = _rehearsed(config)
        self.batches = packed = instruct_batches(LanguageModel(model), self.train, config.training, config.seed, told)
        self.samples = packed.samples
        self.held_samples = rendered(model.template, self.held_out)
        self.rows = _held_batches(self.held_samples, config, packed.pad)
        length = config.training.sequence_length
        tokens = sum(min(len(sample.ids) - 1, length) for sample in self.samples)
        self.an_epoch = max(1, round(tokens / (0.95 * length * config.training.batch_size)))  # rows are nearly full
        self.loss = next_token_loss

    def begin(self, model: SavedModel) -> None:
        """Answer, and measure the loss."""
        self.before = self._answers(model)
        self.loss_before = self.measure(model.decoder)["loss"]

    @torch.no_grad()
    def measure(self, decoder: Decoder) -> dict[str, float]:
        """Return the mean loss of the held-out answers' tokens."""
        decoder.eval()
        device, total = decoder.device, 0.0
        for batch in self.rows:
            with autocast(device, DTYPES[self.config.dtype]):
                total += float(next_token_loss(decoder, batch.to(device)))
        return {"loss": total / sum(batch.target_count for batch in self.rows)}

    def result(self, kept: SavedModel, best: KeepBest, told: dict[str, Any]) -> InstructResult:
        """Answer again, and compare."""
        assert best.best is not None
        after, longest = self._answers(kept), self.config.training.sequence_length + 1
        expected = [messages[-1]["content"].strip() for messages in self.held_out[: self.config.scored]]
        before_scores, after_scores = (
            score_texts([text for text, _ in answers], expected, [ended for _, ended in answers])
            for answers in (self.before, after)
        )
        return InstructResult(
            layout=self.layout,
            conversations=len(self.train),
            held_out=len(self.held_out),
            truncated=sum(len(sample.ids) > longest for sample in [*self.samples, *self.held_samples]),
            loss_before=self.loss_before,
            loss=best.best,
            before=before_scores,
            after=after_scores,
            exchanges=[
                Exchange(messages[-2]["content"], wanted, one[0], other[0])
                for messages, wanted, one, other in zip(self.held_out, expected, self.before, after, strict=False)
            ],
            **told,
        )

    def shown(self, result: InstructResult) -> dict[str, Any]:
        """Return the verdict and some of the exchanges."""
        answers = [Answers(each.question, each.expected, each.before, each.after) for each in result.exchanges]
        verdict = judge_answers(answers, result.loss_before, result.loss, self.config.epochs)
        return {"shown": result.exchanges[:SAMPLES], "verdict": verdict, "first": first_changed(answers)}

    def _answers(self, model: SavedModel) -> list[tuple[str, bool]]:
        """Answer the last question of each conversation greedily; tell whether the answer ended by itself."""
        assert model.template is not None
        room, most = model.decoder.config.context, self.config.reply_tokens
        prompts = [
            model.template.render(messages[:-1], reply=True).ids[-(room - 1) :]
            for messages in self.held_out[: self.config.scored]
        ]
        written = greedy_batch(model.decoder, prompts, most, model.stop_ids)
        return [
            (model.tokenizer.decode(ids).strip(), len(ids) < min(most, room - len(prompt)))
            for ids, prompt in zip(written, prompts, strict=True)
        ]


def _read(config: InstructTrainingConfig) -> Conversations:
    """Read the conversations and hold some out, by the hash of what is asked or from the end; tell their layout."""
    assert config.data is not None
    columns = (config.prompt_column, config.answer_column)
    numbers = [column for column in columns if column is not None]
    found, layout = read_conversations(read_records(config.data, numbers), *columns)
    if config.held_out is not None:
        return layout.name, found, read_conversations(read_records(config.held_out, numbers), *columns)[0]
    return layout.name, *two_sides(found, parse_split(config.split), question_of)


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


def preview(config: InstructTrainingConfig) -> None:
    """Show the tokens of some conversations: green ones, or those in double brackets without colour, are learned."""
    raise_all(config.missing())
    layout, train, held_out = _read(config)
    model = open_model(config)
    template = model.template or ChatTemplate.suited_to(model.tokenizer)
    drawn = console(highlight=False, soft_wrap=True)
    drawn.print(f"{len(train):,} conversations in the layout {layout}, {len(held_out):,} held out")
    plain = drawn.color_system is None or drawn.no_color
    if plain:
        drawn.print("[[learned tokens]] stand in double brackets", markup=False)
    names = {id: name for name, id in model.tokenizer.specials.items()}
    for messages in train[: config.preview]:
        sample = template.render(messages)
        line = Text()
        before = False
        for id, learned in zip(sample.ids, sample.mask, strict=True):
            if plain and learned != before:
                line.append("[[" if learned else "]]")
            before = learned
            spelled = names.get(id) or model.tokenizer.token_bytes(id).decode("utf-8", "replace")
            line.append(spelled, style="bold green" if learned else "dim")
            line.append("|", style="dim")
        drawn.print(line + Text("]]") if plain and before else line)
        drawn.print(f"{len(sample.ids)} tokens, of which {sum(sample.mask)} are learned", style="italic")
