"""Rule-based translation of a small fragment of English into German: a lexicon, agreement, and word order.

This was the first form of machine translation. A person writes a lexicon with grammatical features (gender, verb
forms), and rules that parse an English sentence and generate a German one: verbs agree with their subject, articles
with their noun and its case, "not" and infinitives move. A word outside the lexicon stays English, and a sentence
outside the fragment is translated word for word. The lexicon has about three hundred entries; a language has a thousand
times as many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PERSONS = ("1s", "2s", "3s", "1p", "2p", "3p")

SUBJECTS = {
    "i": ("ich", "1s"), "you": ("du", "2s"), "he": ("er", "3s"), "she": ("sie", "3s"), "it": ("es", "3s"),
    "we": ("wir", "1p"), "they": ("sie", "3p"), "this": ("das", "3s"), "that": ("das", "3s"),
    "tom": ("Tom", "3s"), "mary": ("Maria", "3s"), "nobody": ("niemand", "3s"), "everybody": ("jeder", "3s"),
    "everyone": ("jeder", "3s"), "who": ("wer", "3s"), "what": ("was", "3s"),
}  # fmt: skip
OBJECTS = {
    "me": "mich", "you": "dich", "him": "ihn", "her": "sie", "it": "es", "us": "uns", "them": "sie", "that": "das",
    "this": "das", "tom": "Tom", "mary": "Maria", "something": "etwas", "nothing": "nichts", "everything": "alles",
    "french": "Französisch", "music": "Musik", "help": "Hilfe", "money": "Geld", "time": "Zeit", "water": "Wasser",
    "dogs": "Hunde", "cats": "Katzen", "coffee": "Kaffee", "tea": "Tee", "children": "Kinder", "books": "Bücher",
}  # fmt: skip
NOUNS = {
    "dog": "m Hund", "cat": "f Katze", "man": "m Mann", "woman": "f Frau", "boy": "m Junge", "girl": "n Mädchen",
    "child": "n Kind", "friend": "m Freund", "book": "n Buch", "car": "n Auto", "house": "n Haus", "room": "n Zimmer",
    "door": "f Tür", "job": "f Arbeit", "question": "f Frage", "problem": "n Problem", "teacher": "m Lehrer",
    "doctor": "m Arzt", "student": "m Student", "plan": "m Plan", "letter": "m Brief", "key": "m Schlüssel",
    "hat": "m Hut", "coat": "m Mantel", "table": "m Tisch", "chair": "m Stuhl", "bed": "n Bett", "train": "m Zug",
    "bus": "m Bus", "ticket": "f Fahrkarte", "phone": "n Telefon", "movie": "m Film", "song": "n Lied",
    "story": "f Geschichte", "game": "n Spiel", "idea": "f Idee", "mistake": "m Fehler", "dream": "m Traum",
    "brother": "m Bruder", "sister": "f Schwester", "mother": "f Mutter", "father": "m Vater", "son": "m Sohn",
    "daughter": "f Tochter", "wife": "f Frau", "husband": "m Mann", "boss": "m Chef", "school": "f Schule",
    "city": "f Stadt", "river": "m Fluss", "bird": "m Vogel", "horse": "n Pferd", "bread": "n Brot",
    "milk": "f Milch", "beer": "n Bier", "wine": "m Wein", "lawyer": "m Anwalt", "hero": "m Held", "joke": "m Witz",
    "knife": "n Messer", "gun": "f Pistole", "window": "n Fenster", "answer": "f Antwort", "truth": "f Wahrheit",
}  # fmt: skip
WORDS = {
    "happy": "glücklich", "sad": "traurig", "tired": "müde", "hungry": "hungrig", "thirsty": "durstig", "sick": "krank",
    "ill": "krank", "old": "alt", "young": "jung", "new": "neu", "good": "gut", "bad": "schlecht", "big": "groß",
    "small": "klein", "rich": "reich", "poor": "arm", "cold": "kalt", "hot": "heiß", "right": "richtig",
    "wrong": "falsch", "true": "wahr", "busy": "beschäftigt", "alone": "allein", "late": "spät", "ready": "bereit",
    "angry": "wütend", "afraid": "ängstlich", "free": "frei", "sure": "sicher", "dead": "tot", "strong": "stark",
    "weak": "schwach", "smart": "klug", "crazy": "verrückt", "funny": "lustig", "beautiful": "schön", "nice": "nett",
    "drunk": "betrunken", "married": "verheiratet", "lucky": "glücklich", "careful": "vorsichtig", "lazy": "faul",
    "lonely": "einsam", "great": "großartig", "easy": "leicht", "hard": "schwer", "fat": "dick", "tall": "groß",
    "blind": "blind", "ok": "okay", "fine": "gut", "safe": "sicher", "rude": "unhöflich", "shy": "schüchtern",
    "now": "jetzt", "here": "hier", "there": "dort", "today": "heute", "tomorrow": "morgen", "very": "sehr",
    "too": "zu", "so": "so", "never": "nie", "always": "immer", "often": "oft", "again": "wieder", "well": "gut",
    "still": "noch", "only": "nur", "also": "auch", "really": "wirklich", "home": "zu Hause", "fast": "schnell",
    "and": "und", "or": "oder", "but": "aber", "yes": "ja", "no": "nein", "why": "warum", "where": "wo",
    "when": "wann", "how": "wie", "please": "bitte", "thanks": "danke", "with": "mit", "in": "in", "not": "nicht",
}  # fmt: skip
INFINITIVES = {
    "go": "gehen", "come": "kommen", "see": "sehen", "know": "wissen", "think": "denken", "like": "mögen",
    "love": "lieben", "hate": "hassen", "need": "brauchen", "want": "wollen", "have": "haben", "eat": "essen",
    "drink": "trinken", "sleep": "schlafen", "read": "lesen", "write": "schreiben", "speak": "sprechen",
    "work": "arbeiten", "live": "leben", "help": "helfen", "wait": "warten", "play": "spielen", "sing": "singen",
    "dance": "tanzen", "swim": "schwimmen", "drive": "fahren", "run": "rennen", "walk": "gehen", "stay": "bleiben",
    "buy": "kaufen", "sell": "verkaufen", "find": "finden", "believe": "glauben", "understand": "verstehen",
    "remember": "erinnern", "forget": "vergessen", "win": "gewinnen", "lose": "verlieren", "try": "versuchen",
    "hear": "hören", "stop": "aufhören", "cook": "kochen", "laugh": "lachen", "cry": "weinen", "smoke": "rauchen",
    "trust": "vertrauen", "miss": "vermissen", "do": "tun", "be": "sein", "leave": "gehen", "die": "sterben",
    "fight": "kämpfen", "teach": "lehren", "study": "lernen", "learn": "lernen", "pay": "zahlen", "lie": "lügen",
}  # fmt: skip
IRREGULAR = {
    "sein": "bin bist ist sind seid sind", "haben": "habe hast hat haben habt haben",
    "können": "kann kannst kann können könnt können", "müssen": "muss musst muss müssen müsst müssen",
    "werden": "werde wirst wird werden werdet werden", "sollen": "soll sollst soll sollen sollt sollen",
    "wollen": "will willst will wollen wollt wollen", "mögen": "mag magst mag mögen mögt mögen",
    "wissen": "weiß weißt weiß wissen wisst wissen", "dürfen": "darf darfst darf dürfen dürft dürfen",
    "sehen": "sehe siehst sieht sehen seht sehen", "essen": "esse isst isst essen esst essen",
    "lesen": "lese liest liest lesen lest lesen", "sprechen": "spreche sprichst spricht sprechen sprecht sprechen",
    "schlafen": "schlafe schläfst schläft schlafen schlaft schlafen",
    "helfen": "helfe hilfst hilft helfen helft helfen",
    "fahren": "fahre fährst fährt fahren fahrt fahren",
    "vergessen": "vergesse vergisst vergisst vergessen vergesst vergessen",
    "tun": "tue tust tut tun tut tun", "sterben": "sterbe stirbst stirbt sterben sterbt sterben",
    "war": "war warst war waren wart waren", "hatte": "hatte hattest hatte hatten hattet hatten",
    "konnte": "konnte konntest konnte konnten konntet konnten",
}  # fmt: skip
HELPERS = {
    "am": "sein", "is": "sein", "are": "sein", "was": "war", "were": "war", "can": "können", "must": "müssen",
    "will": "werden", "should": "sollen", "may": "dürfen", "could": "konnte", "has": "haben", "have": "haben",
    "had": "hatte",
}  # fmt: skip
ENDINGS = dict(zip(PERSONS, ("e", "st", "t", "en", "t", "en"), strict=True))
SHORT = {
    "i'm": "i am", "you're": "you are", "he's": "he is", "she's": "she is", "it's": "it is", "we're": "we are",
    "they're": "they are", "that's": "that is", "tom's": "tom is", "who's": "who is", "what's": "what is",
    "don't": "do not", "doesn't": "does not", "didn't": "did not", "isn't": "is not", "aren't": "are not",
    "wasn't": "was not", "weren't": "were not", "can't": "can not", "cannot": "can not", "won't": "will not",
    "couldn't": "could not", "shouldn't": "should not", "i'll": "i will", "we'll": "we will", "he'll": "he will",
    "i've": "i have", "haven't": "have not", "hasn't": "has not",
}  # fmt: skip
ARTICLES = {
    "the": {"m": ("der", "den"), "f": ("die", "die"), "n": ("das", "das")},
    "a": {"m": ("ein", "einen"), "f": ("eine", "eine"), "n": ("ein", "ein")},
    "no": {"m": ("kein", "keinen"), "f": ("keine", "keine"), "n": ("kein", "kein")},
    "my": {"m": ("mein", "meinen"), "f": ("meine", "meine"), "n": ("mein", "mein")},
    "your": {"m": ("dein", "deinen"), "f": ("deine", "deine"), "n": ("dein", "dein")},
    "his": {"m": ("sein", "seinen"), "f": ("seine", "seine"), "n": ("sein", "sein")},
    "her": {"m": ("ihr", "ihren"), "f": ("ihre", "ihre"), "n": ("ihr", "ihr")},
    "our": {"m": ("unser", "unseren"), "f": ("unsere", "unsere"), "n": ("unser", "unser")},
}
"""By gender: the nominative (subject or predicate noun), and the accusative (object)."""


@dataclass
class SentenceParts:
    """A parsed English sentence of the fragment."""

    subject: str
    person: str
    helper: str | None
    """An auxiliary's German infinitive or past form, where there is one."""
    verb: str | None
    """An English infinitive."""
    rest: list[str]
    negated: bool
    asked: bool


