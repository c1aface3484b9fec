"""Conversations from files, in the layouts that people keep them in; which one it is shows in the first row.

messages            {"messages": [{"role": "user", "content": ...}, ...]}           OpenAI, most of today's sets
ShareGPT            {"conversations": [{"from": "human", "value": ...}, ...]}
two columns         a question and its answer, under the usual names of `text/columns.py`, such as prompt and
                    completion, or those that flags name; Alpaca's `input` (Taori et al. 2023) follows the question
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scratchlm.base.errors import raise_first
from scratchlm.text.columns import find_columns, usual_column
from scratchlm.text.records import TableRow, require_columns
from scratchlm.tokens.chat import ROLES

SHARED_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
"""Who speaks in ShareGPT's layout."""

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class ConversationLayout:
    """A way to keep a conversation in a row."""

    name: str
    read: Callable[[Mapping[str, Any]], Messages]


def _from_messages(values: Mapping[str, Any]) -> Messages:
    return [{"role": str(each["role"]), "content": each["content"]} for each in values["messages"]]


def _from_shared(values: Mapping[str, Any]) -> Messages:
    return [
        {"role": SHARED_ROLES.get(str(each["from"]), str(each["from"])), "content": each["value"]}
        for each in values["conversations"]
    ]


def exchange(asked: Any, answer: Any, more: Any = None) -> Messages:
    """Return a question, with what more belongs to it, and its answer; numbers become text."""
    asked, answer = (str(each) if isinstance(each, (int, float)) else each for each in (asked, answer))
    question = f"{asked}\n\n{more}" if more else asked
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


LISTS = {
    "messages": ConversationLayout("messages", _from_messages),
    "conversations": ConversationLayout("ShareGPT", _from_shared),
}
"""Columns that hold a whole conversation, as a list of turns."""


def layout_of(records: Sequence[TableRow], prompt_column: str | None, answer_column: str | None) -> ConversationLayout:
    """Return the layout of rows, which the first one decides.

    Raises `UserError`, with the columns and the flags that name them, where it shows no conversation, and for a later
    row that lacks a column.
    """
    first = records[0]
    if prompt_column is None and answer_column is None:
        for column, layout in LISTS.items():
            if isinstance(first.values.get(column), list):
                return layout
    columns = find_columns(first.values, {"prompt": prompt_column, "answer": answer_column}, first.place)
    prompt, answer = columns["prompt"], columns["answer"]
    require_columns(records, [prompt, answer], "--prompt-column and --answer-column")
    more = usual_column((name for name in first.values if name not in (prompt, answer)), "input")
    name = " and ".join([f"{prompt}, {more}" if more else prompt, answer])
    return ConversationLayout(name, lambda row: exchange(row[prompt], row[answer], row.get(more) if more else None))


def read_conversations(
    records: Sequence[TableRow], prompt_column: str | None = None, answer_column: str | None = None
) -> tuple[list[Messages], ConversationLayout]:
    """Take the conversations out of rows, and return them with their layout.

    Raises `UserError` with every row that is none: a part missing or empty, roles out of order, no assistant's turn.
    """
    layout = layout_of(records, prompt_column, answer_column)
    conversations, problems = [], []
    for record in records:
        try:
            messages = layout.read(record.values)
            problem = problem_of(messages)
        except (KeyError, TypeError, AttributeError) as error:
            problem = f"is not in the layout {layout.name} of the first row ({error!r})"
        if problem is None:
            conversations.append(messages)
        else:
            problems.append(f"{record.place}: {problem}")
    raise_first(problems, "rows")
    return conversations, layout


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
