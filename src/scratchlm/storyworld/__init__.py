"""The embedded corpus: a seeded generator of synthetic short stories with consistent facts, and questions about them.

Everything is derived from one grammar (rules.txt), one lexicon (words.toml) and one set of plots (plots.toml), all
written for this package. Nothing is loaded or built before the first call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchlm.storyworld.quiz import conversations, questions
    from scratchlm.storyworld.recogniser import parses, sentences
    from scratchlm.storyworld.teller import stories
    from scratchlm.storyworld.world import build_world

__all__ = ["build_world", "conversations", "parses", "questions", "sentences", "stories"]

_MODULES = {"stories": "teller", "build_world": "world", "parses": "recogniser", "sentences": "recogniser"}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'quiz')}"), name)
