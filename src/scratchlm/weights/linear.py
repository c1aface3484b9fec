"""A linear classifier on counted features in a model folder, beside the network that learned from the same texts.

    linear.json         labels, features and their settings, vocabularies, held-out scores of both classifiers
    linear.safetensors  IDF of each feature, weights (classes or 1, features) and intercepts, in fp64

It is a stored form of scikit-learn's TF-IDF and linear models: the features are counted by scikit-learn, so the
probabilities are those of the fitted model, bit for bit, and nothing is trained when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from scratchlm.base.config import read_known
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.ranges import Fraction, Range, out_of_range
from scratchlm.base.reading import intact
from scratchlm.weights.tensors import open_tensors

LINEAR_FILE, LINEAR_WEIGHTS = "linear.json", "linear.safetensors"
FORMAT = 1
Features = Literal["words", "characters"]


def counter(features: Features, vocabulary: Mapping[str, int] | None = None) -> Any:
    """Return scikit-learn's counter of words and word pairs, split at whitespace, or of 2 to 5 characters inside words.

    Both are weighted by TF-IDF. A vocabulary gives each feature its column; without one it is learned by `fit`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if features == "words":
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+", vocabulary=vocabulary)
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, vocabulary=vocabulary)


@dataclass(frozen=True)
class HeldOutF1:
    """F1 of both classifiers on the same held-out texts."""

    texts: int
    linear: Fraction
    network: Fraction

    def __post_init__(self) -> None:
        raise_all(out_of_range(self, "held_out"))

    def better(self) -> Literal["linear", "network"]:
        """Return which has the higher F1; of equal ones the linear model, which answers sooner."""
        return "network" if self.network > self.linear else "linear"


@dataclass(frozen=True)
class LinearSettings:
    """What linear.json holds."""

    labels: tuple[str, ...]
    """Label of each class, in the order of the weights."""
    held_out: HeldOutF1
    vocabularies: dict[str, tuple[str, ...]]
    """Features of each kind, in the order of their columns."""
    positive: str | None = None
    """The positive class, of two."""
    characters: int | None = None
    """Characters of each text that are read; None: all."""
    temperature: Annotated[float, Range(1e-3, 1e3)] = 1.0
    """Divisor of the margins, chosen on cross-validated margins of the training texts."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        problems = out_of_range(self)
        if self.positive is not None and self.positive not in self.labels:
            problems.append(f"positive is {self.positive[:80]!r}: must be one of the labels")
        raise_all(problems)


@dataclass(frozen=True)
class LinearModel:
    """A trained linear classifier."""

    settings: LinearSettings
    idf: Mapping[str, Float[np.ndarray, " F"]]
    """Inverse document frequency of each feature, by the kind of features."""
    weights: Float[np.ndarray, "R F"]
    """A row for each class; of two classes one row, for the second."""
    intercepts: Float[np.ndarray, " R"]
    _counters: list[Any] = field(default_factory=list, repr=False)

    def margins(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return what scikit-learn's decision function says of each text and class; of two classes 0 and that."""
        from scipy.sparse import hstack

        if not self._counters:
            for kind, names in self.settings.vocabularies.items():
                made = counter(kind, {name: index for index, name in enumerate(names)})  # type: ignore[arg-type]
                made.idf_ = self.idf[kind]
                self._counters.append(made)
        texts = [text[: self.settings.characters] for text in texts]
        table = hstack([each.transform(texts) for each in self._counters]).tocsr()
        return two_sided(np.asarray(table @ self.weights.T + self.intercepts))

    def probabilities(self, texts: Sequence[str]) -> Float[np.ndarray, "N C"]:
        """Return the probability of each class for each text."""
        return probabilities_of(self.margins(texts) / self.settings.temperature)


def two_sided(margins: Float[np.ndarray, ...]) -> Float[np.ndarray, "N C"]:
    """Return margins with a column for each class; of two classes scikit-learn gives the second one's alone."""
    if margins.ndim == 2 and margins.shape[1] > 1:
        return margins
    return np.stack([np.zeros(len(margins)), margins.reshape(-1)], 1)


def probabilities_of(margins: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Return the softmax of margins; of two classes the sigmoid, as scikit-learn computes it."""
    if margins.shape[1] == 2:
        positive = 1 / (1 + np.exp(margins[:, 0] - margins[:, 1]))
        return np.stack([1 - positive, positive], 1)
    powers = np.exp(margins - margins.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def linear_tensors(model: LinearModel) -> dict[str, torch.Tensor]:
    """Return the tensors that are stored of a linear model."""
    arrays = {"weights": model.weights, "intercepts": model.intercepts}
    arrays |= {f"{kind}.idf": values for kind, values in model.idf.items()}
    return {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)) for name, array in arrays.items()}


def read_linear(folder: Path) -> LinearModel | None:
    """Read the linear model of a folder, None where it has none. The hashes are the caller's to check.

    Raises `UserError` for files that do not fit each other, and for a later format.
    """
    if not (folder / LINEAR_FILE).exists():
        return None
    with intact(folder / LINEAR_FILE, "linear model"):
        settings = read_known(LinearSettings, folder / LINEAR_FILE)
    if settings.format > FORMAT:
        raise UserError(f"{folder / LINEAR_FILE}: format {settings.format} is newer than {FORMAT}; update")
    file = open_tensors(folder / LINEAR_WEIGHTS)
    with intact(folder / LINEAR_WEIGHTS, "linear model"):
        arrays = {name: file.get_tensor(name).double().numpy() for name in file.keys()}  # noqa: SIM118 - no mapping
        sizes = {kind: len(names) for kind, names in settings.vocabularies.items()}
        rows = 1 if len(settings.labels) == 2 else len(settings.labels)
        shapes = {"weights": (rows, sum(sizes.values())), "intercepts": (rows,)}
        shapes |= {f"{kind}.idf": (size,) for kind, size in sizes.items()}
        kinds_known = bool(sizes) and sizes.keys() <= {"words", "characters"} and all(sizes.values())
        named = len(set(settings.labels)) == len(settings.labels) > 1
        distinct = all(len(set(names)) == len(names) for names in settings.vocabularies.values())
        if not (kinds_known and named and distinct) or {name: each.shape for name, each in arrays.items()} != shapes:
            raise ValueError("vocabulary, labels and weights do not belong together")
        if not all(np.isfinite(each).all() for each in arrays.values()):
            raise ValueError("has numbers that are infinite or NaN")
    idf = {kind: arrays[f"{kind}.idf"] for kind in sizes}
    return LinearModel(settings, idf, arrays["weights"], arrays["intercepts"])
