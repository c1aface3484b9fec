"""The strings below the fields of a config are found, those of its bases too."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import dataclass

from scratchlm.commands import COMMANDS
from scratchlm.config.field_docs import field_docs


@dataclass
class Base:
    """A docstring of a class is no docstring of a field."""

    plain: int = 0
    size: int = 1
    """Rows, and
    columns."""
    other: str = ""
    """Something else."""


@dataclass
class Child(Base):
    """A child of it."""

    other: str = "x"
    """Said anew."""
    size: int = 2
    more: float = 0.0
    """More."""


def test_docstrings_are_one_line_and_those_of_bases_are_inherited() -> None:
    assert field_docs(Base) == {"plain": "", "size": "Rows, and columns.", "other": "Something else."}
    assert field_docs(Child) == {"plain": "", "size": "Rows, and columns.", "other": "Said anew.", "more": "More."}


def test_classes_inside_functions_and_without_a_source_are_taken() -> None:
    @dataclass
    class Local:
        x: int = 0
        """Local."""

    assert field_docs(Local) == {"x": "Local."}
    assert field_docs(dataclasses.make_dataclass("Made", [("y", int)])) == {"y": ""}


def test_every_field_of_every_verb_has_a_docstring() -> None:
    empty = [
        f"{command.config().__name__}.{name}"
        for command in COMMANDS.values()
        for name, doc in field_docs(command.config()).items()
        if not doc
    ]
    assert empty == []


def test_reading_docstrings_loads_no_torch() -> None:
    code = (
        "import sys\nfrom scratchlm.pretraining.config import PretrainConfig\n"
        "from scratchlm.config.field_docs import field_docs\n"
        "assert field_docs(PretrainConfig)['data'].startswith('Folder')\nassert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
