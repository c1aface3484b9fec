"""The world: people, towns and famous things with their facts, a few of which are held out of all stories."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from scratchlm.base.errors import UserError
from scratchlm.storyworld.facts import ATTRIBUTES
from scratchlm.storyworld.lexicon import foods, recurring_names, specials, towns
from scratchlm.storyworld.written import words

Kind = Literal["woman", "man", "town", "special"]

PEOPLE = 60
HIDDEN_PEOPLE = 4
HIDDEN_PER_ATTRIBUTE = 4  # of the twenty towns and of the twenty famous things


@dataclass(frozen=True)
class Fact:
    """One fact; `in_stories` is false for what stories never state or imply."""

    subject: str
    attribute: str
    value: str
    in_stories: bool


@dataclass(frozen=True)
class Entity:
    """A person, town or famous thing with its facts by attribute; `hidden` ones are in no story."""

    name: str
    kind: Kind
    facts: dict[str, Fact]
    hidden: bool = False

    def told(self) -> list[Fact]:
        """Return the facts that stories may state."""
        return [fact for fact in self.facts.values() if fact.in_stories]


@dataclass(frozen=True)
class World:
    """All people, towns and famous things of one seed."""

    seed: int
    people: tuple[Entity, ...]
    towns: tuple[Entity, ...]
    specials: tuple[Entity, ...]

    def facts(self) -> list[Fact]:
        """Return every fact, of people first."""
        entities = (*self.people, *self.towns, *self.specials)
        return [fact for entity in entities for fact in entity.facts.values()]

    def entity(self, name: str) -> Entity:
        """Return the person, town or thing of that name; an unknown name is a `UserError`."""
        for entity in (*self.people, *self.towns, *self.specials):
            if entity.name == name:
                return entity
        raise UserError(f"{name!r} is not in the story world; try one of {', '.join(e.name for e in self.people[:5])}")


def _deal(rng: random.Random, attribute: str, count: int) -> list[str]:
    """Return `count` values, in the form of statements, such that their frequencies differ by at most one."""
    if attribute in {"town", "stand"}:
        values = towns()
    else:
        values = [many for _, many in foods()] if attribute == "food" else words("values")[attribute].split()
    dealt: list[str] = []
    while len(dealt) < count:
        rng.shuffle(values)
        dealt.extend(values)
    return dealt[:count]


def _people(rng: random.Random) -> tuple[Entity, ...]:
    women, men = recurring_names()
    chosen: list[tuple[str, Kind]] = [(name, "woman") for name in rng.sample(women, PEOPLE // 2)]
    chosen += [(name, "man") for name in rng.sample(men, PEOPLE - PEOPLE // 2)]
    rng.shuffle(chosen)
    keys = [key for key, attribute in ATTRIBUTES.items() if "A" in attribute.roles]
    dealt = {key: _deal(rng, key, PEOPLE) for key in keys}
    people = []
    for i, (name, kind) in enumerate(chosen):
        hidden = i < HIDDEN_PEOPLE
        # Every second person lacks two attributes, the others one; which one rotates.
        lacking = {keys[i % len(keys)]} | ({keys[(i + 3) % len(keys)]} if i % 2 else set())
        facts = {key: Fact(name, key, dealt[key][i], not hidden and key not in lacking) for key in keys}
        people.append(Entity(name, kind, facts, hidden))
    return tuple(people)


def _others(rng: random.Random, options: list[str], kind: Kind, keys: tuple[str, str]) -> tuple[Entity, ...]:
    order = rng.sample(options, len(options))
    dealt = {key: _deal(rng, key, len(options)) for key in keys}
    entities = []
    for i, name in enumerate(order):
        lacking = keys[i // HIDDEN_PER_ATTRIBUTE] if i < 2 * HIDDEN_PER_ATTRIBUTE else ""
        entities.append(Entity(name, kind, {key: Fact(name, key, dealt[key][i], key != lacking) for key in keys}))
    return tuple(entities)


@cache
def build_world(seed: int = 0) -> World:
    """Return the world of a seed: 60 people with 7 facts each, 20 towns and 20 famous things with 2 each.

    Takes milliseconds.
    """
    rng = random.Random(f"storyworld {seed}")
    return World(
        seed,
        _people(rng),
        _others(rng, towns(), "town", ("known", "site")),
        _others(rng, specials(), "special", ("material", "stand")),
    )
