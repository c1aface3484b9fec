"""The lexicon: the words of each category, with semantic classes for the generator and without for the recogniser.

A category is written `Base/class.form`: `N/fruit.pl`, `Vt/edible.past`, `Adj/size`. The recogniser drops the class.
"""

from __future__ import annotations

from functools import cache

from scratchlm.storyworld import names, words_nouns
from scratchlm.storyworld.morphology import plural, verb_forms
from scratchlm.storyworld.words_other import WORDS
from scratchlm.storyworld.words_verbs import VERBS

THINGS = ("tool", "toy", "clothing", "treasure", "container")


def _nouns() -> dict[str, list[str]]:
    categories: dict[str, list[str]] = {}
    for kind, text in words_nouns.COUNT_NOUNS.items():
        for entry in text.split():
            one, _, many = entry.partition("/")
            categories.setdefault(f"N/{kind}.sg", []).append(one)
            categories.setdefault(f"N/{kind}.pl", []).append(many or plural(one))
    for kind, text in words_nouns.MASS_NOUNS.items():
        categories[f"N/{kind}.mass"] = text.split()
    for form in ("sg", "pl"):
        categories[f"N/thing.{form}"] = [word for kind in THINGS for word in categories[f"N/{kind}.{form}"]]
    return categories


def _verbs() -> dict[str, list[str]]:
    categories: dict[str, list[str]] = {}
    for group, text in VERBS.items():
        for entry in text.split():
            for form, word in verb_forms(entry).items():
                categories.setdefault(f"{group}.{form}", []).append(word)
    return categories


def _others() -> dict[str, list[str]]:
    categories = {category: [word.replace("_", " ") for word in text.split()] for category, text in WORDS.items()}
    return categories | {"TimeN.pl": [plural(noun) for noun in categories["TimeN.sg"]]}


def towns() -> list[str]:
    """Return the twenty town names; the town with index i is `start + end` of the two lists."""
    return [start + end for start, end in zip(names.TOWN_STARTS.split(), names.TOWN_ENDS.split(), strict=True)]


def specials() -> list[str]:
    """Return the twenty famous things: ten adjectives, each with two of the ten nouns."""
    first, second = names.SPECIAL_FIRST.split(), names.SPECIAL_SECOND.split()
    return [f"{word} {second[(i + turn) % 10]}" for turn in (0, 3) for i, word in enumerate(first)]


def foods() -> list[tuple[str, str]]:
    """Return (word, form in general statements) of all foods: `plum` and `plums`, or `honey` twice."""
    entries = [entry.partition("|") for entry in names.VALUES["food"].split()]
    return [(first, second or first) for first, _, second in entries]


def _values() -> dict[str, list[str]]:
    values = {key: text.split() for key, text in names.VALUES.items()}
    known_for_many = [word for word in values["known"] if word.endswith("s") and word != "glass"]
    women, men = names.MINOR_WOMEN.split(), names.MINOR_MEN.split()
    categories = {
        "Name": [*names.RECURRING_WOMEN.split(), *names.RECURRING_MEN.split(), *women, *men],
        "Name/woman": women,
        "Name/man": men,
        "Town": towns(),
        "N/special.sg": specials(),
        "N/instrument.sg": [word for word in values["instrument"] if word != "bagpipes"],
        "N/instrument.pl": ["bagpipes"],
        "N/material.mass": values["material"],
        "N/foodvalue.mass": [one for one, many in foods() if one == many],
        "N/foodvalue.sg": [one for one, many in foods() if one != many],
        "N/foodvalue.pl": [many for one, many in foods() if one != many],
        "N/known.pl": known_for_many,
        "N/known.mass": [word for word in values["known"] if word not in known_for_many],
        "Colour": values["colour"],
        "Adj/colourvalue": values["colour"],
    }
    categories |= {f"N/{kind}.sg": values[kind] for kind in ("job", "pet", "treasure", "site")}
    irregular = {"goose": "geese", "mouse": "mice"}
    for kind in ("job", "pet", "site"):
        categories[f"N/{kind}.pl"] = [irregular.get(word, plural(word)) for word in values[kind]]
    return categories


@cache
def lexicon() -> dict[str, tuple[str, ...]]:
    """Return the words of every category with its class, built once a process (about 10 ms)."""
    merged: dict[str, dict[str, None]] = {}
    for part in (_nouns(), _verbs(), _others(), _values()):
        for category, words in part.items():
            merged.setdefault(category, {}).update(dict.fromkeys(words))
    return {category: tuple(words) for category, words in merged.items()}


def stripped(category: str) -> str:
    """Return the category without its class: `N/fruit.pl` is `N.pl` to the recogniser."""
    base, dot, form = category.partition(".")
    return base.partition("/")[0] + dot + form
