"""Cards: questions and answers in Markdown, each folded in a <details> block that is readable without this package.

    <details>
    <summary>🎯Q. What does a language model predict?</summary>

    ⭐ The next token: a probability for each token of its vocabulary.

    <sub>chapter 1 · tags: objective · shows: test tests/model/test_decoder.py</sub>

    </details>

The footer and the signs are optional. A <details> block without `Q.` in its summary is no card. A code block directly
above a card belongs to its question. `shows: experiment NAME KEY` names a claim that holds, `not KEY` one that does
not hold, `open KEY` one that could not be shown. The footer may name a kind (`kind: compute`); without one it is
recall:

    recall    the answer is known or not
    compute   the answer is a number, `value: 1.75` in the footer; `within: 5%` allows more than 1% of it
    predict   the reader says what the code above prints
    bug       the reader finds the error in the code above
    choose    the question lists explanations as (a), (b), (c); `value: b` is the right one
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchlm.base.errors import UserError, nearest, raise_first
from scratchlm.base.files import explain_os_error
from scratchlm.base.reading import read_plain_text
from scratchlm.lab.quiz.numbers import parse_number

LEGEND = {"⭐": "important", "🔥": "hot", "💡": "key", "⚠": "warning", "🎯": "target", "🚀": "advanced", "🚫": "not"}
"""The signs and their names: important point, hot or important exam topic, key concept or tip, warning or common
mistake, exam target, advanced topic, cannot be used or a concern."""
VARIATION = "\ufe0f"
"""Variation selector for a coloured sign; it is ignored."""

KINDS = ("recall", "compute", "predict", "bug", "choose")
"""Kinds of cards: what the reader does before the answer is shown."""
WITHIN = 0.01
"""Relative error that a computed number may have, where the card names no other."""

SHOWN = "\ue000"
"""Private-use character that replaces < in code blocks during parsing."""

_FOLDED = re.compile(
    r"<details[^>]*>\s*<summary\s*>(?P<summary>.*?)</summary\s*>(?P<body>.*?)</details\s*>", re.DOTALL | re.IGNORECASE
)
_BEGUN = re.compile(r"<details[^>]*>", re.IGNORECASE)
_QUESTION = re.compile(r"^(?P<signs>[^\w]*)Q\s*[.:．：]\s*(?P<question>\S.*)$", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # the source of a number
_FOOTER = re.compile(r"\n<sub>(?P<footer>[^<]*)</sub>\s*$")  # on its own line: elsewhere <sub> is a subscript
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_OPTION = re.compile(r"(?:^|\s)\(([a-z])\)\s+")
_FIELDS = ("kind", "value", "within", "tags", "shows")


@dataclass(frozen=True)
class Card:
    """A question with its answer."""

    question: str
    answer: str
    """Markdown, without the footer."""
    signs: tuple[str, ...]
    """Signs of the summary, then those of the answer, without duplicates."""
    tags: tuple[str, ...] = ()
    chapter: str | None = None
    """A number, or the letter of an appendix."""
    shows: str | None = None
    """Evidence for the answer: a test, or a claim of an experiment."""
    place: str = ""
    """File and line number."""
    kind: str = "recall"
    """One of `KINDS`."""
    code: str = ""
    """The code block above the card, as Markdown."""
    value: str | None = None
    """The number of a card of kind compute, the letter of one of kind choose."""
    within: float = WITHIN
    """Relative error that the reader's number may have."""

    @property
    def id(self) -> str:
        """Hash of the question; it changes only when the question's words change."""
        return hashlib.sha256(" ".join(self.question.lower().split()).encode("utf-8")).hexdigest()[:16]

    @property
    def options(self) -> tuple[str, ...]:
        """The letters of the explanations that a card of kind choose offers."""
        return tuple(_OPTION.findall(self.question)) if self.kind == "choose" else ()

    @property
    def asked(self) -> str:
        """The question as text, with each explanation to choose from on a line of its own."""
        return _OPTION.sub(r"\n(\1) ", self.question) if self.options else self.question


def notes_folder() -> Path:
    """Return the folder of the notes: in the installed package, or in the source repository."""
    package = Path(__file__).resolve().parent.parent.parent
    inside = package / "notes"
    return inside if inside.is_dir() else package.parent.parent / "notes"


def built_in() -> list[Card]:
    """Read the cards of the notes."""
    files = sorted((notes_folder() / "cards").glob("*.md"))
    if not files:
        raise UserError(f"{notes_folder() / 'cards'}: holds no cards; install the package again")
    return read_cards(files)


def read_cards(files: Sequence[Path]) -> list[Card]:
    """Read cards from Markdown files.

    Raises `UserError` for a file that cannot be read or has no question, an unclosed question or one without an
    answer, an unknown sign, and a duplicate question.
    """
    problems: list[str] = []
    every: list[Card] = []
    for file in files:
        cards = _cards_of(file, problems)
        if not cards and not problems:
            fold = "<details><summary>🎯Q. ...</summary> answer </details>"
            problems.append(f"{file}: holds no question; fold each as {fold}")
        every += cards
    places: dict[str, str] = {}
    problems += [
        f"{card.place}: is asked at {places[card.id]} already; remove one of them"
        for card in every
        if places.setdefault(card.id, card.place) != card.place
    ]
    raise_first(problems, "cards")
    return every


