"""The teller: chooses the people of a story, expands its frames, and states the facts evenly."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from scratchlm.base.errors import UserError
from scratchlm.storyworld.frames import Compiled, Frame, FrameCompiler, Plot, for_role
from scratchlm.storyworld.grammar import Generator, Node, parse_items
from scratchlm.storyworld.world import Entity, Fact, World, build_world
from scratchlm.storyworld.written import plot

_PRONOUNS = {"woman": ("she", "her", "her"), "man": ("he", "him", "his")}
_CAPITAL = re.compile(r"(^|<< )([a-z])")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")
# Probabilities: a repeated subject is a pronoun; an event gets an adverbial in front; the speaker precedes the speech;
# a fact is stated with another one in one sentence; a fact's mention is its canonical statement; a plot's `@do` is
# followed by something that happens beside the plot, and by a description.
_AGAIN = 0.5
_FRONTED = 0.18
_SPEECH_BEFORE = 0.2
_PAIRED = 0.4
_CANONICAL = 0.3
_SECOND_FACT = 0.75
_FACT_FIRST = 0.4
_LONG = 11  # sentences after which only the plot continues
_PARAGRAPH = (0.1, 0.4)  # probability of a new paragraph before an event, before a fact
_FILLER = 0.95
_SCENE = 0.2
_SPEECH_ADVERB_PERCENT = 20


class Teller:
    """Tells stories of one world; the same seed tells the same stories on every machine."""

    def __init__(self, world: World, seed: int) -> None:
        self.random = random.Random(f"stories {seed}").random
        self.generator = Generator()
        self.nodes = self.generator.nodes
        for name, text in (("Pro.sg", "she"), ("Pob", "her"), ("Pos", "her"), ("Pro.pl", "they")):
            self.nodes[name] = Node((text,))
        compiler = FrameCompiler(self.generator)
        self.plots = compiler.plots()
        self.intros, self.incidents, self.closings, self.scenes = (
            compiler.steps(text)[0].frames for text in map(plot, ("intros", "incidents", "closings", "scenes"))
        )
        self.fillers = {role: compiler.steps(for_role(plot("fillers"), role))[0].frames for role in "AB"}
        self.fact_frames = compiler.fact_frames()
        self.front = tuple(map(self.generator.compiled, parse_items("Front ,")))
        self.how = self.generator.optional("Adv/speech", _SPEECH_ADVERB_PERCENT)
        self.tags = {
            mark: self.generator.node(f"Speech/{verb}") for mark, verb in ((",", "tell"), ("!", "shout"), ("?", "ask"))
        }
        self.people = [person for person in world.people if not person.hidden]
        self.entities = {"A": self.people, "P": list(world.towns), "S": list(world.specials)}
        self.decks: dict[str, list[Entity]] = {role: [] for role in self.entities}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.stated: Counter[tuple[str, str]] = Counter()  # canonical statements so far

    def expand(self, items: Compiled, out: list[str]) -> None:
        """Append a random expansion of the items; words of a category are drawn without replacement."""
        rnd = self.random
        for item in items:
            if isinstance(item, str):
                out.append(item)
            elif item.words:
                if len(item.words) == 1:
                    out.append(item.words[0])
                    continue
                if not item.deck:
                    item.deck = sorted(item.words, key=lambda _: rnd())
                out.append(item.deck.pop())
            else:
                alternatives = item.alternatives
                self.expand(alternatives[int(rnd() * len(alternatives))], out)

    def set_slot(self, name: str, text: str) -> None:
        """Give a slot its word."""
        self.generator.node(name).words = (text,)

    def story(self, hero: Entity | None = None, limit: int = 99) -> str:
        """Tell one story, of a given hero and at most `limit` sentences where these are asked for."""
        cast = {"A": hero or self._draw("A")}
        plot = self._draw_plot(cast["A"])
        cast["B"] = self._draw("A")
        while cast["B"] is cast["A"]:
            cast["B"] = self._draw("A")
        cast |= {role: self._draw(role) for role in "PS"}
        for role, entity in cast.items():
            self._cast(role, entity)
        for slot, kind in plot.cast.items():
            words: list[str] = []
            self.expand((self.generator.node(f"N/{kind}.sg"), self.generator.node(f"A/{kind}")), words)
            self.set_slot(f"${slot}", words[0])
            self.set_slot(f"${slot}.adj", words[1])
        return _Telling(self, cast).tell(plot, limit)

    def _draw(self, role: str) -> Entity:
        """Draw the next entity of a role without replacement, so that all appear equally often."""
        left = self.decks[role]
        if not left:
            left.extend(sorted(self.entities[role], key=lambda _: self.random()))
        return left.pop()

    def _draw_plot(self, hero: Entity) -> Plot:
        """Draw a plot whose required fact (`needs=A.pet`) stories may state of the hero."""
        while True:
            plot = self.plots[int(self.random() * len(self.plots))]
            if not plot.needs or hero.facts[plot.needs].in_stories:
                return plot

    def _cast(self, role: str, entity: Entity) -> None:
        self.set_slot(f"${role}", entity.name)
        self.set_slot(f"${role}.kind", entity.kind)
        for key, fact in entity.facts.items():
            self.set_slot(f"${role}.{key}", fact.value)
        for suffix, word in zip(("", ".o", ".p"), _PRONOUNS.get(entity.kind, ()), strict=False):
            self.set_slot(f"${role.lower()}{suffix}", word)


class _Telling:
    """The state of one story: its people, and the sentences so far."""

    def __init__(self, teller: Teller, cast: dict[str, Entity]) -> None:
        self.teller = teller
        self.cast = cast
        self.told: set[tuple[str, str]] = set()
        self.last = ""  # subject of the last sentence
        self.sentences: list[str] = []

    def tell(self, plot: Plot, limit: int) -> str:
        """Tell the plot and return its text."""
        fact_first = self._chance(_FACT_FIRST)
        if fact_first:
            self._fact("A")
        self._say_one(self.teller.incidents if fact_first else self.teller.intros + self.teller.incidents)
        for step in plot.steps:
            if len(self.sentences) >= limit:
                break
            if step.sometimes and not self._extra(0.5):
                continue
            if step.order:
                self._obey(step.order)
            else:
                self._say_one(step.frames)
        return finish(self.sentences)

    def _chance(self, probability: float) -> bool:
        return self.teller.random() < probability

    def _extra(self, probability: float) -> bool:
        """Decide randomly on an optional sentence; never in a long story."""
        return len(self.sentences) < _LONG and self._chance(probability)

    def _choice(self, frames: Sequence[Frame]) -> Frame:
        return frames[int(self.teller.random() * len(frames))]

    def _obey(self, order: str) -> None:
        """Follow an instruction of the plot: a fact of someone, something that someone does, the end."""
        verb, _, role = order.partition(" ")
        if verb == "fact":
            self._fact(role)
            if self._extra(_SECOND_FACT):
                self._fact(role)
        elif verb == "do":
            if self._extra(_FILLER):
                self._say_one(self.teller.fillers[role])
            if self._extra(_SCENE):
                self._say_one(self.teller.scenes)
        else:
            self._fact("P" if self._chance(0.5) else "S")
            if self._extra(0.6):
                self._say_one(self.teller.closings)

    def _may_tell(self, frame: Frame) -> bool:
        return all(self.cast[role].facts[key].in_stories for role, key in frame.needs)

    def _say_one(self, frames: Sequence[Frame]) -> None:
        """Write one of the frames that state no held-out fact, preferably one that repeats no fact."""
        options = [frame for frame in frames if self._may_tell(frame)]
        fresh = [frame for frame in options if self.told.isdisjoint(frame.needs)]
        if options:
            self._say(self._choice(fresh or options))

    def _fact(self, role: str) -> None:
        """State the least frequent fact of a role that is new in this story, sometimes with a second one."""
        counts, stated = self.teller.counts, self.teller.stated
        left = [fact for fact in self.cast[role].told() if (role, fact.attribute) not in self.told]
        if not left:
            return

        def times_told(fact: Fact) -> tuple[int, float]:
            return counts[fact.subject, fact.attribute], self.teller.random()

        fact = min(left, key=times_told)
        key = (fact.subject, fact.attribute)
        canonical, others, pairs = self.teller.fact_frames[role, fact.attribute]
        pairs = [frame for frame in pairs if self.told.isdisjoint(frame.needs) and self._may_tell(frame)]
        if stated[key] <= _CANONICAL * counts[key]:
            stated[key] += 1
            self._say(canonical, plain=True)
        else:
            self._say(self._choice(pairs if pairs and self._chance(_PAIRED) else others), plain=True)

    def _say(self, frame: Frame, plain: bool = False) -> None:
        """Write a frame; a plain one keeps its subject's name and gets no adverbial."""
        teller = self.teller
        for role, key in frame.needs:
            self.told.add((role, key))
            teller.counts[self.cast[role].name, key] += 1
        role = frame.subject or "A"
        nodes = teller.nodes
        for name, slot in (("Pro.sg", ""), ("Pob", ".o"), ("Pos", ".p")):
            nodes[name].words = nodes[f"${role.lower()}{slot}"].words
        out: list[str] = []
        if frame.speech:
            self._speak(frame, out, plain)
        else:
            items = frame.items
            if frame.fronted and not plain and self._chance(_FRONTED):
                teller.expand(teller.front, out)
            if frame.subject and not plain and frame.subject == self.last and self._chance(_AGAIN):
                items = self._with_pronoun(items, role)
            teller.expand(items, out)
        self.last = frame.subject
        if self.sentences and self._chance(_PARAGRAPH[plain]):
            self.sentences[-1] += "\n"
        self.sentences.append(_CAPITAL.sub(lambda m: m[1] + m[2].upper(), " ".join(out)))

    def _with_pronoun(self, items: Compiled, role: str) -> Compiled:
        """Replace the subject's name by a pronoun, unless an apposition or a second subject follows it."""
        nodes, low = self.teller.nodes, f"${role.lower()}"
        if items[1] in (",", "and", "the"):
            return items
        return (nodes[low + ".p"], *items[2:]) if items[1] == "'s" else (nodes[low], *items[1:])

    def _speak(self, frame: Frame, out: list[str], before: bool) -> None:
        """Write direct speech with its tag before or after it; before, where the name should precede a fact."""
        teller, role, mark = self.teller, frame.subject, frame.speech
        again = role == self.last and not before and self._chance(_AGAIN)
        who = teller.nodes["$" + (role.lower() if again else role)]
        verb = teller.tags[mark]
        if before or self._chance(_SPEECH_BEFORE):
            teller.expand((who, verb, ",", "<<", *frame.items, "." if mark == "," else mark, "''"), out)
            return
        # A name in front of its verb would look like the next sentence after `?"` or `!"`.
        turned = not again and (mark != "," or self._chance(0.7))
        tag = (verb, who) if turned else (who, verb)
        teller.expand(("<<", *frame.items, mark, "''", *tag, teller.how, "."), out)


