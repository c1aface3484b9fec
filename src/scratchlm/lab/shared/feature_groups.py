"""Controls of the designed features: without each group, from other lists, and with the features of another message.

They show what the choice of features decides. All use logistic regression, in cross-validation on the same folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from scratchlm.classic.designed import FEATURES, SPAMBASE, DesignedTexts, Feature, groups_of, logistic_on, measured
from scratchlm.classic.rules import SpamRules
from scratchlm.lab.shared.detectors import FITTED, PENALTIES, VALIDATED, validation_scores
from scratchlm.lab.shared.folds import Folded

Table = Float[np.ndarray, "N F"]
WORD_LISTS = ("selling words", "small print", "private words")
"""Groups of features that count words of a list."""
GROUPS = {f"without_{group.replace(' ', '_')}": (group,) for group in groups_of()} | {"without_word_lists": WORD_LISTS}
"""What each control leaves out of the designed features."""
VARIANTS: Mapping[str, str] = {
    **{key: f"without {' and '.join(groups)}" for key, groups in GROUPS.items()},
    "without_word_lists": "without any list of words",
    "keywords": "keywords of the rules, each with a learned weight",
    "spambase": "features that others designed for e-mail (Spambase)",
    "borrowed": "counted words, and the designed features of another message",
}
"""Controls by their names among the values."""


def measure_variants(data: Folded, folds: int, tunings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the probability of spam of every text of the tested folds, and the number of features, by control.

    Groups are left out at the penalty that was tuned for all of them. The two other lists tune their own in the same
    way. Texts of folds that are not tested get 0.
    """
    designed = measured(data.texts)
    columns = {
        key: [at for at, feature in enumerate(FEATURES) if feature.group not in left_out]
        for key, left_out in GROUPS.items()
    }
    tables = {key: designed[:, kept] for key, kept in columns.items()}
    penalty = dict.fromkeys(tables, tunings["designed"]["setting"]["C"])
    for key, table in (("keywords", keyword_table(data.texts)), ("spambase", measured(data.texts, SPAMBASE))):
        tables[key] = table
        penalty[key] = _best_penalty(table, data)
    results = {key: _crossed(data, folds, _on_table(table, data, penalty[key])) for key, table in tables.items()}
    results["borrowed"] = _crossed(data, folds, _borrowing(designed, data, tunings["both"]["setting"]["C"]))
    sizes = {key: table.shape[1] for key, table in tables.items()} | {"borrowed": len(FEATURES)}
    return {"probabilities": results, "features": sizes}


def keyword_table(texts: Sequence[str]) -> Table:
    """Return which of the keywords of the hand-written rules occur in each text, one column for each keyword."""
    counts = [SpamRules().found(text) for text in texts]
    known = sorted({keyword for each in counts for keyword in each})
    return np.array([[float(keyword in each) for keyword in known] for each in counts]).reshape(len(texts), len(known))


Ask = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Function of the indices of training and of test texts that returns the test texts' probabilities."""


def _on_table(table: Table, data: Folded, C: float) -> Ask:
    def ask(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        model = logistic_on(table.shape[1], C).fit(table[inside], data.truth[inside])
        return np.asarray(model.predict_proba(table[outside])[:, 1])

    return ask


def _borrowing(table: Table, data: Folded, C: float) -> Ask:
    """Return the question to counted words with as many further columns, which say nothing about their message."""
    drawn = dict(zip(data.texts, np.random.default_rng(0).permutation(table), strict=True))

    def feature(at: int, like: Feature) -> Feature:
        return like._replace(measure=lambda message: float(drawn[message.text][at]))

    features = [feature(at, like) for at, like in enumerate(FEATURES)]

    def ask(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        model = DesignedTexts(C, features, words=True)
        model.fit([data.texts[i] for i in inside], data.truth[inside].tolist())
        return model.predict_proba([data.texts[i] for i in outside])[:, 1]

    return ask


def _best_penalty(table: Table, data: Folded) -> float:
    """Return the best of the penalties, chosen as `tune` does."""
    fitted, validated = (np.flatnonzero(np.isin(data.folds, folds)) for folds in (FITTED, (VALIDATED,)))

    def loss(C: float) -> float:
        predicted = _on_table(table, data, C)(fitted, validated)
        return validation_scores(predicted, data.truth[validated])["cross_entropy"]

    return min((setting["C"] for setting in PENALTIES), key=loss)


def _crossed(data: Folded, folds: int, ask: Ask) -> list[float]:
    each = np.zeros(len(data.texts))
    for fold in range(folds):
        inside, outside = data.sides(fold)
        each[outside] = ask(inside, outside)
    return [round(float(value), 9) for value in each]