def _cards_of(file: Path, problems: list[str]) -> list[Card]:
    try:
        text = read_plain_text(file, "utf-8-sig")
    except OSError as error:
        raise explain_os_error(error, file) from error
    cards = []
    # Code blocks contain no cards: their tags are hidden from the parser; lines and words stay.
    text = _FENCE.sub(lambda block: re.sub(r"<(/?)(details|summary|sub)", rf"{SHOWN}\1\2", block[0]), text)
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    folds, fences = list(_FOLDED.finditer(text)), list(_FENCE.finditer(text))
    ends = [fence.end() for fence in fences]

    def place(start: int) -> str:
        return f"{file}:{bisect_right(lines, start)}"

    def code_above(start: int) -> str:
        """Return the code block that ends directly above a place, as Markdown; empty if there is none."""
        at = bisect_right(ends, start) - 1
        return "" if at < 0 or text[ends[at] : start].strip() else fences[at][0].replace(SHOWN, "<")

    begun = {match.start() for match in _BEGUN.finditer(text)}
    inside = {match.start() + each.start() for match in folds for each in _BEGUN.finditer(match[0])}
    problems += [
        f"{place(start)}: <details> is not closed, or has no <summary>; fold it whole"
        for start in sorted(begun - inside)
    ]
    problems += [
        f"{place(match.start())}: holds another <details>; questions cannot be nested"
        for match in folds
        if len(_BEGUN.findall(match[0])) > 1
    ]
    for match in folds:
        summary = re.sub(r"</?\w+>|\*\*", "", match["summary"]).strip()
        asked = _QUESTION.match(summary)
        if asked is None:
            continue
        try:
            cards.append(_card(asked, match["body"], place(match.start()), code_above(match.start())))
        except UserError as error:
            problems.append(str(error))
    return cards


def _card(asked: re.Match[str], body: str, place: str, code: str) -> Card:
    signs, question = asked["signs"], " ".join(asked["question"].split())
    for sign in "".join(signs.replace(VARIATION, "").split()):
        if sign not in LEGEND:
            raise UserError(f"{place}: the sign {sign} is not in the legend; use one of {' '.join(LEGEND)}")
    footer = _FOOTER.search(body)
    fields = _footer_fields(footer["footer"] if footer else "", place)
    answer = _COMMENT.sub("", body[: footer.start()] if footer else body).replace(SHOWN, "<").strip()
    if not answer:
        raise UserError(f"{place}: the question has no answer; write one below its summary")
    inside = tuple(dict.fromkeys(character for character in signs + answer if character in LEGEND))
    tags = tuple(tag.strip() for tag in fields.get("tags", "").split(",") if tag.strip())
    chapter = fields.get("chapter")
    kind = fields.get("kind", KINDS[0])
    within = WITHIN
    if "within" in fields:
        within = parse_number(fields["within"], f"{place}: within") / 100
    shows, value = fields.get("shows"), fields.get("value")
    card = Card(question, answer, inside, tags, chapter, shows, place, kind, code, value, within)
    _check_kind(card)
    return card


def _check_kind(card: Card) -> None:
    """Raise `UserError` for an unknown kind, and for a card that lacks what its kind needs."""
    if card.kind not in KINDS:
        raise UserError(f"{card.place}: kind {card.kind!r}: {nearest(card.kind, KINDS)}")
    if card.kind == "compute":
        if card.value is None:
            raise UserError(f"{card.place}: is of kind compute and names no number; add `value: NUMBER` to its footer")
        parse_number(card.value, f"{card.place}: value")
    if card.kind == "choose" and card.value not in card.options:
        offered = ", ".join(card.options) or "none; list them as (a), (b), (c) in the question"
        raise UserError(f"{card.place}: value {card.value!r}: is none of its explanations: {offered}")


def _footer_fields(footer: str, place: str) -> dict[str, str]:
    """Parse the footer of a card."""
    fields = {}
    for part in filter(None, (part.strip() for part in footer.split("·"))):
        chapter = re.fullmatch(r"chapter (\d+|[A-Z])", part)
        key, colon, value = part.partition(":")
        if chapter:
            fields["chapter"] = chapter[1]
        elif colon and key in _FIELDS:
            fields[key] = value.strip()
        else:
            raise UserError(f"{place}: {part!r}: {nearest(key, ['chapter N', *(f'{each}: ...' for each in _FIELDS)])}")
    return fields


def in_order(chapter: str) -> tuple[bool, int, str]:
    """Return a key that sorts chapters: numbers, then letters."""
    return not chapter.isdigit(), int(chapter) if chapter.isdigit() else 0, chapter


def chosen(
    cards: Sequence[Card], chapter: str | None, tag: str | None, sign: str | None, kind: str | None = None
) -> list[Card]:
    """Return the cards with this chapter, tag, sign and kind. Raises `UserError` if there are none."""
    plain, by_name = (sign or "").replace(VARIATION, ""), {name: sign for sign, name in LEGEND.items()}
    wanted = by_name.get(plain, plain)
    if sign is not None and wanted not in LEGEND:
        raise UserError(f"--sign {sign}: {nearest(sign, by_name)}; or one of {' '.join(LEGEND)}")
    if kind is not None and kind not in KINDS:
        raise UserError(f"--kind {kind}: {nearest(kind, KINDS)}")
    selected = [
        card
        for card in cards
        if (chapter is None or card.chapter == chapter)
        and (tag is None or tag in card.tags)
        and (sign is None or wanted in card.signs)
        and (kind is None or card.kind == kind)
    ]
    if not selected:
        tags = sorted({each for card in cards for each in card.tags})
        offer = f"; {nearest(tag, tags)}" if tag is not None and tag not in tags else ""
        chapters = sorted({card.chapter for card in cards if card.chapter is not None}, key=in_order)
        if chapter is not None and chapter not in chapters:
            offer += f"; chapters: {', '.join(chapters)}"
        raise UserError(f"quiz: no card matches{offer}; leave out --chapter, --tag, --sign or --kind")
    return selected