def conjugated(infinitive: str, person: str) -> str:
    """Return a verb's form in the present.

    >>> conjugated("arbeiten", "3s"), conjugated("sehen", "2s")
    ('arbeitet', 'siehst')
    """
    if infinitive in IRREGULAR:
        return IRREGULAR[infinitive].split()[PERSONS.index(person)]
    stem = infinitive.removesuffix("en") if infinitive.endswith("en") else infinitive.removesuffix("n")
    ending = ENDINGS[person]
    if ending in ("st", "t") and stem[-1] in "td":
        ending = "e" + ending
    if ending == "st" and stem[-1] in "sßzx":
        ending = "t"
    return stem + ending


def translate(sentence: str) -> str:
    """Translate one sentence; outside the fragment word for word, unknown words unchanged."""
    mark = sentence.strip()[-1:] if sentence.strip()[-1:] in ".!?" else ""
    plain = re.findall(r"[\w']+|,", sentence.lower().replace("’", "'"))
    words = " ".join(SHORT.get(word, word) for word in plain).split()
    parts = _parsed(words, mark == "?")
    german = _generated(parts) if parts is not None else [_word(word) for word in words]
    text = " ".join(german).replace(" ,", ",")
    return text[:1].upper() + text[1:] + mark


def _parsed(words: list[str], asked: bool) -> SentenceParts | None:
    """Parse a sentence; None where it is outside the fragment."""
    words = list(words)
    auxiliaries = (*HELPERS, "do", "does", "did")  # German has nothing like "do"
    first = words.pop(0) if asked and words and words[0] in auxiliaries else None
    subject = _subject(words)
    if subject is None:
        return None
    if first is None and words and words[0] in auxiliaries:
        first = words.pop(0)
    helper = HELPERS.get(first or "")
    negated = "not" in words[:1]
    words = words[1:] if negated else words
    verb = _infinitive(words[0]) if words and helper not in ("sein", "war") else None
    words = words if verb is None else words[1:]
    if verb is None and helper is None:
        return None
    return SentenceParts(*subject, helper, verb, words, negated, asked)