def finish(sentences: list[str]) -> str:
    """Join sentences, attach punctuation and possessives to their words, and write a as an before a vowel."""
    text = " ".join(sentences).replace("\n ", "\n")
    for mark in (",", ".", "!", "?", ";", "'s"):
        text = text.replace(" " + mark, mark)
    return _ARTICLE.sub(r"\1n ", text.replace("<< ", '"').replace(" ''", '"'))


def stories(size: int, seed: int = 0, world: World | None = None) -> Iterator[str]:
    """Yield stories, one a document, until at least `size` UTF-8 bytes were yielded.

    Memory is constant in `size`; about 2 MB a second on one core. The seed varies the stories, not the facts: those
    are the world's, by default `build_world(0)`. A negative size is a `UserError`.
    """
    if size < 0:
        raise UserError(f"a size of {size} bytes: it must be at least 0")
    return _tell(size, Teller(world or build_world(), seed))


def _tell(size: int, teller: Teller) -> Iterator[str]:
    written = 0
    while written < size:
        story = teller.story()
        written += len(story)  # the text is ASCII
        yield story


def openings(seed: int, world: World) -> dict[str, list[str]]:
    """Return four short stories of two to four sentences by the name of their hero, for every person in stories."""
    teller = Teller(world, -1 - seed)
    return {
        person.name: [teller.story(person, 2 + int(teller.random() * 3)) for _ in range(4)] for person in teller.people
    }
