"""The compiler of frames, from lines of `plots` and `facts` to sequences of words and grammar nodes.

A slot such as `$A` is a node with one word, set anew for each story, so that expansion treats it like any category.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scratchlm.storyworld import facts, plots
from scratchlm.storyworld.grammar import Generator, Item, Node, Symbol, parse_items
from scratchlm.storyworld.plots_more import MORE_PLOTS

Compiled = tuple[str | Node, ...]

TAIL_PERCENT = 30
SPEECH_ADVERB_PERCENT = 20
PEOPLE = ("A", "B")
_FACT_SLOT = re.compile(r"\$([ABPS])\.(\w+)")
# After these verbs a sentence describes a state, so "a moment later," does not go before it.
_STATES = frozenset(
    ["was", "had", "lived", "loved", "knew", ",", "and", "'s", "the", "wanted", "missed", "learned", "thought", "never"]
)


@dataclass(frozen=True)
class Frame:
    """One sentence template of a step: its compiled items, its subject or speaker, and the facts that it states."""

    text: str
    items: Compiled
    subject: str
    speech: str  # the mark that closes direct speech, or nothing
    needs: tuple[tuple[str, str], ...]  # (role, attribute)
    fronted: bool  # whether it is an event, which "a moment later," may precede


@dataclass(frozen=True)
class Step:
    """One step of a plot: alternative frames, or an instruction such as `fact A`."""

    frames: tuple[Frame, ...]
    order: str = ""
    sometimes: bool = False


@dataclass(frozen=True)
class Plot:
    """One plot: the noun classes of its slots, the hero's facts that it needs, and its steps."""

    name: str
    cast: tuple[tuple[str, str], ...]
    needs: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class FactFrames:
    """The frames of one attribute of one role: the canonical one, others, and those that state two facts."""

    canonical: Frame
    others: tuple[Frame, ...]
    pairs: tuple[Frame, ...]


def frame_items(text: str) -> tuple[Item, ...]:
    """Read a frame into items; slots become symbols whose name starts with `$`."""
    items: list[Item] = []
    for part in text.split():
        items.extend((Symbol(part),) if part.startswith("$") else parse_items(part))
    return tuple(items)


def split_frame(text: str) -> tuple[str, str, str]:
    """Return (subject or speaker, mark of speech or nothing, the frame without the speaker and the mark)."""
    if text[1:3] == ": ":
        body, mark = text[3:].rsplit(" ", 1)
        return text[0], mark, body
    first = text.split()[0]
    return (first[1] if re.fullmatch(r"\$[AB]", first) else ""), "", text


def plot_blocks() -> list[tuple[str, dict[str, str], str]]:
    """Return (name, header pairs, steps) of every plot."""
    blocks = []
    for block in (plots.PLOTS + MORE_PLOTS).split("== ")[1:]:
        header, _, body = block.partition("\n")
        name, _, pairs = header.partition("|")
        blocks.append((name.strip(), dict(pair.split("=", 1) for pair in pairs.split()), body))
    return blocks


def for_role(text: str, role: str) -> str:
    """Rewrite frames about $A for another role."""
    text = re.sub(r"\$A\b", f"${role}", text)
    text = re.sub(r"\$a\b", f"${role.lower()}", text)
    return re.sub(r"(^|[-/] )A: ", rf"\g<1>{role}: ", text, flags=re.MULTILINE)


class Compiler:
    """Compiles frames for one generator; `slots` holds the nodes that a story sets."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.slots: dict[str, Node] = {}
        self.tails = {kind: generator.optional(f"Tail.{kind}", TAIL_PERCENT) for kind in ("sg", "first")}

    def slot(self, name: str) -> Node:
        """Return the node of a slot, made on first use."""
        return self.slots.setdefault(name, Node(name, ("",)))

    def frame(self, text: str) -> Frame:
        """Compile one frame."""
        subject, speech, body = split_frame(text)
        found = dict.fromkeys((role, key) for role, key in _FACT_SLOT.findall(body) if key in facts.ATTRIBUTES)
        items: list[str | Node] = []
        for item in frame_items(body):
            if isinstance(item, Symbol) and item.name.startswith("$"):
                items.append(self.slot(item.name))
            else:
                items.append(self.tails["first" if speech else "sg"] if item == "~" else self.generator.compiled(item))
        words = body.split()
        fronted = bool(subject) and not speech and words[1] not in _STATES
        return Frame(text, tuple(items), subject, speech, tuple(found), fronted)

    def steps(self, text: str) -> tuple[Step, ...]:
        """Compile the steps of a plot or of a list of alternatives."""
        steps: list[tuple[list[Frame], str, bool]] = []
        for line in text.strip().splitlines():
            mark, rest = line[:1], line[2:].strip()
            if mark == "@":
                steps.append(([], line[1:].strip(), False))
            elif mark in {"-", "?"}:
                steps.append(([self.frame(rest)], "", mark == "?"))
            elif mark == "/":
                steps[-1][0].append(self.frame(rest))
        return tuple(Step(tuple(frames), order, sometimes) for frames, order, sometimes in steps)

    def plots(self) -> list[Plot]:
        """Compile every plot."""
        found = []
        for name, header, body in plot_blocks():
            needs = tuple(text.partition(".")[2] for key, text in header.items() if key == "needs")
            cast = tuple((slot, kind) for slot, kind in header.items() if slot != "needs")
            found.append(Plot(name, cast, needs, self.steps(body)))
        return found

    def fact_frames(self) -> dict[tuple[str, str], FactFrames]:
        """Compile the frames of each attribute for each role that can have it."""
        compiled: dict[tuple[str, str], FactFrames] = {}
        for attribute in facts.ATTRIBUTES.values():
            for role in attribute.roles:
                pairs = [self.frame(for_role(t, role)) for t in facts.PAIRS if f"$A.{attribute.key} " in t]
                compiled[role, attribute.key] = FactFrames(
                    self.frame(for_role(attribute.canonical, role)),
                    tuple(self.frame(for_role(text, role)) for text in attribute.frames),
                    tuple(pairs) if role in PEOPLE else (),
                )
        return compiled
