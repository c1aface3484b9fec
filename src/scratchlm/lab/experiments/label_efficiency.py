"""`experiment label-efficiency`: spam detection against the number of labels, for each method of ladder-spam.

The first fold is tested. Labels are drawn several times from the other folds, at least two of each class. All methods
learn from the same draws, and each draw contains the smaller ones. A score's interval covers the choice of labels,
not the choice of test texts, which are the same for all.
"""

from __future__ import annotations

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.evaluation.classes import f1_of
from scratchlm.lab.experiments.config import LabelEfficiencyConfig
from scratchlm.lab.experiments.ladder_spam import Make, methods
from scratchlm.lab.harness.methods import Method
from scratchlm.lab.harness.outcome import Curves, Outcome, Table
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.folds import Folded, read_folded
from scratchlm.lab.shared.proportions import of_draws
from scratchlm.lab.shared.small_model import prepare_small_model

Found = dict[str, dict[int, list[dict[str, float]]]]
"""Scores by method, number of labels and draw."""


def run(config: LabelEfficiencyConfig, steps: Steps, outcome: Outcome) -> None:
    """Train each method on increasing numbers of labels."""
    data = read_folded(config.files()["texts"], "2", "1", None)
    small = prepare_small_model(config.books, config.vocabulary_size, config.pretraining_steps, config.seed, steps)
    inside, _ = data.sides(0)
    sizes = [size for size in config.sizes if size < len(inside)] + [len(inside)]
    if len(sizes) < 2:
        raise UserError(f"--sizes {config.sizes[0]}: there are {len(inside):,} labels in all; give a smaller number")
    compared = methods(small, config.epochs, config.recurrent_epochs, config.seed, config.least_steps)
    each = {method.key: method for method in compared}
    found: Found = {key: {size: [] for size in sizes} for key in each}
    for size in sizes:
        for draw in range(1 if size == len(inside) else config.draws):
            places = drawn(data, inside, size, config.seed + draw)
            for key, method in each.items():
                found[key][size].append(steps.once(f"{key}-{size}-{draw}", _score, method, data, places))
    report(outcome, found, each, sizes)


def drawn(data: Folded, inside: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw indices of labelled texts, stratified by class, at least two of each class.

    A larger draw of the same seed contains a smaller one.
    """
    generator = np.random.default_rng(seed)
    sides = [generator.permutation(inside[data.truth[inside] == label]) for label in (0, 1)]
    positives = min(max(2, round(size * len(sides[1]) / len(inside))), len(sides[1]))
    return np.sort(np.concatenate([sides[0][: size - positives], sides[1][:positives]]))


def _score(method: Method[Make], data: Folded, places: np.ndarray) -> dict[str, float]:
    """Train on some labels; return F1 and average precision on the test fold."""
    from sklearn.metrics import average_precision_score

    _, outside = data.sides(0)
    model = method.make().fit([data.texts[i] for i in places], data.truth[places].tolist())
    probabilities, truth = model.predict_proba([data.texts[i] for i in outside])[:, 1], data.truth[outside]
    given = (probabilities >= 0.5).astype(np.int64)
    return {"f1": f1_of(truth, given, 2, 1), "average_precision": float(average_precision_score(truth, probabilities))}


def report(outcome: Outcome, found: Found, methods: dict[str, Method[Make]], sizes: list[int]) -> None:
    """Report the scores of each method at each number of labels, and add the claims."""
    for score, title in (("f1", "F1"), ("average_precision", "Average precision")):
        rows = []
        for size in sizes:
            values = {key: of_draws([each[score] for each in by_size[size]]) for key, by_size in found.items()}
            outcome.values.update({f"{key}.{score}.{size}": value for key, value in values.items()})
            rows.append([f"{size:,}", *(value.shown() for value in values.values())])
        header = ["labels", *(methods[key].name for key in found)]
        outcome.tables.append(Table(f"{title} by labelled texts", header, rows))
        means = {key: [outcome.values[f"{key}.{score}.{size}"].value for size in sizes] for key in found}
        lines = {methods[key].name: (sizes, heights) for key, heights in means.items()}
        outcome.curves.append(Curves(f"{title} by labelled texts", "labels", title, lines, logarithmic=True))

    def claim(key: str, says: str, first: str, second: str, size: int) -> None:
        """Claim that the first method's average precision is higher on the same draws."""
        pairs = zip(found[first][size], found[second][size], strict=True)
        gap = outcome.values[key] = of_draws([a["average_precision"] - b["average_precision"] for a, b in pairs])
        outcome.claim(key, says, gap.above())

    few, many = sizes[0], sizes[-2]
    claim("rules-win-at-first", f"With {few} labels rules rank messages better than a linear SVM", "rules", "svm", few)
    says = f"With {few} labels pretraining improves the ranking of the small model"
    claim("pretraining-saves-labels", says, "pretrained", "random", few)
    claim("pretraining-helps-still", f"and it still does with {many}", "pretrained", "random", many)
    claim("svm-leads-still", f"With {many} labels the SVM still ranks better than the small pretrained model", "svm",
          "pretrained", many)  # fmt: skip
    outcome.notes += [
        "one test fold, one seed of the networks: intervals are over draws of labels, by Student's t",
        "much of the spam has a near duplicate in the training folds, because it is sent from templates",
        "F1 uses a threshold of 0.5, which suffers from poor calibration; average precision needs no threshold",
    ]
