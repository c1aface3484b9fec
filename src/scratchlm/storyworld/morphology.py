"""Regular English inflection for the words of the lexicon; irregular forms are written in the word lists."""

from __future__ import annotations

VOWELS = frozenset("aeiou")


def plural(noun: str) -> str:
    """Return the regular plural of a noun."""
    return third_person(noun)


def third_person(verb: str) -> str:
    """Return the regular third person singular of a verb, or the plural of a noun: both add -s."""
    if verb.endswith(("s", "x", "z", "ch", "sh")) or verb in {"go", "do", "echo"}:
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies"
    return verb + "s"


def doubles(verb: str) -> bool:
    """Return whether the last consonant doubles before -ed and -ing: one short vowel, one consonant."""
    if verb in _DOUBLING:
        return True
    if len(verb) < 3 or verb[-1] in "aeiouwxy" or verb[-2] not in VOWELS:
        return False
    vowels = sum(letter in VOWELS for letter in verb)
    start_qu = verb.startswith("qu") or verb[1:3] == "qu"
    return vowels == 1 or (start_qu and vowels == 2)


# Longer verbs double only where the last syllable is stressed, which spelling does not show.
_DOUBLING = frozenset({"forget", "begin", "regret", "admit", "unwrap", "forbid"})


def past(verb: str) -> str:
    """Return the regular past tense of a verb."""
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    if doubles(verb):
        return verb + verb[-1] + "ed"
    return verb + "ed"


def gerund(verb: str) -> str:
    """Return the -ing form of a verb."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and len(verb) > 2:
        return verb[:-1] + "ing"
    if doubles(verb):
        return verb + verb[-1] + "ing"
    return verb + "ing"


def verb_forms(entry: str) -> dict[str, str]:
    """Return the forms `base past pp s ing` of one verb entry such as `look_for` or `eat/ate/eaten`."""
    parts = entry.split("/")
    head, _, particle = parts[0].partition("_")
    tail = f" {particle.replace('_', ' ')}" if particle else ""
    irregular = [part.split("_")[0] for part in parts[1:]]
    simple_past = irregular[0] if irregular else past(head)
    participle = irregular[1] if len(irregular) > 1 else simple_past
    forms = {
        "base": head,
        "past": simple_past,
        "pp": participle,
        "s": _IRREGULAR_S.get(head, third_person(head)),
        "ing": gerund(head),
    }
    return {form: word + tail for form, word in forms.items()}


_IRREGULAR_S = {"have": "has"}
