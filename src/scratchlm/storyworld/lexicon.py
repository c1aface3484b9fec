"""The lexicon: the words of each category, with semantic classes for the generator and without for the recogniser.

A category is written `Base/class.form`: `N/fruit.pl`, `Vt/edible.past`, `Adj/size`. The recogniser drops the class.
"""

from __future__ import annotations

from functools import cache

from scratchlm.storyworld.morphology import plural, verb_forms
from scratchlm.storyworld.written import words

THINGS = ("tool", "toy", "clothing", "treasure", "container")


def _nouns() -> dict[str, list[str]]:
    categories: dict[str, list[str]] = {}
    for kind, text in words("count_nouns").items():
        for entry in text.split():
            one, _, many = entry.partition("/")
            categories.setdefault(f"N/{kind}.sg", []).append(one)
            categories.setdefault(f"N/{kind}.pl", []).append(many or plural(one))
    for kind, text in words("mass_nouns").items():
        categories[f"N/{kind}.mass"] = text.split()
    for form in ("sg", "pl"):
        categories[f"N/thing.{form}"] = [word for kind in THINGS for word in categories[f"N/{kind}.{form}"]]
    return categories


def _verbs() -> dict[str, list[str]]:
    categories: dict[str, list[str]] = {}
    for group, text in words("verbs").items():
        for entry in text.split():
            for form, word in verb_forms(entry).items():
                categories.setdefault(f"{group}.{form}", []).append(word)
    return categories


def _others() -> dict[str, list[str]]:
    categories = {
        category: [word.replace("_", " ") for word in text.split()] for category, text in words("words").items()
    }
    return categories | {"TimeN.pl": [plural(noun) for noun in categories["TimeN.sg"]]}


def towns() -> list[str]:
    """Return the twenty town names; the town with index i is `start + end` of the two lists."""
    names = words("names")
    return [start + end for start, end in zip(names["town_starts"].split(), names["town_ends"].split(), strict=True)]


def recurring_names() -> tuple[list[str], list[str]]:
    """Return the names of recurring women and men, which no passer-by has."""
    names = words("names")
    return names["recurring_women"].split(), names["recurring_men"].split()


def specials() -> list[str]:
    """Return the twenty famous things: ten adjectives, each with two of the ten nouns."""
    first, second = (words("names")[name].split() for name in ("special_first", "special_second"))
    return [f"{word} {second[(i + turn) % 10]}" for turn in (0, 3) for i, word in enumerate(first)]


def foods() -> list[tuple[str, str]]:
    """Return (word, form in general statements) of all foods: `plum` and `plums`, or `honey` twice."""
    entries = [entry.partition("|") for entry in words("values")["food"].split()]
    return [(first, second or first) for first, _, second in entries]


def _values() -> dict[str, list[str]]:
    values = {key: text.split() for key, text in words("values").items()}
    known_for_many = [word for word in values["known"] if word.endswith("s") and word != "glass"]
    recurring, women, men = recurring_names(), *(words("names")[name].split() for name in ("minor_women", "minor_men"))
    categories = {
        "Name": [*recurring[0], *recurring[1], *women, *men],
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
        for category, each in part.items():
            merged.setdefault(category, {}).update(dict.fromkeys(each))
    return {category: tuple(each) for category, each in merged.items()}


def stripped(category: str) -> str:
    """Return the category without its class: `N/fruit.pl` is `N.pl` to the recogniser."""
    base, dot, form = category.partition(".")
    return base.partition("/")[0] + dot + form
