"""The words, plots and rules of grammar of the world: files beside this one, read when they are asked for."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

Words = dict[str, str]
"""Words of each category or class, with spaces between them."""


@cache
def _read(name: str) -> str:
    return files("scratchlm.storyworld").joinpath(name).read_text(encoding="utf-8")


@cache
def _tables(name: str) -> dict[str, Any]:
    return tomllib.loads(_read(name))


def words(table: str) -> Words:
    """Return a table of words.toml: count_nouns, mass_nouns, verbs, words, names or values."""
    lists: Words = _tables("words.toml")[table]
    return lists


def plot(name: str) -> str:
    """Return a text of plots.toml: intros, incidents, closings, scenes, fillers or plots."""
    return str(_tables("plots.toml")[name])


def rules() -> str:
    """Return the rules of the grammar, without the lines of the file that are comments."""
    return "\n".join(line for line in _read("rules.txt").splitlines() if not line.startswith("#"))
