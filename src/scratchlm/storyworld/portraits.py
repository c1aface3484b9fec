"""Portraits: documents that list the facts of a few people, places or things, in random order.

In a training of minutes, a model sees each fact too rarely in stories alone; a portrait repeats it in its canonical
sentence, with the other facts of the same subject. Portraits contain only facts of the stories.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

from scratchlm.storyworld.quiz import statement
from scratchlm.storyworld.world import Fact, World

TOGETHER = 3
"""Subjects of one document; few, so that each is often at the beginning of a document."""


def portraits(size: int, seed: int, world: World) -> Iterator[str]:
    """Yield portraits until at least `size` UTF-8 bytes were yielded; deterministic by seed, constant in memory."""
    rng = random.Random(seed)
    known: dict[str, list[Fact]] = defaultdict(list)
    for fact in world.facts():
        if fact.in_stories:
            known[fact.subject].append(fact)
    subjects = sorted(known)
    written = 0
    while written < size:
        chosen = rng.sample(subjects, min(TOGETHER, len(subjects)))
        facts = [fact for subject in chosen for fact in rng.sample(known[subject], len(known[subject]))]
        text = " ".join(map(statement, facts))
        yield text
        written += len(text.encode("utf-8"))
