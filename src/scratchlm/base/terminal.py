r"""What reaches a terminal: text of models, labels and file names, without the sequences that steer the terminal.

An escape sequence in a text can clear the screen, change a window's title, or make one line look like another. On a
terminal such characters are shown, as `\x1b`, and do nothing; a file or a pipe gets the text as it is.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing
    "\ud800-\udfff]"  # bytes of a file name that are no text
)


def visible(text: str) -> str:
    r"""Return a text with every character that would steer a terminal in a visible form.

    >>> visible("red\x1b[31m")
    'red\\x1b[31m'
    """
    return STEERING.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """Return a message for stderr on one line, with nothing in it that steers a terminal."""
    return visible(text).replace("\n", "\\n")


class _Guarded:
    """A terminal's stream that writes text in its visible form."""

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream
        self.ended = False
        """Whether the guard is over: a library that kept the stream may reset the terminal's colours at the exit."""

    def write(self, text: str) -> int:
        self.raw.write(text if self.ended else visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """While this lasts, what is printed on a terminal is visible text; files and pipes get it as it is."""
    before = sys.stdout, sys.stderr
    guards = []
    try:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                guards.append(_Guarded(stream))
                setattr(sys, name, guards[-1])
        yield
    finally:
        sys.stdout, sys.stderr = before
        for guard in guards:
            guard.ended = True


def raw(stream: TextIO) -> TextIO:
    """Return the stream below a guard: for what draws on the terminal itself, and for who asks for raw text."""
    return stream.raw if isinstance(stream, _Guarded) else stream


@contextlib.contextmanager
def without_echo() -> Iterator[None]:
    """While this lasts, the terminal does not show what is typed; the next one who reads gets it.

    For what draws over its own lines: keys, and the `^C` of Ctrl-C, would move the cursor from where it was left.
    Does nothing where stdin is no terminal, and on Windows, which shows keys when they are read.
    """
    try:
        import termios
    except ImportError:
        yield
        return
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):  # no file, closed, or no terminal
        yield
        return
    flags = before[3] & ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, [*before[:3], flags, *before[4:]])
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def say(text: str) -> None:
    """Print a note on stderr; on a terminal its lines end between words."""
    if sys.stderr.isatty():
        console(stderr=True, highlight=False, markup=False, emoji=False).print(text)
    else:
        print(text, file=sys.stderr)


def console(stderr: bool = False, **settings: Any) -> Console:
    """Return a rich console that draws as always, and shows the texts it is given in their visible form."""
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
    from rich.segment import Segment

    class Visible:
        def __init__(self, inner: RenderableType) -> None:
            self.inner = inner

        def __rich_console__(self, drawing: Console, options: ConsoleOptions) -> RenderResult:
            for part in drawing.render(self.inner, options):
                yield part if part.control else Segment(visible(part.text), part.style)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Visible(each) for each in renderables]

    made = Console(file=raw(sys.stderr if stderr else sys.stdout), **settings)
    if made.is_terminal:
        made.push_render_hook(Hook())
    return made
