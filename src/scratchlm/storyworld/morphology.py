"""Regular English inflection for the words of the lexicon; irregular forms are written in the word lists."""

from __future__ import annotations

VOWELS = frozenset("aeiou")


def third_person(verb: str) -> str:
    """Return the regular third person singular of a verb, or the plural of a noun: both add -s."""
    if verb.endswith(("s", "x", "z", "ch", "sh")) or verb in {"go", "do", "echo"}:
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies"
    return verb + "s"


plural = third_person


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
    return verb + (verb[-1] if doubles(verb) else "") + "ed"


def gerund(verb: str) -> str:
    """Return the -ing form of a verb."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and len(verb) > 2:
        return verb[:-1] + "ing"
    return verb + (verb[-1] if doubles(verb) else "") + "ing"


def verb_forms(entry: str) -> dict[str, str]:
    """Return the forms `base past pp s ing` of one verb entry such as `look_for` or `eat/ate/eaten`."""
    base, *irregular = (part.partition("_") for part in entry.split("/"))
    head, tail = base[0], (base[1] + base[2]).replace("_", " ")
    simple_past = irregular[0][0] if irregular else past(head)
    participle = irregular[1][0] if len(irregular) > 1 else simple_past
    third = "has" if head == "have" else third_person(head)
    forms = {"base": head, "past": simple_past, "pp": participle, "s": third, "ing": gerund(head)}
    return {form: word + tail for form, word in forms.items()}
