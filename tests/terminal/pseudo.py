"""A terminal as a user has one, for tests: what a command shows on it, and what is typed at it."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pyte

PATIENCE = 300.0
"""Seconds to wait for what should appear: longer than the slowest machine needs."""
STYLE = re.compile(r"\x1b\[[\d;]*m")
"""Codes that change how letters look, and take no place."""
ATTACHED = (
    "import fcntl, signal, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"  # so that Ctrl-C reaches the command
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background begins by ignoring it
)
COMMAND = "from scratchlm.cli import main\nmain()\n"


class Screen(pyte.HistoryScreen):
    """What a terminal shows, with the lines that have left it at the top; it answers what a program asks of it."""

    def __init__(self, columns: int, lines: int, answer: Callable[[bytes], None]) -> None:
        super().__init__(columns, lines, history=100_000)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        """Answer a program, such as one that asks where the cursor is."""
        self._answer(data.encode())

    @property
    def texts(self) -> list[str]:
        """All lines that are not empty, from the first one shown."""
        rows = [*self.history.top, *(self.buffer[row] for row in range(self.lines))]
        texts = ["".join(row[column].data for column in range(self.columns)).rstrip() for row in rows]
        return [text for text in texts if text]


class Terminal:
    """Python code, or the real command, on a pseudo-terminal: what it shows is waited for, and keys are typed."""

    def __init__(
        self, *arguments: object, code: str = COMMAND, columns: int = 80, term: str = "xterm-256color"
    ) -> None:
        self.place, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", ATTACHED + code, *map(str, arguments)],
            stdin=inside, stdout=inside, stderr=inside, env={**environment, "TERM": term}, start_new_session=True,
        )  # fmt: skip
        os.close(inside)
        self.shown = ""
        """All that was written, with the codes that steer the terminal."""
        self._position = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.screen = Screen(columns, 24, self.press)
        self._stream = pyte.ByteStream(self.screen)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.place)

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.place, keys)

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        self.press(line.encode() + b"\r")

    def wait_for(self, text: str) -> str:
        """Wait for a text after the last one that was waited for; return what was shown before it."""
        self._read_until(lambda: text in self.shown[self._position :], text)
        before, _, _ = self.shown[self._position :].partition(text)
        self._position += len(before) + len(text)
        return before

    def wait_until(self, condition: Callable[[list[str]], bool], what: str) -> None:
        """Wait until the lines on the screen, without empty ones, are as they should."""
        self._read_until(lambda: condition(self.screen.texts), what)

    def end(self) -> int:
        """Read until the command ends; return its exit code."""
        limit = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < limit, f"it did not end; the screen shows: {self.screen.texts}"
        return self.process.wait(PATIENCE)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.place)[3] & termios.ECHO)

    def _read_until(self, condition: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + PATIENCE
        while not condition():
            goes_on = self._read()
            assert condition() or (goes_on and time.monotonic() < limit), (
                f"waited for {what!r}; the screen shows: {self.screen.texts}"
            )

    def _read(self) -> bool:
        """Read what was written in the last moment; return whether there may be more."""
        if not select.select([self.place], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.place, 65_536)
        except OSError:  # Linux says so where the other end was closed
            return False
        self._stream.feed(data)
        self.shown += self._decoder.decode(data)
        return bool(data)


def on_terminal(code: str, columns: int) -> str:
    """Run Python code on a terminal of so many columns, and return all that it showed."""
    with Terminal(code=code, columns=columns) as terminal:
        terminal.end()
        return terminal.shown.replace("\r\n", "\n")
