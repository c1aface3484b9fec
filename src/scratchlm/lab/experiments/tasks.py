"""`experiment tasks`: one multi-task model for four tasks, compared with baselines and single-task models.

The model is pretrained on stories, messages and sentence pairs, and fine-tuned on conversations: answer questions about
the stories, detect spam, put sentences into the past tense, translate. The same pretrained weights are also fine-tuned
on each task alone. The task-specific baselines are retrieval, a linear SVM, a grammar rule and word-for-word
translation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scratchlm import storyworld
from scratchlm.classic.linear import LinearTexts
from scratchlm.classic.reading import Retrieval, sentences
from scratchlm.classic.wordforword import WordForWord
from scratchlm.lab.experiments.config import TasksConfig
from scratchlm.lab.experiments.ladder_translate import read_pairs
from scratchlm.lab.harness.findings import Cell, Findings, Row, Test, Values, all_hold, any_holds
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Sample, Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.fine_tuned import answers, conversation_of, fine_tune, storyteller
from scratchlm.lab.shared.folds import read_folded
from scratchlm.lab.shared.proportions import mean_of, names, proportion
from scratchlm.storyworld.lexicon import lexicon
from scratchlm.storyworld.morphology import past, verb_forms
from scratchlm.storyworld.words_verbs import VERBS
from scratchlm.tokens.chat import Conversation

LONGEST = 40
"""Most tokens of a generated answer."""
BEFORE_PAST = "Put into the past: "
NEAR = 0.05
"""Score that the multi-task model may lose on a task and still count as equal to a single-task model."""


@dataclass(frozen=True)
class Task:
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
    """Function of a question; returns a constant answer or the question itself."""
    clusters: Sequence[str] | None = None
    """Cluster of each test case: a person or a verb."""


WAYS = {
    "trivial": "trivial baseline",
    "narrow": "task-specific baseline",
    "alone": "single-task model, as many epochs",
    "longer": "single-task model, as many steps",
    "one": "multi-task model",
}


def run(config: TasksConfig, steps: Steps, out: Findings) -> None:
    """Fine-tune one model on all tasks, then one on each task alone, for as many epochs and for as many steps."""
    messages, pairs = _messages(config), read_pairs(config.files()["pairs"], config.pairs, config.tested)
    more = [text for text, _ in messages[0]] + [f"{english} = {german}" for english, german in pairs.train]
    small, corpus = storyteller(config, steps, more)
    tasks = {
        "answer": _answering(corpus.train, config),
        "spam": _spam(*messages),
        "past": past_task(config),
        "translate": _translating(pairs.train, [(e, references[0]) for e, references in pairs.tested]),
    }
    total = sum(len(task.train) for task in tasks.values())

    def fine_tuned(names: Sequence[str], epochs: float) -> dict[str, list[str]]:
        conversations = [each for name in names for each in tasks[name].train]
        random.Random(config.seed).shuffle(conversations)
        model = fine_tune(small.pretrained(), conversations, epochs=epochs, seed=config.seed)
        return {name: answers(model, [question for question, _ in tasks[name].tested], LONGEST) for name in names}

    given: dict[str, dict[str, list[str]]] = {way: {} for way in WAYS}
    given["one"] = steps.once("one", fine_tuned, list(tasks), config.epochs)
    for name, task in tasks.items():
        epochs = config.epochs * total / len(task.train)  # as many conversations as the multi-task model reads
        given["alone"] |= steps.once(f"alone-{name}", fine_tuned, [name], config.epochs)
        given["longer"] |= steps.once(f"longer-{name}", fine_tuned, [name], epochs)
        given["narrow"][name] = steps.once(f"narrow-{name}", task.narrow)
        given["trivial"][name] = [task.trivial(question) for question, _ in task.tested]
    report(out, tasks, given)
    out.notes += [
        "single-task models start from the same weights",
        "no test question was in fine-tuning; its answer is in the pretraining stories",
    ]


def _messages(config: TasksConfig) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return training messages, and test messages balanced between the classes."""
    data = read_folded(config.files()["messages"], "2", "1", None)
    draw = np.random.default_rng(config.seed)
    inside, outside = data.sides(0)
    kinds = [outside[data.truth[outside] == kind] for kind in (0, 1)]
    count = min(config.tested // 2, *map(len, kinds))
    tested = np.concatenate([draw.permutation(kind)[:count] for kind in kinds])
    mixed = draw.permutation(inside)
    some = np.concatenate([mixed[data.truth[mixed] == kind][:2] for kind in (0, 1)])  # at least two of each class
    sides = (np.concatenate([some, mixed[~np.isin(mixed, some)]])[: config.messages], tested)
    learned, held = ([(data.texts[at], data.labels[data.truth[at]]) for at in side] for side in sides)
    return learned, held


def _answering(texts: Sequence[str], config: TasksConfig) -> Task:
    """Return the task of answering questions about facts in the stories; fine-tuning covers other facts."""
    questions = [each for each in storyworld.questions() if each.split == "held-in"]
    chosen = random.Random(config.seed).sample(questions, min(config.tested, len(questions)))
    right = {each.expected: each.value for each in chosen}

    def narrow() -> list[str]:
        found = sorted({sentence for text in texts for sentence in sentences(text)})
        places = Retrieval(found).nearest(found, [each.question for each in chosen])
        return [found[at] if at >= 0 else "" for at in places]

    values = [each.value for each in chosen]
    most_frequent = max(sorted(values), key=values.count)
    return Task(
        "answer questions",
        "names the right value",
        storyworld.conversations(config.seed),
        [(each.question, each.expected) for each in chosen],
        lambda said, expected: float(names(said, right[expected])),
        "sentence retrieval",
        narrow,
        lambda question: most_frequent,
        [each.subject for each in chosen],
    )


def _spam(learned: Sequence[tuple[str, str]], tested: Sequence[tuple[str, str]]) -> Task:
    """Return the task of detecting spam; the answer is the class of a message."""

    def question(text: str) -> str:
        return f"Is this message ham or spam? {text[:200]}"

    def narrow() -> list[str]:
        model = LinearTexts().fit([text for text, _ in learned], [int(label == "spam") for _, label in learned])
        return [("ham", "spam")[int(at)] for at in model.predict_proba([text for text, _ in tested]).argmax(1)]

    return Task(
        "detect spam",
        "accuracy, balanced classes",
        [conversation_of(question(text), label) for text, label in learned],
        [(question(text), label) for text, label in tested],
        lambda said, expected: float(said.strip() == expected),
        "linear SVM",
        narrow,
        lambda question: "ham",
    )


def past_task(config: TasksConfig) -> Task:
    """Return the task of putting sentences into the past tense; some verbs are held out of training."""
    draw = random.Random(config.seed)
    entries = sorted({entry for kind in ("person", "animal", "misc") for entry in VERBS[f"Vi/{kind}"].split()})
    heads = sorted({_head(entry) for entry in entries})
    draw.shuffle(heads)
    new = set(heads[: len(heads) // 5])
    names_ = sorted(person.name for person in storyworld.build_world().people)
    adverbs = sorted(word for key, words in lexicon().items() if key == "Adv/manner" for word in words)

    def made(count: int, among: Sequence[str]) -> dict[str, tuple[str, str]]:
        found = {}
        for _ in range(count):
            entry, name, how = draw.choice(among), draw.choice(names_), draw.choice(adverbs)
            verb = verb_forms(entry)
            found[f"{BEFORE_PAST}{name} {verb['s']} {how}."] = (f"{name} {verb['past']} {how}.", _head(entry))
        return found

    trained = [entry for entry in entries if _head(entry) not in new]
    learned = made(1500, trained)
    tested = made(config.tested // 2, trained) | made(config.tested // 2, [e for e in entries if _head(e) in new])
    tested = {question: case for question, case in tested.items() if question not in learned}
    known = {verb_forms(entry)["s"]: verb_forms(entry)["past"] for entry in trained}

    def rule(question: str) -> str:
        name, *verb, how = question.removeprefix(BEFORE_PAST).split(" ")
        said = " ".join(verb)
        return f"{name} {known.get(said) or regular(said)} {how}"

    return Task(
        "past tense",
        "exact match",
        [conversation_of(question, answer) for question, (answer, _) in learned.items()],
        [(question, answer) for question, (answer, _) in tested.items()],
        lambda said, expected: float(said.strip() == expected),
        "training verbs looked up, else -ed",
        lambda: [rule(question) for question in tested],
        lambda question: question.removeprefix(BEFORE_PAST),
        [head for _, head in tested.values()],
    )


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


def _translating(learned: Sequence[tuple[str, str]], tested: Sequence[tuple[str, str]]) -> Task:
    """Return the task of translating English sentences into German."""
    from sacrebleu import CHRF

    before = "Translate into German: "

    def narrow() -> list[str]:
        model = WordForWord(learned)
        return [model.translate(text) for text, _ in tested]

    return Task(
        "translate",
        "chrF",
        [conversation_of(before + english, german) for english, german in learned],
        [(before + english, german) for english, german in tested],
        lambda said, expected: CHRF().sentence_score(said, [expected]).score / 100,
        "word for word, IBM model 1",
        narrow,
        lambda question: question.removeprefix(before),
    )


def report(out: Findings, tasks: dict[str, Task], given: dict[str, dict[str, list[str]]]) -> None:
    """Report the score of each model and baseline on each task, and add the claims."""
    rows: list[Row] = []
    for key, task in tasks.items():
        each = {
            way: np.array(
                [task.score(said, right) for said, (_, right) in zip(given[way][key], task.tested, strict=True)]
            )
            for way in WAYS
        }
        for way, scores in each.items():
            of = proportion if set(scores.tolist()) <= {0.0, 1.0} else mean_of
            out.values[f"{key}.{way}"] = of(scores.tolist(), task.clusters)
            if way != "one":
                out.gain(f"{key}.over_{way}", paired(each["one"] - each[way], task.clusters))
        cells = [Cell(f"{key}.{way}") for way in WAYS]
        rows.append([f"{task.name} ({task.measure})", str(len(task.tested)), *cells, task.baseline])
        out.dots(f"{task.name}: {task.measure}", task.measure, {name: f"{key}.{way}" for way, name in WAYS.items()})
        for number in (0, len(task.tested) // 2):
            asked, expected = task.tested[number]
            lines = [f"{name}: {given[way][key][number]}" for way, name in WAYS.items() if way != "trivial"]
            out.samples.append(Sample(f"{asked} (expected: {expected})", "\n".join(lines)))
    out.table("Four tasks, one model", ["task", "tested", *WAYS.values(), "the baseline"], rows)
    claim(out, list(tasks))


def claim(out: Findings, tasks: Sequence[str]) -> None:
    """Add the claims, from how far the multi-task model is ahead on each task.

    Four comparisons: at 98.75% each, their joint confidence is at least 95% (Bonferroni).
    """

    def leads(values: Values, way: str, by: float = 0.0, rival: bool = False) -> list[bool | None]:
        """Return for each task whether the multi-task model is ahead of another way by more than `by`, or behind it."""
        gaps = [values[f"{key}.over_{way}"].at(0.9875) for key in tasks]
        return [Value(by).exceeds(gap) if rival else gap.exceeds(by) for gap in gaps]

    def count(way: str, by: float = 0.0, rival: bool = False) -> Callable[[Values], Value]:
        return lambda values: Value(leads(values, way, by, rival).count(True))

    def all_of(way: str, by: float = 0.0) -> Test:
        return lambda values: all_hold(leads(values, way, by))

    out.derive("above_trivial", count("trivial"))
    out.derive("rival_wins", count("narrow", rival=True))
    out.derive("model_wins", count("narrow"))
    out.derive("near_alone", count("alone", -NEAR))
    out.derive("near_longer", count("longer", -NEAR))
    says = "On every task the multi-task model beats the trivial baseline"
    control = "Answers that ignore the question would not; the baseline is the best of those"
    out.claim("one-does-all", says, all_of("trivial"), control)
    says = "On at least one task the task-specific baseline beats it"
    control = (
        "Four comparisons find one by chance more easily than one; their intervals are widened for it (Bonferroni)"
    )
    out.claim("rival-wins-somewhere", says, lambda values: any_holds(leads(values, "narrow", rival=True)), control)
    says = "On at least one task it beats the task-specific baseline"
    out.claim("model-wins-somewhere", says, lambda values: any_holds(leads(values, "narrow")), control)
    says = f"On no task does the single-task model lead by more than {NEAR:g}, at as many epochs"
    control = "The multi-task model takes more steps, which could hide a cost; the next claim gives both as many steps"
    out.claim("sharing-costs-little", says, all_of("alone", -NEAR), control)
    says = "and at as many steps"
    control = "A single-task model that overfits would lose by itself; its score at fewer steps is in the table"
    out.claim("sharing-costs-little-at-equal-steps", says, all_of("longer", -NEAR), control)