def _subject(words: list[str]) -> tuple[str, str] | None:
    """Remove the subject from the front of the words; return it in German with its person."""
    if words and words[0] in ARTICLES and len(words) > 1 and words[1] in NOUNS:
        phrase = _noun(words[0], words[1], 0)
        del words[:2]
        return phrase, "3s"
    if words and words[0] in SUBJECTS:
        return SUBJECTS[words.pop(0)]
    return None


def _infinitive(word: str) -> str | None:
    """Return the infinitive of an English present form, or None where the lexicon has none."""
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y"):
        if form in INFINITIVES:
            return form
    return "have" if word == "has" else None


def _noun(article: str, noun: str, case: int) -> str:
    gender, german = NOUNS[noun].split()
    return f"{ARTICLES[article][gender][case]} {german}"


def _generated(parts: SentenceParts) -> list[str]:
    """Order the German sentence: the verb second, or first in a question, an infinitive last."""
    main = None if parts.verb is None else INFINITIVES[parts.verb]
    finite = parts.helper if parts.helper is not None else main
    assert finite is not None, "a sentence of the fragment has a verb"
    last = [main] if parts.helper is not None and main is not None else []
    stands = main is None and parts.helper in ("sein", "war")
    rest = _rest(parts.rest, 0 if stands else 1, parts.negated)
    verb = conjugated(finite, parts.person)
    front = [verb, parts.subject] if parts.asked else [parts.subject, verb]
    return [*front, *rest, *last]


def _rest(words: list[str], case: int, negated: bool) -> list[str]:
    """Translate what follows the verb; objects go before "nicht", predicate nouns after it."""
    objects: list[str] = []
    others: list[str] = []
    at = 0
    while at < len(words):
        article = "a" if words[at] == "an" else words[at]
        if article in ARTICLES and at + 1 < len(words) and words[at + 1] in NOUNS:
            denied = negated and article == "a"
            (others if case == 0 else objects).append(_noun("no" if denied else article, words[at + 1], case))
            negated = negated and not denied
            at += 2
            continue
        if case == 1 and words[at] in OBJECTS:
            objects.append(OBJECTS[words[at]])
        elif words[at] != "to":  # the marker of an infinitive
            others.append(_word(words[at]))
        at += 1
    return [*objects, *(["nicht"] if negated else []), *others]


def _word(word: str) -> str:
    """Translate a word by itself."""
    if word in WORDS:
        return WORDS[word]
    if word in SUBJECTS:
        return SUBJECTS[word][0]
    if word in OBJECTS:
        return OBJECTS[word]
    if word in NOUNS:
        return NOUNS[word].split()[1]
    verb = _infinitive(word)
    return word if verb is None else INFINITIVES[verb]
