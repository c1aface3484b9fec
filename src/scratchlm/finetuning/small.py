"""What few rows need: enough steps. Few conversations also need rewordings, and what the model knew before.

Forty questions in packed rows fill three steps of an epoch, and three epochs change nothing. One wording of a question,
seen often, is learned as that sentence alone. And a model that reads nothing else answers all questions with what it
read. So small data get steps by a rule, rewordings, and general questions with the model's own answers. Few labelled
texts get steps by a rule too.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from scratchlm.base.files import write_text
from scratchlm.base.runfolder import GENERAL_FILE, REWORDINGS_FILE
from scratchlm.base.terminal import say
from scratchlm.data.wordings import WordingBatches
from scratchlm.finetuning.config import ClassifyTrainingConfig, FinetuneConfig, InstructTrainingConfig
from scratchlm.finetuning.conversations import Messages, exchange, question_of
from scratchlm.finetuning.rewording import Rewording
from scratchlm.finetuning.supervised import WrittenAnswer, answers_to, wording_batches
from scratchlm.text.config import AUTO
from scratchlm.text.records import read_records
from scratchlm.text.split import split_of_rows
from scratchlm.tokens.chat import Rendered
from scratchlm.weights.checkpoint import SavedModel

MOST_CONVERSATIONS = 300
"""Conversations of small data at most: of more, three epochs are enough steps."""
MOST_TOKENS = 30_000
"""Tokens of small data at most."""
SEEN = 1200
"""Conversations that a run on small data learns in all, counted each time: of forty, each thirty times."""
SEEN_LEAST, SEEN_MOST = 8, 60
"""Bounds of how often each is seen."""
REWORDINGS = 16
MOST_WORDS = 40
"""Words of a question that is reworded."""
GENERAL = 0.25
GENERAL_TOKENS = 32
"""Most tokens of a general answer; what is longer is rehearsed without its end."""
SPARE_TOKENS = 16
"""By how many tokens an answer that is compared may be longer than the longest of the data."""
TOKENS_A_STEP = 512
RATE = 2e-3
"""Learning rate of adapters, which begin in the middle layer; all weights keep the usual rate."""
MOST_TEXTS = 300
"""Labelled texts of small data at most."""
TEXTS_A_STEP, LEAST_STEPS, MOST_EPOCHS = 8, 150, 30.0
"""Of few labelled texts: how many a step has, and in how many steps they are seen, `MOST_EPOCHS` times at most."""
BY_REWORDINGS = "rewordings"
"""The split that holds out a rewording of each question instead of whole conversations."""
C = TypeVar("C", bound=FinetuneConfig)


def resolve_instruct(
    config: InstructTrainingConfig,
    conversations: Sequence[Messages],
    samples: Sequence[Rendered],
    layers: int,
    answers: bool,
) -> InstructTrainingConfig:
    """Return the settings with all that was left open; what was given stays.

    `samples` are the conversations as tokens, `layers` is how many the model has. `answers` says whether it has learned
    to answer before, so that its own answers are worth keeping. Data are small up to `MOST_CONVERSATIONS` and
    `MOST_TOKENS`.
    """
    usual, tokens = InstructTrainingConfig(), sum(len(sample.ids) for sample in samples)
    small = len(conversations) <= MOST_CONVERSATIONS and tokens <= MOST_TOKENS and config.rehearse is None
    rewordings = config.rewordings if config.rewordings is not None else REWORDINGS if small else 0
    general = config.general if config.general is not None else GENERAL if small and answers else 0.0
    seen = min(max(SEEN / len(conversations), SEEN_LEAST), SEEN_MOST) if small else 3.0
    reworded = small and any(map(can_be_reworded, conversations))
    split = BY_REWORDINGS if reworded else split_of_rows(AUTO, len(conversations))
    config = dataclasses.replace(
        config,
        rewordings=rewordings,
        general=general,
        epochs=config.epochs or seen,
        split=split if config.split == AUTO and config.held_out is None else config.split,
    )
    if not small:
        return config
    if config.reply_tokens == usual.reply_tokens and "reply_tokens" not in config.origins:
        longest = max(sum(sample.mask) for sample in samples)
        config = dataclasses.replace(config, reply_tokens=min(config.reply_tokens, longest + SPARE_TOKENS))
    return _for_few(config, max(1, TOKENS_A_STEP // config.training.sequence_length), layers)


def resolve_classify(config: ClassifyTrainingConfig, texts: int, rows: int, layers: int) -> ClassifyTrainingConfig:
    """Return the settings with the epochs that were left open, and of at most `MOST_TEXTS` texts all that suits few.

    `texts` counts those to train and to choose on; `rows` are those to train on, of a long text perhaps several.
    """
    if texts > MOST_TEXTS:
        return dataclasses.replace(config, epochs=config.epochs or 3.0)
    config = _for_few(config, TEXTS_A_STEP, layers)
    an_epoch = math.ceil(rows / config.training.batch_size)
    return dataclasses.replace(config, epochs=config.epochs or min(max(3.0, LEAST_STEPS / an_epoch), MOST_EPOCHS))


def _for_few(config: C, rows: int, layers: int) -> C:
    """Return the settings with batches of `rows`, and adapters that learn fast, where nothing else was asked for."""
    usual, training, adapter = type(config)(), config.training, config.adapter

    def is_open(name: str) -> bool:
        """Return whether a setting has its usual value, and neither it nor what it is part of was given."""
        is_explicit = any(f"{name}.".startswith(f"{each}.") for each in config.origins)
        return not is_explicit and attrgetter(name)(config) == attrgetter(name)(usual)

    if is_open("training.batch_size"):
        training = dataclasses.replace(training, batch_size=rows)
    alike = type(training.optimizer) is type(usual.training.optimizer)
    if config.lora and alike and is_open("training.optimizer.learning_rate"):
        optimizer = dataclasses.replace(training.optimizer, learning_rate=RATE)
        training = dataclasses.replace(training, optimizer=optimizer)
    if config.lora and is_open("adapter.first_layer"):
        adapter = dataclasses.replace(adapter, first_layer=layers // 2)
    return dataclasses.replace(config, training=training, adapter=adapter)


def general_prompts() -> tuple[list[str], list[str]]:
    """Return general questions and requests to rehearse with the model's own answers, and others to ask afterwards."""
    text = (resources.files("scratchlm.finetuning") / "general_prompts.txt").read_text(encoding="utf-8")
    prompts = text.splitlines()
    return [each for at, each in enumerate(prompts) if at % 5], prompts[::5]


