"""A conversation on a terminal: what is typed, and the commands among it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError, nearest
from scratchlm.base.files import explain_os_error, read_json, write_json
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.speakers import Speaker, Turns

HELP = """/system TEXT        set the system message; without TEXT, remove it
/reset              forget the conversation
/save FILE          write the conversation as JSON
/load FILE          go on with one that was saved
/seed NUMBER        seed of the draws
/temperature NUMBER lower is safer, 0 takes the likeliest token always
/alternatives [N]   what else might have been written at each token of the last answer
/help               this list
/exit               end the chat, as an empty line does
\"""                 begin a message of several lines; the same ends it"""
EXIT = "/exit"
"""The command that ends a chat; who reads the lines ends it."""
QUOTES = '"""'
"""Begins and ends a message of several lines."""
SHOWN = 5
"""Alternatives of a token that are shown."""


class Chat:
    """A conversation, its settings, and the commands that change both."""

    def __init__(self, speaker: Speaker, sampling: SamplingConfig) -> None:
        self.speaker, self.sampling = speaker, sampling
        self.turns: Turns = []
        self._commands: dict[str, Callable[[str], str]] = {
            "/system": self._system,
            "/reset": self._reset,
            "/save": self._save,
            "/load": self._load,
            "/seed": lambda text: self._set("seed", text, int),
            "/temperature": lambda text: self._set("temperature", text, float),
            "/alternatives": self._alternatives,
            "/help": lambda _: HELP,
            EXIT: lambda _: "",
        }

    @property
    def commands(self) -> list[str]:
        """The names of the commands."""
        return list(self._commands)

    def command(self, line: str) -> str:
        """Carry out a line that begins with a slash, and return what it says. Raises `UserError` where it cannot."""
        name, _, rest = line.partition(" ")
        if name not in self._commands:
            raise UserError(f"{name}: no command; {nearest(name, self._commands)}")
        return self._commands[name](rest.strip())

    def _system(self, text: str) -> str:
        self.turns = [turn for turn in self.turns if turn["role"] != "system"]
        if not text:
            return "no system message"
        self.turns.insert(0, {"role": "system", "content": text})
        return "system message set"

    def _reset(self, _: str) -> str:
        self.turns = [turn for turn in self.turns if turn["role"] == "system"]
        return "the conversation is forgotten" + (", the system message stays" if self.turns else "")

    def _save(self, text: str) -> str:
        path = _file(text, "/save")
        try:
            write_json(path, {"messages": self.turns})
        except OSError as error:
            raise explain_os_error(error, path) from error
        return f"{len(self.turns)} messages written to {path}"

    def _load(self, text: str) -> str:
        path = _file(text, "/load")
        stored = read_json(path)
        messages = stored.get("messages") if isinstance(stored, dict) else None
        known = isinstance(messages, list) and all(
            isinstance(each, dict)
            and set(each) == {"role", "content"}
            and each["role"] in ("system", "user", "assistant")
            and isinstance(each["content"], str)
            and not any("\ud800" <= character <= "\udfff" for character in each["content"])
            for each in messages
        )
        if not known:
            raise UserError(f'{path}: holds no conversation; it must be {{"messages": [{{"role", "content"}}, ...]}}')
        assert isinstance(messages, list)
        self.turns = [dict(each) for each in messages]
        return f"{len(self.turns)} messages read from {path}"

    def _set(self, name: str, text: str, kind: Callable[[str], float]) -> str:
        try:
            value = kind(text)
        except ValueError:
            raise UserError(f"/{name}: {text!r} is no number; give one, as in /{name} 1") from None
        change: dict[str, Any] = {name: value}
        self.sampling = dataclasses.replace(self.sampling, **change)
        return f"{name} {value}"

    def _alternatives(self, word: str) -> str:
        if not self.turns or self.turns[-1]["role"] != "assistant":
            raise UserError("/alternatives: there is no answer yet; ask something first")
        count = int(word) if word.isascii() and word.isdigit() and 0 < len(word) < 6 and int(word) else SHOWN
        if len(self.turns) < 2:
            raise UserError("/alternatives: there is no question before the answer; ask something first")
        choices = self.speaker.alternatives(self.turns[:-1], self.turns[-1]["content"], count)
        lines = []
        for token in choices:
            others = "  ".join(f"{_quoted(text)} {share:.1%}" for text, share in token.likeliest)
            lines.append(f"{_quoted(token.text):>16} {token.probability:6.1%}   of {others}")
        return "\n".join(lines)


def _file(text: str, command: str) -> Path:
    if not text:
        raise UserError(f"{command}: names no file; give one, as in {command} talk.json")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{text}: {error}; give another path") from error


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
