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
from scratchlm.lab.harness.methods import paired
from scratchlm.lab.harness.outcome import Outcome, Sample, Table, Value
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


def run(config: TasksConfig, steps: Steps, outcome: Outcome) -> None:
    """Fine-tune one model on all tasks, then one on each task alone."""
    messages, pairs = _messages(config), read_pairs(config.files()["pairs"], config.pairs, config.tested)
    more = [text for text, _ in messages[0]] + [f"{english} = {german}" for english, german in pairs.train]
    small, corpus = storyteller(config, steps, more)
    tasks = {
        "answer": _answering(corpus.train, config),
        "spam": _spam(*messages),
        "past": past_task(config),
        "translate": _translating(pairs.train, [(e, references[0]) for e, references in pairs.tested]),
    }

    def fine_tuned(names: Sequence[str]) -> dict[str, list[str]]:
        conversations = [each for name in names for each in tasks[name].train]
        random.Random(config.seed).shuffle(conversations)
        model = fine_tune(small.pretrained(), conversations, epochs=config.epochs, seed=config.seed)
        return {name: answers(model, [question for question, _ in tasks[name].tested], LONGEST) for name in names}

    given: dict[str, dict[str, list[str]]] = {"one": steps.once("one", fine_tuned, list(tasks))}
    given["alone"] = {name: steps.once(f"alone-{name}", fine_tuned, [name])[name] for name in tasks}
    given["narrow"] = {name: steps.once(f"narrow-{name}", task.narrow) for name, task in tasks.items()}
    given["trivial"] = {name: [task.trivial(question) for question, _ in task.tested] for name, task in tasks.items()}
    report(outcome, tasks, given)
    outcome.notes += [
        "one seed; single-task models start from the same weights and train on their task for as many epochs",
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


def report(outcome: Outcome, tasks: dict[str, Task], given: dict[str, dict[str, list[str]]]) -> None:
    """Report the score of each model and baseline on each task, and add the claims."""
    shown = {
        "trivial": "trivial baseline",
        "narrow": "task-specific baseline",
        "alone": "single-task model",
        "one": "multi-task model",
    }
    rows, each = [], {}
    for key, task in tasks.items():
        each[key] = {
            way: np.array(
                [task.score(said, right) for said, (_, right) in zip(given[way][key], task.tested, strict=True)]
            )
            for way in shown
        }
        cells = []
        for way, scores in each[key].items():
            of = proportion if set(scores.tolist()) <= {0.0, 1.0} else mean_of
            value = outcome.values[f"{key}.{way}"] = of(scores.tolist(), task.clusters)
            cells.append(value.shown())
        rows.append([f"{task.name} ({task.measure})", str(len(task.tested)), *cells, task.baseline])
    header = ["task", "tested", *shown.values(), "the baseline"]
    outcome.tables.append(Table("Four tasks, one model", header, rows))

    def ahead(above: str, below: str, by: float = 0.0) -> int:
        """Count the tasks on which one way is ahead of another by more than `by`."""
        # Four comparisons: at 98.75% each, their joint confidence is at least 95% (Bonferroni).
        gaps = {key: each[key][above] - each[key][below] - by for key in tasks}
        return sum(paired(gaps[key], task.clusters, 0.9875).interval.low > 0 for key, task in tasks.items())

    above, behind = ahead("one", "trivial"), ahead("narrow", "one")
    beyond, near = ahead("one", "narrow"), ahead("one", "alone", -NEAR)
    counts = {"above_trivial": above, "rival_wins": behind, "model_wins": beyond, "near_alone": near}
    outcome.values |= {key: Value(count) for key, count in counts.items()}
    says = "On every task the multi-task model beats the trivial baseline"
    outcome.claim("one-does-all", says, above == len(tasks))
    outcome.claim("rival-wins-somewhere", "On at least one task the task-specific baseline beats it", behind > 0)
    outcome.claim("model-wins-somewhere", "On at least one task it beats the task-specific baseline", beyond > 0)
    says = f"On no task does the single-task model lead by more than {NEAR:g}"
    outcome.claim("sharing-costs-little", says, near == len(tasks))
    for key, task in tasks.items():
        for number in (0, len(task.tested) // 2):
            asked, expected = task.tested[number]
            lines = [f"{name}: {given[way][key][number]}" for way, name in shown.items() if way != "trivial"]
            outcome.samples.append(Sample(f"{asked} (expected: {expected})", "\n".join(lines)))