@dataclass(frozen=True)
class Wordings:
    """A conversation with rewordings of its question, of which training has all but one."""

    messages: Messages
    rewordings: list[Messages]
    held_out: Messages | None
    """None where the rules find no rewording."""

    def rows(self) -> list[dict[str, Any]]:
        """Return what a user may look at, a row for each rewording."""
        question = question_of(self.messages)
        apart = [] if self.held_out is None else [self.held_out]
        return [
            {"question": question, "rewording": question_of(each), "held_out": each is self.held_out}
            for each in (*self.rewordings, *apart)
        ]


def can_be_reworded(messages: Messages) -> bool:
    """Return whether a conversation has one question, and a short one."""
    users = [each["content"] for each in messages if each["role"] == "user"]
    return len(users) == 1 and len(users[0].split()) <= MOST_WORDS


def wordings_of(conversations: Sequence[Messages], count: int, seed: int, *, hold_out: bool) -> list[Wordings]:
    """Reword the questions of conversations that have one exchange and a short question; others stay alone."""
    questions = [question_of(one) for one in conversations]
    rules = Rewording.of(questions)
    wordings = []
    for messages, question in zip(conversations, questions, strict=True):
        fits = can_be_reworded(messages)
        texts = rules.reword(question, count if fits else 0, seed)
        apart = rules.reword(question, 4 if fits and hold_out else 0, seed, held_out=True)
        unseen = next((_asked(messages, text) for text in apart if text not in texts), None)
        wordings.append(Wordings(messages, [_asked(messages, text) for text in texts], unseen))
    return wordings


def _asked(messages: Messages, text: str) -> Messages:
    return [{**each, "content": text} if each["role"] == "user" else each for each in messages]


class SmallData:
    """Conversations in all their wordings, with general ones between."""

    def __init__(self, config: InstructTrainingConfig, model: SavedModel, conversations: Sequence[Messages]) -> None:
        """Reword the questions, and let the model answer general ones; a resumed run reads what it had."""
        assert config.out is not None or config.preview
        assert config.rewordings is not None
        self.config, self.conversations = config, conversations
        by_rewordings = config.split == BY_REWORDINGS and config.held_out is None
        self.wordings: list[Wordings] = wordings_of(
            conversations, config.rewordings, config.seed, hold_out=by_rewordings
        )
        self.held_out = [each.held_out for each in self.wordings if each.held_out is not None]
        asked = {question_of(each).casefold().strip() for each in conversations}
        rehearsed, self.apart = general_prompts() if config.general else ([], [])
        self.prompts = [each for each in rehearsed if each.casefold() not in asked]
        self.general: list[WrittenAnswer] = []

    def answer_general(self, model: SavedModel) -> None:
        """Let the model answer the general questions, unless the run to resume has its answers."""
        path = None if self.config.resume is None else self.config.resume / GENERAL_FILE
        if path is not None and path.exists():
            answered = path.stat().st_size > 0  # a model may have answered nothing at all
            rows = [record.values for record in read_records(path)] if answered else []
            self.general = [WrittenAnswer(row["answer"], row["ended"]) for row in rows]
            self.prompts = [row["question"] for row in rows]
        elif self.prompts:
            say(f"answering {len(self.prompts)} general questions, to be rehearsed")
            answers = answers_to(model, [_question(each) for each in self.prompts], GENERAL_TOKENS)
            pairs = [(q, a) for q, a in zip(self.prompts, answers, strict=True) if a.text]
            self.prompts, self.general = [q for q, _ in pairs], [a for _, a in pairs]

    def batches(self, model: SavedModel) -> WordingBatches:
        """Return the batches of training."""
        fraction = self.config.general or 0.0
        others = round(len(self.wordings) * fraction / (1 - fraction)) if self.general else 0
        general = [(exchange(q, a.text), a.ended) for q, a in zip(self.prompts, self.general, strict=True)]
        said = [[each.messages, *each.rewordings] for each in self.wordings]
        return wording_batches(model, said, general, others, self.config.training, self.config.seed)

    def write(self, out: Path) -> None:
        """Write the rewordings and the general answers into the run's folder, to be looked at."""
        _write_rows(out / REWORDINGS_FILE, (row for each in self.wordings for row in each.rows()))
        rows = zip(self.prompts, self.general, strict=True)
        _write_rows(out / GENERAL_FILE, ({"question": q, "answer": a.text, "ended": a.ended} for q, a in rows))

    @property
    def asked(self) -> list[list[Messages]]:
        """What is answered before and after beside what is held out: the training questions, and general ones."""
        return [list(self.conversations[: self.config.scored]), [_question(each) for each in self.apart]]


def _question(text: str) -> Messages:
    return exchange(text, "-")  # the answer is not read


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
