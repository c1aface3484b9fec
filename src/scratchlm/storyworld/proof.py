"""Proof that plots and grammar are consistent: every frame is a sentential form of `S`.

A frame whose words and categories the grammar derives from `S` expands to nothing but sentences of the grammar, however
its categories are expanded. The recogniser parses the frame itself, categories left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from scratchlm.storyworld import facts, plots
from scratchlm.storyworld.frames import for_role, plot_blocks, split_frame
from scratchlm.storyworld.grammar import Item, Symbol, parse_items
from scratchlm.storyworld.lexicon import lexicon, stripped
from scratchlm.storyworld.recogniser import Recogniser

_EXAMPLES = {
    "A": "Mara", "B": "Tom", "P": "Oakford", "S": "Great Bell", "a": "she", "b": "he", "a.o": "her", "b.o": "him",
    "a.p": "her", "b.p": "his", "town": "Oakford", "stand": "Oakford", "job": "baker", "pet": "goat", "food": "plums",
    "colour": "red", "instrument": "flute", "treasure": "ring", "known": "bells", "site": "river", "material": "oak",
    "kind": "woman", "adj": "old",
}  # fmt: skip


def frames() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every frame with the header (slot to noun class) of its plot."""
    texts: list[tuple[str, dict[str, str]]] = [
        (text, {}) for text in (plots.INTROS, plots.INCIDENTS, plots.CLOSINGS, plots.SCENES, plots.FILLERS)
    ]
    texts += [(body, header) for header, body in plot_blocks()]
    for text, header in texts:
        for line in text.strip().splitlines():
            if line[:1] in {"-", "/", "?"}:
                yield line[2:].strip(), header
    for attribute in facts.ATTRIBUTES.values():
        role = attribute.roles[0]
        yield from ((for_role(text, role), {}) for text in (attribute.canonical, *attribute.frames))
    yield from ((text, {}) for text in facts.PAIRS)


def _words(slot: str, cast: dict[str, str]) -> list[Item]:
    """Return the words of an example value of a slot."""
    role, _, key = slot[1:].partition(".")
    in_cast = role in cast and not key
    text = lexicon()[f"N/{cast[role]}.sg"][0] if in_cast else _EXAMPLES.get(slot[1:]) or _EXAMPLES[key]
    return list(text.split())


def sentential_form(frame: str, cast: dict[str, str]) -> list[Item]:
    """Return the frame in the recogniser's form: example words for slots, categories without their classes."""
    subject, speech, body = split_frame(frame)
    items: list[Item] = []
    for item in parse_items(body):
        if item == "~":
            items.append(Symbol("Tail.first" if speech else "Tail.sg"))
        elif isinstance(item, Symbol) and item.name.startswith("$"):
            items.extend(_words(item.name, cast))
        elif isinstance(item, Symbol):
            items.append(Symbol(stripped(item.name)))
        else:
            items.append(item)
    if speech:
        verb = Symbol("Vask.past" if speech == "?" else "Vsay.past")
        return ["<<", *items, speech, "''", verb, *_words("$" + subject, cast), "."]
    return items


def unproved_frames() -> list[str]:
    """Return the frames that the grammar does not derive; any such frame is an inconsistency."""
    return [f for f, cast in frames() if not Recogniser(sentential_form(f, cast)).derives("S")]
