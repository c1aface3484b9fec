"""Conversations made of a user's own documents: by templates, or by a model behind an endpoint.

A template is two texts with slots. What it asks can be answered from the documents alone, so nothing is made up:

    {passage}   whole sentences of one paragraph       {mixed}  the same in another order
    {before}    all of them but the last               {next}   the last
    {sentence}  one of them                            {word}   a word of it
    {blank}     the sentence with ___ for the word
    {statement} a sentence of the form `X is a Y.`, with {subject} its X and {verb} its is, are, was or were
"""

from __future__ import annotations

import random
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.base.config import read_toml
from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import UserError, nearest, raise_all
from scratchlm.finetuning.conversations import exchange
from scratchlm.text.duplicates import NearDuplicates
from scratchlm.text.passages import content_words, passages_of

SLOTS = ("passage", "mixed", "before", "next", "sentence", "word", "blank", "statement", "subject", "verb")
_TELLS = re.compile(r"^((?:The |An? )?[A-Z]?[\w'-]+(?: [\w'-]+){0,3}) (is|are|was|were) (?:an? |the )")
_STARTS = frozenset(
    ["It", "This", "That", "These", "Those", "There", "He", "She", "They", "We", "I", "You", "What", "Here", "One"]
)
"""Words that point elsewhere: what they refer to is in another sentence."""
_REPLY = re.compile(r"Question:\s*(.+?)\s*Answer:\s*(.+)", re.DOTALL)
ASKED = (
    "Write one question that the passage answers, and the answer in a sentence or two, from the passage alone. "
    "Reply in exactly two lines:\nQuestion: ...\nAnswer: ...\n\nPassage:\n"
)


@dataclass(frozen=True)
class Template:
    """What the user says and what the assistant answers, with slots."""

    name: str
    user: str
    assistant: str

    @property
    def slots(self) -> set[str]:
        """The names of its slots."""
        parsed = [piece for text in (self.user, self.assistant) for piece in string.Formatter().parse(text)]
        if any(name is not None and (form or conversion) for _, name, form, conversion in parsed):
            raise ValueError("a slot is its name alone, without ! or :")
        return {name for _, name, _, _ in parsed if name is not None}


TEMPLATES = (
    Template("continue", "What comes next in this text?\n\n{before}", "{next}"),
    Template("continue", "{before}\n\nWrite the next sentence.", "{next}"),
    Template("gap", "Which word is missing?\n\n{blank}", "{word}"),
    Template("gap", "Fill the gap: {blank}", "{word}"),
    Template("order", "Put these sentences into the right order:\n\n{mixed}", "{passage}"),
    Template("definition", "What {verb} {subject}?", "{statement}"),
    Template("definition", "Tell me what {subject} {verb}.", "{statement}"),
)


def read_templates(path: Path) -> list[Template]:
    """Read templates of a TOML file: `[[template]]` with name, user and assistant.

    Raises `UserError` with all that is missing, empty or unknown.
    """
    rows = read_toml(path).get("template")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: holds no [[template]]; give at least one, with user and assistant")
    templates, problems = [], []
    for number, row in enumerate(rows, 1):
        place = f"{path}, template {number}"
        texts = [row.get(side) if isinstance(row, dict) else None for side in ("user", "assistant")]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            problems.append(f"{place}: user and assistant must both be texts")
            continue
        template = Template(str(row.get("name", number)), *map(str, texts))
        try:
            unknown = sorted(template.slots - set(SLOTS))
            problems += [f"{place}: slot {name!r}, {nearest(name, SLOTS)}" for name in unknown]
        except ValueError as error:
            problems.append(f"{place}: {error}; write a brace that is no slot twice")
        templates.append(template)
    raise_all(problems)
    return templates


