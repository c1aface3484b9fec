"""What a chat shows on a terminal: answers as Markdown while they come, and a line with history to type on."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from scratchlm.base.terminal import console

BLANK = re.compile(r"\n[ \t]*\n")
FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
FIRST, FURTHER = "> ", ". "
"""What stands before the first line of a message, and before its further ones."""
REDRAWN = 1 / 15
"""Seconds between two drawings of a paragraph that grows: each takes as long as a small model needs for a token."""


class MarkdownScreen:
    """Shows a text as Markdown while it grows: paragraphs that are complete stay, the last one is drawn anew."""

    def __init__(self) -> None:
        self._console = console(highlight=False)
        self._rest, self._drawn = "", 0.0
        self._live: Any = None

    def __enter__(self) -> MarkdownScreen:
        from rich.live import Live

        self._live = Live(console=self._console, transient=True, auto_refresh=False, vertical_overflow="ellipsis")
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update("", refresh=True)
        self._live.stop()
        if self._rest.strip():
            self._print(self._rest)

    def write(self, piece: str) -> None:
        """Show a further piece."""
        self._rest += piece
        done, self._rest = complete(self._rest)
        if done.strip():
            self._print(done)
        if done or time.monotonic() - self._drawn >= REDRAWN:
            self._live.update(_markdown(self._rest), refresh=True)
            self._drawn = time.monotonic()

    def _print(self, text: str) -> None:
        self._console.print(_markdown(text))
        self._console.print()


def complete(text: str) -> tuple[str, str]:
    """Cut a text after its last complete paragraph; a fenced block is complete when its fence is closed."""
    for match in reversed(list(BLANK.finditer(text))):
        if len(FENCE.findall(text[: match.start()])) % 2 == 0:
            return text[: match.start()], text[match.end() :]
    return "", text


def _markdown(text: str) -> Any:
    from rich.markdown import Markdown

    return Markdown(text, hyperlinks=False)


class Prompt:
    """Asks for lines at a terminal: with editing, earlier lines by the arrow keys, and commands completed by Tab."""

    def __init__(self, commands: Sequence[str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import InMemoryHistory

        completer = WordCompleter(list(commands), sentence=True)
        _markdown("")  # imports what answers are drawn with before the first one is waited for
        self._session: Any = PromptSession(history=InMemoryHistory(), completer=completer, complete_while_typing=False)

    def read(self, further: bool) -> str | None:
        """Return the next line, or a `further` one of a message; None after Ctrl-C, Ctrl-D and at the end of input."""
        try:
            return str(self._session.prompt(FURTHER if further else FIRST))
        except (EOFError, KeyboardInterrupt):
            return None


def read_line(further: bool) -> str | None:
    """Return what `Prompt.read` does where nothing can be edited."""
    try:  # Ctrl-C may come as soon as the prompt is shown
        print(FURTHER if further else FIRST, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        print(file=sys.stderr)  # what comes next begins a line
    return line.rstrip("\n") if line else None
