"""The compiler of frames, from lines of plots.toml and `facts` to sequences of words and grammar nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scratchlm.storyworld import facts
from scratchlm.storyworld.grammar import Generator, Node, parse_items
from scratchlm.storyworld.written import plot

Compiled = tuple[str | Node, ...]

TAIL_PERCENT = 30
PEOPLE = ("A", "B")
_FACT_SLOT = re.compile(r"\$([ABPS])\.(\w+)")
# After these verbs a sentence describes a state, so "a moment later," does not go before it.
_STATES = frozenset(
    ["was", "had", "lived", "loved", "knew", ",", "and", "'s", "the", "wanted", "missed", "learned", "thought", "never"]
)


@dataclass(frozen=True)
class Frame:
    """One sentence template of a step: its compiled items, its subject or speaker, and the facts that it states."""

    items: Compiled
    subject: str
    speech: str  # the mark that closes direct speech, or nothing
    needs: tuple[tuple[str, str], ...]  # (role, attribute)
    fronted: bool  # whether it is an event, which "a moment later," may precede


@dataclass(frozen=True)
class Step:
    """One step of a plot: alternative frames, or an instruction such as `fact A`."""

    frames: list[Frame]
    order: str
    sometimes: bool


@dataclass(frozen=True)
class Plot:
    """One plot: the noun classes of its slots, the hero's fact that it needs or nothing, and its steps."""

    cast: dict[str, str]
    needs: str
    steps: list[Step]


def split_frame(text: str) -> tuple[str, str, str]:
    """Return (subject or speaker, mark of speech or nothing, the frame without the speaker and the mark)."""
    if text[1:3] == ": ":
        body, mark = text[3:].rsplit(" ", 1)
        return text[0], mark, body
    first = text.split()[0]
    return (first[1] if re.fullmatch(r"\$[AB]", first) else ""), "", text


def plot_blocks() -> list[tuple[dict[str, str], str]]:
    """Return (header pairs, steps) of every plot."""
    blocks = []
    for block in plot("plots").split("== ")[1:]:
        header, _, body = block.partition("\n")
        blocks.append((dict(pair.split("=", 1) for pair in header.partition("|")[2].split()), body))
    return blocks


def for_role(text: str, role: str) -> str:
    """Rewrite frames about $A for another role."""
    text = re.sub(r"\$A\b", f"${role}", text)
    text = re.sub(r"\$a\b", f"${role.lower()}", text)
    return re.sub(r"(^|[-/] )A: ", rf"\g<1>{role}: ", text, flags=re.MULTILINE)


class FrameCompiler:
    """Compiles frames for one generator."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.tails = {kind: generator.optional(f"Tail.{kind}", TAIL_PERCENT) for kind in ("sg", "first")}

    def frame(self, text: str) -> Frame:
        """Compile one frame."""
        subject, speech, body = split_frame(text)
        needed = dict.fromkeys((role, key) for role, key in _FACT_SLOT.findall(body) if key in facts.ATTRIBUTES)
        tail = self.tails["first" if speech else "sg"]
        items = tuple(tail if item == "~" else self.generator.compiled(item) for item in parse_items(body))
        fronted = bool(subject) and not speech and body.split()[1] not in _STATES
        return Frame(items, subject, speech, tuple(needed), fronted)

    def steps(self, text: str) -> list[Step]:
        """Compile the steps of a plot or of a list of alternatives."""
        steps: list[Step] = []
        for line in text.strip().splitlines():
            mark, rest = line[:1], line[1:].strip()
            if mark == "@":
                steps.append(Step([], rest, False))
            elif mark in {"-", "?"}:
                steps.append(Step([self.frame(rest)], "", mark == "?"))
            elif mark == "/":
                steps[-1].frames.append(self.frame(rest))
        return steps

    def plots(self) -> list[Plot]:
        """Compile every plot."""
        return [
            Plot(header, header.pop("needs", "").removeprefix("A."), self.steps(body)) for header, body in plot_blocks()
        ]

    def fact_frames(self) -> dict[tuple[str, str], tuple[Frame, list[Frame], list[Frame]]]:
        """Compile the frames of each attribute for each role: the canonical one, others, those that state two facts."""
        return {
            (role, key): (
                self.frame(for_role(attribute.canonical, role)),
                [self.frame(for_role(text, role)) for text in attribute.frames],
                [self.frame(for_role(text, role)) for text in facts.PAIRS if f"$A.{key} " in text],
            )
            for key, attribute in facts.ATTRIBUTES.items()
            for role in attribute.roles
        }
