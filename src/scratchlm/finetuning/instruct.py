"""`scratchlm finetune instruct`: conversations in, a model that answers, and what it answered before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from rich.text import Text

from scratchlm.base.device import DTYPES, autocast
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.terminal import console, say
from scratchlm.data.batches import Batch, PackedBatches, masked_batch
from scratchlm.data.wordings import batches_of
from scratchlm.evaluation.text_metrics import TextScores, score_texts
from scratchlm.finetuning.config import InstructTrainingConfig
from scratchlm.finetuning.conversations import Messages, question_of, read_conversations
from scratchlm.finetuning.driver import FinetuneResult, KeepBest, Stage, finetune, open_model, within_context
from scratchlm.finetuning.recall import Recall, Recalled, recall
from scratchlm.finetuning.small import BY_REWORDINGS, SmallData, resolve_instruct
from scratchlm.finetuning.supervised import WrittenAnswer, answers_to, instruct_batches, rendered
from scratchlm.generation.language_model import LanguageModel
from scratchlm.model.decoder import Decoder
from scratchlm.reports.changes import BeforeAndAfter, first_changed, judge_answers
from scratchlm.runs.run import hold
from scratchlm.text.counts import Counts
from scratchlm.text.records import read_records
from scratchlm.text.sources import open_source
from scratchlm.text.split import parse_split, two_sides
from scratchlm.tokens.chat import ChatTemplate, Rendered
from scratchlm.training.loop import OnStep
from scratchlm.training.loss import next_token_loss
from scratchlm.weights.checkpoint import SavedModel

Conversations = tuple[str, list[Messages], list[Messages] | None]
"""The layout of a file, its conversations, and those of the file that is held out, if one is."""
SAMPLES = 12
"""Answers before and after that the report shows."""


@dataclass(frozen=True)
class AnsweredQuestion:
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
    exchanges: list[AnsweredQuestion]
    seconds: float
    split: str
    """What was held out: by which rule, or that it was a file."""
    verdict: str
    """Whether it learned, why that is said, and what to try where it did not."""
    recall: Recall | None
    """What a model of few conversations recalls; None without rewordings and general questions."""

    def lines(self) -> list[str]:
        """Return what a terminal shows before the last line."""
        cut = f"; {self.truncated:,} are longer than a row and were cut" if self.truncated else ""
        apart = f"{self.held_out:,} {'rewordings' if self.split == BY_REWORDINGS else 'conversations'}"
        lines = [
            f"{self.conversations:,} conversations ({self.layout}), held out: {apart}{cut}",
            *([] if self.recall is None else self.recall.lines()),
            f"held-out loss {self.loss_before:.3f} before, {self.loss:.3f} after (nats a token of the answers)",
            f"before: {self.before}",
            f"after:  {self.after}",
            self.kept(),
            self.verdict,
        ]
        for each in self.exchanges[:2]:
            texts = {"asked:  ": each.question, "before: ": each.before, "after:  ": each.after}
            lines += [f"{what}{_line(text)}" for what, text in texts.items()]
        return lines


def _compared(exchanges: Sequence[AnsweredQuestion]) -> list[BeforeAndAfter]:
    return [BeforeAndAfter(each.question, each.expected, each.before, each.after) for each in exchanges]


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else flat[:97] + "..."


def finetune_instruct(config: InstructTrainingConfig, on_step: OnStep | None = None) -> InstructResult | None:
    """Teach a model to answer and write its run folder; with `preview`, show tokens instead and return None.

    Raises `UserError` for data or a model that cannot be used, and `Interrupted` after Ctrl-C, with everything saved.
    """
    if not config.preview:
        return finetune(config, InstructStage, _read, on_step)
    with hold(config):
        preview(config)
    return None


class InstructStage(Stage[InstructTrainingConfig, InstructResult]):
    """Conversations packed into rows, the loss of what the assistant says, and its answers before and after."""

    kind = "instruct"

    def __init__(self, config: InstructTrainingConfig, model: SavedModel, data: Conversations) -> None:
        config = within_context(config, model)
        answers = model.template is not None
        model.template = model.template or ChatTemplate.suited_to(model.tokenizer)
        self.layout, conversations, held_out = data
        self.config = config = _resolved(config, model, conversations, answers)
        self.small, self.held_out, self.train = None, *_sides(config, conversations, held_out)
        if config.rewordings or config.general or config.split == BY_REWORDINGS:
            self.small = SmallData(config, model, self.train)
            self.small.answer_general(model)
            self.held_out = self.held_out or self.small.held_out
            packed: PackedBatches = self.small.batches(model)
        else:
            packed = instruct_batches(
                LanguageModel(model), self.train, config.training, config.seed, _rehearsed(config)
            )
        self.batches, self.samples, self.an_epoch = packed, packed.samples, batches_of(packed)
        self.held_samples = rendered(model.template, self.held_out)
        self.rows = _held_batches(self.held_samples, config, packed.pad)
        self.loss = next_token_loss

    def begin(self, model: SavedModel) -> None:
        """Answer, and measure the loss."""
        if self.small is not None:
            assert self.config.out is not None
            self.small.write(self.config.out)
            say(self._plan(self.small))
        self.before, self.recalled = self._answers(model)
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

    def result(self, kept: SavedModel, best: KeepBest, common: dict[str, Any]) -> InstructResult:
        """Answer again, and compare."""
        assert best.best is not None
        (after, recalled), longest = self._answers(kept), self.config.training.sequence_length + 1
        expected = [messages[-1]["content"].strip() for messages in self.held_out[: self.config.scored]]
        before_scores, after_scores = (
            score_texts([text for text, _ in answers], expected, [ended for _, ended in answers])
            for answers in (self.before, after)
        )
        exchanges = [
            AnsweredQuestion(messages[-2]["content"], wanted, one.text, other.text)
            for messages, wanted, one, other in zip(self.held_out, expected, self.before, after, strict=False)
        ]
        self.verdict = judge_answers(_compared(exchanges), self.loss_before, best.best, self.config.training.steps)
        return InstructResult(
            layout=self.layout,
            conversations=len(self.train),
            held_out=len(self.held_out),
            truncated=sum(len(sample.ids) > longest for sample in [*self.samples, *self.held_samples]),
            loss_before=self.loss_before,
            loss=best.best,
            before=before_scores,
            after=after_scores,
            exchanges=exchanges,
            split="file" if self.config.held_out is not None else self.config.split,
            verdict=f"{self.verdict.title}. {self.verdict.reason} {self.verdict.advice}".strip(),
            recall=None if self.small is None else recall(self.small, self.recalled, recalled),
            **common,
        )

    def shown(self, result: InstructResult) -> dict[str, Any]:
        """Return the verdict and some of the exchanges."""
        first = first_changed(_compared(result.exchanges))
        return {"shown": result.exchanges[:SAMPLES], "verdict": self.verdict, "first": first}

    def _answers(self, model: SavedModel) -> tuple[list[WrittenAnswer], Recalled]:
        """Answer the last question of each held-out conversation, and what shows what few conversations taught."""
        most = self.config.scored
        asked = [self.held_out[:most], *([] if self.small is None else self.small.asked)]
        answers = answers_to(model, [each for part in asked for each in part], self.config.reply_tokens)
        ends = list(accumulate((len(part) for part in asked), initial=0))
        held_out, *others = [answers[start:end] for start, end in pairwise(ends)]
        return held_out, [held_out, *others]

    def _plan(self, small: SmallData) -> str:
        """Say what is trained on, and in how many steps."""
        config, reworded = self.config, sum(len(each.rewordings) for each in small.wordings)
        return (
            f"{len(self.train):,} conversations with {reworded:,} rewordings, {len(small.general):,} general questions "
            f"with the model's own answers; {config.training.steps:,} steps\n"
            f"held out: {_described(config, len(self.held_out))}"
        )


def _described(config: InstructTrainingConfig, count: int) -> str:
    """Say what is held out."""
    if config.held_out is None and config.split == BY_REWORDINGS:
        return f"{count:,} rewordings, in forms that training never has; all answers are trained on"
    return f"{count:,} conversations, whose questions and answers training never has"


def _read(config: InstructTrainingConfig) -> Conversations:
    """Read the conversations, and those that are held out by a file of their own."""
    assert config.data is not None
    columns = (config.prompt_column, config.answer_column)
    numbers = [column for column in columns if column is not None]
    conversations, layout = read_conversations(read_records(config.data, numbers), *columns)
    if config.held_out is None:
        return layout.name, conversations, None
    return layout.name, conversations, read_conversations(read_records(config.held_out, numbers), *columns)[0]


def _resolved(
    config: InstructTrainingConfig, model: SavedModel, conversations: Sequence[Messages], answers: bool
) -> InstructTrainingConfig:
    """Return the settings of a new run with all that was left open; a resumed one has them."""
    if config.resume is not None:
        return config
    assert model.template is not None
    samples = rendered(model.template, conversations)
    return resolve_instruct(config, conversations, samples, model.decoder.config.layers, answers)


def _sides(
    config: InstructTrainingConfig, conversations: list[Messages], held_out: list[Messages] | None
) -> tuple[list[Messages], list[Messages]]:
    """Return what is held out, none where only rewordings are, and what is trained on."""
    if held_out is not None or config.split == BY_REWORDINGS:
        return held_out or [], conversations
    train, apart = two_sides(conversations, parse_split(config.split), question_of)
    return apart, train


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
            f"held-out conversations: none has an answer within {length} tokens; raise training.sequence_length, or "
            "hold out others (--split, --held-out)"
        )
    return [masked_batch(fitting[start : start + rows], length, pad) for start in range(0, len(fitting), rows)]


def preview(config: InstructTrainingConfig) -> None:
    """Show the tokens of some conversations, and their rewordings.

    Tokens that are learned are green, or stand in double brackets where there is no colour.
    """
    raise_all(config.missing())
    layout, conversations, held_out = _read(config)
    model = open_model(config)
    answers = model.template is not None
    model.template = template = model.template or ChatTemplate.suited_to(model.tokenizer)
    config = _resolved(config, model, conversations, answers)
    apart, train = _sides(config, conversations, held_out)
    small = SmallData(config, model, train)
    drawn = console(highlight=False, soft_wrap=True)
    described = _described(config, len(apart or small.held_out))
    drawn.print(f"{len(train):,} conversations in the layout {layout}; held out: {described}")
    plain = drawn.color_system is None or drawn.no_color
    if plain:
        drawn.print("[[learned tokens]] stand in double brackets", markup=False)
    names = {id: name for name, id in model.tokenizer.specials.items()}
    for wordings in small.wordings[: config.preview]:
        sample = template.render(wordings.messages)
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
        for row in wordings.rows():
            drawn.print(Text(f"{'held out' if row['held_out'] else 'reworded'}: {row['rewording']}"))
