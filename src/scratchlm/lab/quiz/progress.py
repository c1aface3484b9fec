"""Progress of spaced repetition by FSRS (Ye et al. 2022, py-fsrs), saved after each answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.lab.quiz.cards import Card

FORMAT = 1
GRADES = ("again", "hard", "good", "easy")
"""Names of the FSRS ratings, numbered from 1."""


def usual_place() -> Path:
    """Return the default path of the progress file, in the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(home) if home else Path.home() / ".local" / "share") / "scratchlm" / "quiz.json"


class Progress:
    """The FSRS state of each card in a file. It is written atomically after each answer, so a kill loses nothing."""

    def __init__(self, path: Path) -> None:
        """Open a progress file, or start one. Raises `UserError` for another format or another kind of file."""
        self.path = path
        self.cards: dict[str, dict[str, Any]] = {}
        self.reviews = 0
        if path.exists():
            stored = read_json(path)
            ours = isinstance(stored, dict) and stored.get("format") == FORMAT and isinstance(stored.get("cards"), dict)
            if not ours or not all(isinstance(each, dict) for each in stored["cards"].values()):
                raise UserError(
                    f"--progress {path}: is no progress file of a quiz in format {FORMAT}; name another file"
                )
            self.cards, self.reviews = stored["cards"], stored.get("reviews", 0)

    def grade(self, card: Card, grade: int, now: datetime | None = None) -> datetime:
        """Store a rating of a card, 1 to 4, and return when it is due again."""
        fsrs = load_fsrs()
        known = self.cards.get(card.id)
        state = fsrs.Card(card_id=int(card.id, 16)) if known is None else fsrs.Card.from_dict(known)
        moment, scheduler = now or datetime.now(UTC), fsrs.Scheduler(enable_fuzzing=False)
        state, _ = scheduler.review_card(state, fsrs.Rating(grade), moment)
        self.cards[card.id] = state.to_dict()
        self.reviews += 1
        write_json(self.path, {"format": FORMAT, "reviews": self.reviews, "cards": self.cards})
        due: datetime = state.due
        return due

    def due(self, cards: Sequence[Card], now: datetime | None = None) -> list[Card]:
        """Return the due cards, the longest overdue first."""
        moment = now or datetime.now(UTC)
        whens = {card: datetime.fromisoformat(self.cards[card.id]["due"]) for card in cards if card.id in self.cards}
        return sorted((card for card, when in whens.items() if when <= moment), key=lambda card: whens[card])

    def new(self, cards: Sequence[Card]) -> list[Card]:
        """Return the cards that were never asked, in their order."""
        return [card for card in cards if card.id not in self.cards]


def load_fsrs() -> Any:
    """Import py-fsrs. Raises `UserError` with the install command if it is missing."""
    try:
        import fsrs
    except ImportError:
        raise UserError("quiz: needs py-fsrs; install it with: pip install fsrs") from None
    return fsrs
