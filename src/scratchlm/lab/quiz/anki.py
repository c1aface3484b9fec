"""Export of cards to Anki by genanki. Each card has a fixed id, so a later export updates it and keeps its history."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import atomic_file, require_file_place
from scratchlm.lab.quiz.cards import LEGEND, Card

DECK, MODEL = 1_482_270_311, 1_482_270_312
"""Ids of the deck and of the note type in Anki; drawn once at random."""


def write_deck(path: Path, cards: Sequence[Card]) -> Path:
    """Write an .apkg file. Raises `UserError` without genanki, and for a path that cannot be written."""
    try:
        import genanki
    except ImportError:
        raise UserError("--anki: needs genanki; install it with: pip install genanki") from None
    require_file_place(path)
    form = genanki.Model(
        MODEL,
        "scratchlm",
        fields=[{"name": "Question"}, {"name": "Answer"}],
        templates=[{"name": "card", "qfmt": "{{Question}}", "afmt": "{{FrontSide}}<hr id=answer>{{Answer}}"}],
    )
    deck = genanki.Deck(DECK, "scratchlm")
    for card in cards:
        tags = [*card.tags, *(LEGEND[sign] for sign in card.signs)]
        tags += [f"kind-{card.kind}"]
        tags += [] if card.chapter is None else [f"chapter-{card.chapter}"]
        asked = html.escape(card.asked).replace("\n", "<br>")
        fields = [as_html(card.code) + asked, as_html(card.answer)]
        deck.add_note(genanki.Note(form, fields, guid=card.id, tags=[tag.replace(" ", "-") for tag in tags]))
    with atomic_file(path) as temporary:
        genanki.Package(deck).write_to_file(str(temporary))
    return path


def as_html(answer: str) -> str:
    """Convert the Markdown subset of cards to HTML: paragraphs, code, bold, lists line by line."""
    parts = re.split(r"```\w*\n(.*?)```", html.escape(answer), flags=re.DOTALL)
    return "".join(f"<pre>{part}</pre>" if number % 2 else _prose(part) for number, part in enumerate(parts))


def _prose(text: str) -> str:
    """Convert text outside code blocks; a line that starts no list item continues the previous line."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    paragraphs = filter(None, (part.strip() for part in re.split(r"\n\s*\n", text)))
    joined = (re.sub(r"\n(?!\s*[-*] |\s*\d+\. )", " ", part) for part in paragraphs)
    return "<br><br>".join(part.replace("\n", "<br>") for part in joined)
