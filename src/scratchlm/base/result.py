"""What a command returns: one text, for the terminal, `str` and `repr` alike."""

from __future__ import annotations

import dataclasses
import html
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 120
"""Columns of a result as text."""
SHORT = 6
"""Lines of its short form."""


def as_html(text: str) -> str:
    """Return text as a notebook shows it: spaces and lines kept, colours those of the page, its own HTML escaped."""
    return f'<pre style="white-space: pre-wrap; line-height: 1.25">{html.escape(text)}</pre>'


def html_table(rows: Mapping[str, str]) -> str:
    """Return names and values as the table of a notebook; their own HTML is escaped."""
    left = 'style="text-align: left; vertical-align: top"'
    cells = [f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(rows[name])}</td></tr>" for name in rows]
    return f"<table>{''.join(cells)}</table>"


class Result(ABC):
    """A result that shows itself. A dataclass on it is made with `repr=False`, or its own would hide this one."""

    @abstractmethod
    def __rich__(self) -> RenderableType:
        """Return what a terminal shows."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, which `--json` prints."""
        return dataclasses.asdict(cast(Any, self))

    def __str__(self) -> str:
        from rich.console import Console

        written = io.StringIO()
        console = Console(file=written, width=WIDTH, markup=False, highlight=False, emoji=False, color_system=None)
        console.print(self, soft_wrap=True)
        return "\n".join(line.rstrip() for line in written.getvalue().splitlines())

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __repr__(self) -> str:
        lines = [line for line in str(self).splitlines() if any(character.isalnum() for character in line)]
        cut = [line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in lines[:SHORT]]
        return "\n".join([*cut, *["..."] * (len(lines) > SHORT)])
