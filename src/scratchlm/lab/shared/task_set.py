"""Tasks as conversations, for models that learn several: answering, spam, the past tense, translation."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchlm import storyworld
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.phrase_based import PhraseBased
from scratchlm.classic.reading import Retrieval, sentences
from scratchlm.lab.shared.fine_tuned import conversation_of
from scratchlm.lab.shared.folds import read_folded
from scratchlm.lab.shared.proportions import names
from scratchlm.storyworld.lexicon import lexicon
from scratchlm.storyworld.morphology import past, verb_forms
from scratchlm.storyworld.written import words
from scratchlm.tokens.chat import Conversation

BEFORE_PAST = "Put into the past: "
TUNED_PAIRS = 300
"""Pairs, at most, that the weights of the phrase-based translator are tuned on."""


@dataclass(frozen=True)
class TaughtTask:
    """A task: training conversations, test cases, a score and two baselines."""

    name: str
    measure: str
    """Description of its score."""
    train: Sequence[Conversation]
    tested: Sequence[tuple[str, str]]
    """Questions and their expected answers."""
    score: Callable[[str, str], float]
    """Function of an answer and the expected one; returns 0 to 1."""
    baseline: str
    """Name of the task-specific baseline."""
    narrow: Callable[[], list[str]]
    """Function that returns the answers of the task-specific baseline."""
    trivial: Callable[[str], str]
    """Function of a question; returns an answer without reading more of it than its kind."""
    clusters: Sequence[str] | None = None
    """Cluster of each test case: a person, a verb, or a group of sentences."""
    ranked: Callable[[], list[float]] | None = None
    """Function that returns how far that baseline prefers the rarer of two answers, for each test case."""
    unseen: Sequence[bool] | None = None
    """Whether each test case is of a kind that no training case has, where this is known."""


def messages_of(path: Path, most: int, tested: int, seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return at most `most` training messages, and about `tested` test messages balanced between the classes."""
    data = read_folded(path, "2", "1", None)
    draw = np.random.default_rng(seed)
    inside, outside = data.sides(0)
    kinds = [outside[data.truth[outside] == kind] for kind in (0, 1)]
    count = min(tested // 2, *map(len, kinds))
    kept = np.concatenate([draw.permutation(kind)[:count] for kind in kinds])
    mixed = draw.permutation(inside)
    some = np.concatenate([mixed[data.truth[mixed] == kind][:2] for kind in (0, 1)])  # at least two of each class
    sides = (np.concatenate([some, mixed[~np.isin(mixed, some)]])[:most], kept)
    learned, others = ([(data.texts[at], data.labels[data.truth[at]]) for at in side] for side in sides)
    return learned, others


def answering(texts: Sequence[str], tested: int, seed: int) -> TaughtTask:
    """Return the task of answering questions about facts in the stories; fine-tuning asks about other facts.

    The trivial answer is a guess by the kind of question: the most frequent value of that kind.
    """
    questions = [each for each in storyworld.questions() if each.split == "held-in"]
    chosen = random.Random(seed).sample(questions, min(tested, len(questions)))
    right = {each.expected: each.value for each in chosen}

    def narrow() -> list[str]:
        known = sorted({sentence for text in texts for sentence in sentences(text)})
        places = Retrieval(known).nearest(known, [each.question for each in chosen])
        return [known[at] if at >= 0 else "" for at in places]

    kinds: dict[str, list[str]] = {}
    for each in chosen:
        kinds.setdefault(each.attribute, []).append(each.value)
    guess = {each.question: max(sorted(kinds[each.attribute]), key=kinds[each.attribute].count) for each in chosen}
    return TaughtTask(
        "answer questions",
        "names the right value",
        storyworld.conversations(seed),
        [(each.question, each.expected) for each in chosen],
        lambda said, expected: float(names(said, right[expected])),
        "sentence retrieval",
        narrow,
        guess.__getitem__,
        [each.subject for each in chosen],
    )


def spam(learned: Sequence[tuple[str, str]], tested: Sequence[tuple[str, str]]) -> TaughtTask:
    """Return the task of detecting spam; the answer is the class of a message.

    Equal numbers of both classes are learned, the first of each, because the test messages are balanced. Else every
    method would lose by expecting less spam than there is, each to another degree.
    """
    kinds = [[each for each in learned if each[1] == label] for label in ("ham", "spam")]
    count = min(map(len, kinds))
    learned = [*kinds[0][:count], *kinds[1][:count]]

    def question(text: str) -> str:
        return f"Is this message ham or spam? {text[:200]}"

    def spam_probabilities() -> list[float]:
        model = LinearTexts().fit([text for text, _ in learned], [int(label == "spam") for _, label in learned])
        return [float(each) for each in model.predict_proba([text for text, _ in tested])[:, 1]]

    return TaughtTask(
        "detect spam",
        "accuracy, balanced classes",
        [conversation_of(question(text), label) for text, label in learned],
        [(question(text), label) for text, label in tested],
        lambda said, expected: float(said.strip() == expected),
        "linear SVM",
        lambda: ["spam" if each > 0.5 else "ham" for each in spam_probabilities()],
        lambda question: "ham",
        ranked=spam_probabilities,
    )


def past_tense(most: int, seed: int) -> TaughtTask:
    """Return the task of putting sentences into the past tense; some verbs are held out of training."""
    draw = random.Random(seed)
    entries = sorted({entry for kind in ("person", "animal", "misc") for entry in words("verbs")[f"Vi/{kind}"].split()})
    heads = sorted({_head(entry) for entry in entries})
    draw.shuffle(heads)
    new = set(heads[: len(heads) // 5])
    names_ = sorted(person.name for person in storyworld.build_world().people)
    adverbs = sorted(word for key, words in lexicon().items() if key == "Adv/manner" for word in words)

    def made(count: int, among: Sequence[str]) -> dict[str, tuple[str, str]]:
        examples = {}
        for _ in range(count):
            entry, name, how = draw.choice(among), draw.choice(names_), draw.choice(adverbs)
            verb = verb_forms(entry)
            examples[f"{BEFORE_PAST}{name} {verb['s']} {how}."] = (f"{name} {verb['past']} {how}.", _head(entry))
        return examples

    trained = [entry for entry in entries if _head(entry) not in new]
    learned = made(1500, trained)
    tested = made(most // 2, trained) | made(most // 2, [e for e in entries if _head(e) in new])
    tested = {question: case for question, case in tested.items() if question not in learned}
    known = {verb_forms(entry)["s"]: verb_forms(entry)["past"] for entry in trained}

    return TaughtTask(
        "past tense",
        "exact match",
        [conversation_of(question, answer) for question, (answer, _) in learned.items()],
        [(question, answer) for question, (answer, _) in tested.items()],
        lambda said, expected: float(said.strip() == expected),
        "training verbs looked up, else -ed",
        lambda: [_past_of(question, known) for question in tested],
        lambda question: _past_of(question, {}),
        [head for _, head in tested.values()],
        unseen=[head in new for _, head in tested.values()],
    )


def verb_of(sentence: str) -> str:
    """Return the verb of a sentence of the task of the past tense: what stands between the name and the adverb."""
    return " ".join(sentence.removeprefix(BEFORE_PAST).split()[1:-1])


def _past_of(question: str, known: Mapping[str, str]) -> str:
    """Return the sentence of a question, a name, a verb and an adverb, with the past tense of a known verb, or -ed."""
    name, *verb, how = question.removeprefix(BEFORE_PAST).split(" ")
    said = " ".join(verb)
    return f"{name} {known.get(said) or regular(said)} {how}"


def _head(entry: str) -> str:
    """Return the verb of an entry without its particle: `stand` of `stand_up/stood_up/stood_up`."""
    return entry.split("/")[0].split("_")[0]


def regular(verb: str) -> str:
    """Return the regular past tense of a third-person verb; particles stay."""
    word, *particles = verb.split(" ")
    if word.endswith("ies"):
        base = word[:-3] + "y"
    elif word.endswith(("shes", "ches", "sses", "xes", "oes")):
        base = word[:-2]
    else:
        base = word.removesuffix("s")
    return " ".join([past(base), *particles])


def translating(
    learned: Sequence[tuple[str, str]], tested: Sequence[tuple[str, str]], groups: Sequence[int]
) -> TaughtTask:
    """Return the task of translating English sentences into German; sentences of a group share translations."""
    from sacrebleu import CHRF

    before, scorer = "Translate into German: ", CHRF()

    def score(said: str, expected: str) -> float:
        return scorer.sentence_score(said, [expected]).score / 100

    def narrow() -> list[str]:
        model = PhraseBased.tuned(learned, TUNED_PAIRS, score, beam=5)
        return [model.translate(text) for text, _ in tested]

    return TaughtTask(
        "translate",
        "chrF",
        [conversation_of(before + english, german) for english, german in learned],
        [(before + english, german) for english, german in tested],
        score,
        "phrase-based translation",
        narrow,
        lambda question: question.removeprefix(before),
        list(map(str, groups)),
    )
