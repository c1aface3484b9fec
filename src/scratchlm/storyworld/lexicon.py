"""The lexicon: the words of each category, with semantic classes for the generator and without for the recogniser.

A category is written `Base/class.form`: `N/fruit.pl`, `Vt/edible.past`, `Adj/size`. The recogniser drops the class.
"""

from __future__ import annotations

from functools import cache

from scratchlm.storyworld import names, words_nouns, words_other, words_verbs
from scratchlm.storyworld.morphology import plural, verb_forms

THINGS = ("tool", "toy", "clothing", "treasure", "container")
FORMS = ("base", "past", "pp", "s", "ing")


def phrases(text: str) -> list[str]:
    """Return the phrases of a list separated by `|`, with `_` for a space inside one."""
    return [part.strip().replace("_", " ") for part in text.split("|") if part.strip()]


def _unique(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


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
    groups = {f"Vi/{kind}": text for kind, text in words_verbs.INTRANSITIVE.items()}
    groups |= {f"Vt/{kind}": text for kind, text in words_verbs.TRANSITIVE.items()}
    groups |= {f"Vsay/{kind}": text for kind, text in words_verbs.SPEECH.items()}
    groups |= {
        "Vmove": words_verbs.MOVE,
        "Vprep": words_verbs.PREPOSITIONAL,
        "Vd": words_verbs.DITRANSITIVE,
        "Vplace": words_verbs.PLACE,
        "Vinf": words_verbs.INFINITIVE,
        "Vger": words_verbs.GERUND,
        "Vthat": words_verbs.CLAUSAL,
        "Vlink": words_verbs.LINKING,
        "Vask": words_verbs.ASKING,
        "Vobj": words_verbs.OBJECT_INFINITIVE,
    }
    categories: dict[str, list[str]] = {}
    for group, text in groups.items():
        for entry in text.split():
            for form, word in verb_forms(entry).items():
                categories.setdefault(f"{group}.{form}", []).append(word)
    return categories


def _others() -> dict[str, list[str]]:
    other = words_other
    categories = {f"Adj/{kind}": text.split() for kind, text in other.ADJECTIVES.items()}
    categories |= {f"Adv/{kind}": text.split() for kind, text in other.ADVERBS.items()}
    categories |= {f"Where/{kind}": text.split() for kind, text in other.PLACE_ADVERBS.items()}
    categories |= {
        "Freq": other.FREQUENCY_ADVERBS.split(),
        "TimeN.sg": other.TIME_NOUNS.split(),
        "TimeN.pl": [plural(noun) for noun in other.TIME_NOUNS.split()],
        "Comp": other.COMPARATIVES.split(),
        "TimeEnd": phrases(other.TIMES_END),
        "With": phrases(other.WITH_MANNER),
        "PrepOther": phrases(other.OTHER_PREPOSITIONS),
        "Num": other.NUMBERS.split(),
        "Interj": phrases(other.INTERJECTIONS),
    }
    categories |= {f"TimeFront/{kind}": phrases(text) for kind, text in other.TIMES_FRONT.items()}
    categories |= {f"PrepLoc/{kind}": phrases(text) for kind, text in other.LOC_PREPOSITIONS.items()}
    categories |= {f"PrepPath/{kind}": phrases(text) for kind, text in other.PATH_PREPOSITIONS.items()}
    return categories


def towns() -> list[str]:
    """Return the twenty town names; the town with index i is `start + end` of the two lists."""
    starts, ends = names.TOWN_STARTS.split(), names.TOWN_ENDS.split()
    return [start + end for start, end in zip(starts, ends, strict=True)]


def specials() -> list[str]:
    """Return the twenty famous things: ten adjectives, each with two of the ten nouns."""
    first, second = names.SPECIAL_FIRST.split(), names.SPECIAL_SECOND.split()
    pairs = [f"{word} {second[i]}" for i, word in enumerate(first)]
    return pairs + [f"{word} {second[(i + 3) % 10]}" for i, word in enumerate(first)]


def value_forms(text: str) -> list[tuple[str, str]]:
    """Return (word, form in general statements) of each entry: `plum|plums`, or `honey` twice."""
    entries = [entry.partition("|") for entry in text.split()]
    return [(first, second or first) for first, _, second in entries]


def _values() -> dict[str, list[str]]:
    people = f"{names.RECURRING_WOMEN} {names.RECURRING_MEN} {names.MINOR_WOMEN} {names.MINOR_MEN}".split()
    foods = value_forms(names.FOODS)
    known = value_forms(names.KNOWN_FOR)
    categories = {
        "Name": people,
        "Name/woman": names.MINOR_WOMEN.split(),
        "Name/man": names.MINOR_MEN.split(),
        "Town": towns(),
        "N/special.sg": specials(),
        "N/job.sg": names.JOBS.split(),
        "N/pet.sg": names.PETS.split(),
        "N/instrument.sg": [word for word in names.INSTRUMENTS.split() if word != "bagpipes"],
        "N/instrument.pl": ["bagpipes"],
        "N/treasure.sg": names.TREASURES.split(),
        "N/site.sg": names.SITES.split(),
        "N/material.mass": names.MATERIALS.split(),
        "N/foodvalue.mass": [one for one, many in foods if one == many],
        "N/foodvalue.sg": [one for one, many in foods if one != many],
        "N/foodvalue.pl": [many for one, many in foods if one != many],
        "N/known.pl": [one for one, _ in known if one.endswith("s") and one != "glass"],
        "N/known.mass": [one for one, _ in known if not one.endswith("s") or one == "glass"],
        "Colour": names.COLOURS.split(),
        "Adj/colourvalue": names.COLOURS.split(),
    }
    for kind, plural_of in (("job", names.JOBS), ("pet", names.PETS), ("site", names.SITES)):
        categories[f"N/{kind}.pl"] = [_plural_of(word) for word in plural_of.split()]
    return categories


def _plural_of(noun: str) -> str:
    return {"goose": "geese", "mouse": "mice"}.get(noun, plural(noun))


@cache
def lexicon() -> dict[str, tuple[str, ...]]:
    """Return the words of every category with its class, built once a process (about 10 ms)."""
    merged: dict[str, list[str]] = {}
    for part in (_nouns(), _verbs(), _others(), _values()):
        for category, words in part.items():
            merged.setdefault(category, []).extend(words)
    return {category: _unique(words) for category, words in merged.items()}


def stripped(category: str) -> str:
    """Return the category without its class: `N/fruit.pl` is `N.pl` to the recogniser."""
    base, dot, form = category.partition(".")
    return base.partition("/")[0] + dot + form