class Keeper:
    """Takes conversations that are like none before, and keeps account of what was left out."""

    def __init__(self, threshold: float, limit: int | None) -> None:
        self.limit = limit
        self.conversations: list[dict[str, Any]] = []
        self.by_template: Counter[str] = Counter()
        self.near_duplicates = self.passages = 0
        self.unusable = 0  # replies of an endpoint without a question and an answer
        self._seen = NearDuplicates(threshold) if threshold else None
        self._exact: set[tuple[str, str]] = set()

    @property
    def full(self) -> bool:
        """Whether there are as many as were asked for."""
        return self.limit is not None and len(self.conversations) >= self.limit

    def take(self, user: str, assistant: str, source: str, template: str) -> None:
        """Keep a conversation, unless one like it was kept."""
        pair = (user, assistant)
        if pair in self._exact or (self._seen is not None and self._seen.seen(f"{user}\n{assistant}")):
            self.near_duplicates += 1
            return
        self._exact.add(pair)
        self.conversations.append({"messages": exchange(user, assistant), "source": source, "template": template})
        self.by_template[template] += 1


def from_templates(
    texts: Iterable[tuple[str, str]], templates: Sequence[Template], keeper: Keeper, most: int, seed: int
) -> None:
    """Make at most `most` conversations of each document, given as text and name; the same ones for the same seed."""
    for text, source in texts:
        draw = random.Random(f"{seed} {source} {len(text)}")
        passages = list(passages_of(text))
        keeper.passages += len(passages)
        draw.shuffle(passages)
        begun = len(keeper.conversations)
        for passage in passages:
            if keeper.full or len(keeper.conversations) - begun >= most:
                break
            filled = list(_filled(passage, templates, draw))
            if filled:
                kind = draw.choice(sorted({name for name, _, _ in filled}))
                template, user, assistant = draw.choice([each for each in filled if each[0] == kind])
                keeper.take(user, assistant, source, template)
        if keeper.full:
            return


def _filled(
    passage: Sequence[str], templates: Sequence[Template], draw: random.Random
) -> Iterator[tuple[str, str, str]]:
    """Yield the templates for which a passage has something in every slot, filled."""
    slots = slots_of(passage, draw)
    for template in templates:
        if template.slots <= slots.keys():
            yield template.name, template.user.format(**slots), template.assistant.format(**slots)


def slots_of(passage: Sequence[str], draw: random.Random) -> dict[str, str]:
    """Return what a passage has to put into slots."""
    sentence = draw.choice(list(passage))
    slots = {"sentence": sentence, "passage": " ".join(passage)}
    words = content_words(sentence)
    if words:
        word = draw.choice(words)
        slots |= {"word": word, "blank": re.sub(rf"\b{re.escape(word)}\b", "___", sentence, count=1)}
    if len(set(passage)) >= 3:
        mixed = list(passage)
        while mixed == list(passage):
            draw.shuffle(mixed)
        slots["mixed"] = "\n".join(mixed)
    if len(passage) >= 2:
        slots |= {"before": " ".join(passage[:-1]), "next": passage[-1]}
    telling = [(match, each) for each in passage if (match := _TELLS.match(each)) and each.split()[0] not in _STARTS]
    if telling:
        match, statement = telling[0]
        subject = match[1]
        named = not subject.startswith(("The ", "A ", "An "))
        subject = subject if named else subject[0].lower() + subject[1:]
        slots |= {"statement": statement, "subject": subject, "verb": match[2]}
    return slots


def from_endpoint(texts: Iterable[tuple[str, str]], endpoint: Endpoint, keeper: Keeper, most: int, seed: int) -> None:
    """Let a model write a question and its answer to at most `most` passages of each document.

    Raises `UserError` where the endpoint cannot be reached. Replies in another form are counted and left out.
    """
    for text, source in texts:
        passages = list(passages_of(text))
        keeper.passages += len(passages)
        random.Random(f"{seed} {source} {len(text)}").shuffle(passages)
        for passage in passages[:most]:
            if keeper.full:
                return
            said = endpoint.ask([{"role": "user", "content": ASKED + " ".join(passage)}])
            match = _REPLY.search(said)
            if match is None or not match[2].strip():
                keeper.unusable += 1
                continue
            keeper.take(match[1].strip(), match[2].strip(), source, "endpoint")
