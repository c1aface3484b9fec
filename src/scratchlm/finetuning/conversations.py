"""Conversations from files, in the layouts that people keep them in; which one it is shows in the first row.

messages            {"messages": [{"role": "user", "content": ...}, ...]}           OpenAI, most of today's sets
ShareGPT            {"conversations": [{"from": "human", "value": ...}, ...]}
Alpaca              {"instruction": ..., "input": ..., "output": ...}                (Taori et al. 2023)
prompt-completion   {"prompt": ..., "completion": ...}
question-answer     {"question": ..., "answer": ...}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scratchlm.base.errors import UserError, raise_first
from scratchlm.text.records import Record
from scratchlm.text.rows import listed
from scratchlm.tokens.chat import ROLES

SHARED_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
"""Who speaks in ShareGPT's layout."""

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Layout:
    """A way to keep a conversation in a row."""

    name: str
    columns: tuple[str, ...]
    """Columns that only this layout has."""
    read: Callable[[Mapping[str, Any]], Messages]


def _from_messages(values: Mapping[str, Any]) -> Messages:
    return [{"role": str(each["role"]), "content": each["content"]} for each in values["messages"]]


def _from_shared(values: Mapping[str, Any]) -> Messages:
    return [
        {"role": SHARED_ROLES.get(str(each["from"]), str(each["from"])), "content": each["value"]}
        for each in values["conversations"]
    ]


def exchange(asked: Any, answer: Any, more: Any = None) -> Messages:
    """Return a question, with what more belongs to it, and its answer."""
    question = f"{asked}\n\n{more}" if more else asked
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


LAYOUTS = (
    Layout("messages", ("messages",), _from_messages),
    Layout("ShareGPT", ("conversations",), _from_shared),
    Layout("Alpaca", ("instruction", "output"), lambda of: exchange(of["instruction"], of["output"], of.get("input"))),
    Layout("prompt-completion", ("prompt", "completion"), lambda of: exchange(of["prompt"], of["completion"])),
    Layout("question-answer", ("question", "answer"), lambda of: exchange(of["question"], of["answer"])),
)


def layout_of(record: Record) -> Layout:
    """Return the layout of a row. Raises `UserError`, naming those that can be read, where it has none of them."""
    for layout in LAYOUTS:
        if all(column in record.values for column in layout.columns):
            return layout
    known = "; ".join(f"{layout.name}: {', '.join(layout.columns)}" for layout in LAYOUTS)
    raise UserError(f"{record.place}: no conversation; columns: {listed(record.values)}; known are {known}")


def read_conversations(records: Sequence[Record]) -> tuple[list[Messages], Layout]:
    """Take the conversations out of rows, and tell in which layout they came.

    Raises `UserError` with every row that is none: a part missing or empty, roles out of order, no assistant's turn.
    """
    layout = layout_of(records[0])
    found, problems = [], []
    for record in records:
        try:
            messages = layout.read(record.values)
            problem = problem_of(messages)
        except (KeyError, TypeError, AttributeError) as error:
            problem = f"is not in the layout {layout.name} of the first row ({error!r})"
        if problem is None:
            found.append(messages)
        else:
            problems.append(f"{record.place}: {problem}")
    raise_first(problems, "rows")
    return found, layout


def question_of(messages: Messages) -> str:
    """Return the first thing that the user says, by whose hash a conversation is held out."""
    return next(message["content"] for message in messages if message["role"] == "user")


def problem_of(messages: Messages) -> str | None:
    """Say what is wrong with a conversation: after a system's word, user and assistant must take turns."""
    for number, message in enumerate(messages, 1):
        if message["role"] not in ROLES:
            return f"message {number} has role {message['role']!r}; known are {', '.join(ROLES)}"
        if not isinstance(message["content"], str) or not message["content"].strip():
            return f"message {number} ({message['role']}) is empty"
    turns = [message["role"] for message in messages]
    turns = turns[1:] if turns[:1] == ["system"] else turns
    if "assistant" not in turns:
        return "has no assistant's turn, so there is nothing to learn"
    if turns[-1] != "assistant":
        return f"ends with a turn of {turns[-1]}; remove it, or add the answer"
    for number, role in enumerate(turns):
        if role != ("user", "assistant")[number % 2]:
            return f"roles are out of order ({', '.join(turns[:6])}); user and assistant must take turns"
    return None
