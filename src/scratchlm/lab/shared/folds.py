"""Labelled texts in five fixed cross-validation folds: the text alone decides its fold.

A fold file has a line for each fold: its number, a tab, and its texts, separated by spaces. A text is given by the
first ten hexadecimal digits of the SHA-256 of the lower-cased, stripped text. The fold of a text in no file is its hash
modulo five.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from scratchlm.base.errors import UserError
from scratchlm.base.reading import require_plain
from scratchlm.text.labelled import Labelled, labels_of, read_labelled
from scratchlm.text.records import read_records

FOLDS = 5
HASH_DIGITS = 10
"""Hexadecimal digits of the hash that identifies a text."""


@dataclass(frozen=True)
class Folded:
    """Deduplicated texts, each with its class (1 is the positive class) and its fold."""

    labels: tuple[str, str]
    """The negative and the positive class."""
    texts: list[str]
    truth: Int[np.ndarray, " N"]
    folds: Int[np.ndarray, " N"]

    def sides(self, fold: int) -> tuple[Int[np.ndarray, " I"], Int[np.ndarray, " O"]]:
        """Return the indices of the training texts and of the test texts of one fold."""
        return np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


def like_others(data: Folded) -> Bool[np.ndarray, " N"]:
    """Return which texts are near duplicates of texts in other folds: half of their word 4-grams occur there too.

    All digits count as equal; punctuation and case are ignored. A shorter text is one n-gram of all its words.
    """
    grams: list[tuple[int, list[str]]] = []
    places: defaultdict[str, set[int]] = defaultdict(set)
    for fold, text in zip(data.folds.tolist(), data.texts, strict=True):
        words = re.sub(r"[^\w\s]", "", re.sub(r"\d", "0", text.lower())).split()
        of_text = [" ".join(words[at : at + 4]) for at in range(max(1, len(words) - 3))] if words else []
        grams.append((fold, of_text))
        for gram in of_text:
            places[gram].add(fold)
    known = [sum(bool(places[gram] - {fold}) for gram in of_text) / max(1, len(of_text)) for fold, of_text in grams]
    return np.array(known) >= 0.5


def text_hash(text: str) -> str:
    """Return the hash that identifies a text in a fold file."""
    return sha256(text.lower().strip().encode("utf-8")).hexdigest()[:HASH_DIGITS]


def read_folded(path: Path, text_column: str | None, label_column: str | None, fold_file: Path | None) -> Folded:
    """Read texts of two classes with their folds; of texts equal when lower-cased and stripped, only the first.

    The rarer class is the positive one. Raises `UserError` for missing columns, for more or fewer than two classes,
    for a broken fold file, and for a fold in which one of the classes is missing.
    """
    columns = [column for column in (text_column, label_column) if column is not None]
    kept: dict[str, Labelled] = {}
    for each in read_labelled(read_records(path, columns), text_column, label_column):
        kept.setdefault(each.text.lower().strip(), each)
    labels = labels_of(list(kept.values()))
    if len(labels) != 2:
        raise UserError(f"{path}: has {len(labels)} classes; this experiment needs two")
    rare = min(labels, key=lambda label: sum(each.label == label for each in kept.values()))
    common = next(label for label in labels if label != rare)
    texts = [each.text for each in kept.values()]
    truth = np.array([int(each.label == rare) for each in kept.values()])
    known, hashes = read_folds(fold_file), [text_hash(text) for text in texts]
    if fold_file is not None and not known.keys() & set(hashes):
        where = f"--fold-file {fold_file}"
        raise UserError(f"{where}: lists none of the texts of {path}; leave it out, or name the right file")
    folds = np.array([known.get(each, int(each, 16) % FOLDS) for each in hashes])
    for fold in range(FOLDS):
        if (classes := len(set(truth[folds == fold].tolist()))) < 2:
            where = f"{path}: fold {fold} of {FOLDS}"
            raise UserError(f"{where} has texts of {classes} of the two classes; give more texts")
    return Folded((common, rare), texts, truth, folds)


def read_folds(path: Path | None) -> Mapping[str, int]:
    """Read a fold file; without a path, the one of the SMS spam collection.

    Raises `UserError` for a line without number or texts, for a fold beyond the last, and for a text in two folds.
    """
    if path is None:
        written = (resources.files("scratchlm.lab.shared") / "spam-folds.tsv").read_text(encoding="utf-8")
    elif not path.is_file():
        raise UserError(f"--fold-file {path}: no such file; check the spelling")
    else:
        require_plain(path)
        written = path.read_text(encoding="utf-8", errors="replace")
    known: dict[str, int] = {}
    for number, line in enumerate(written.splitlines(), 1):
        fold, _, hashes = line.partition("\t")
        place = f"{path}:{number}"
        if not re.fullmatch("[0-9]{1,9}", fold) or not hashes.split():
            raise UserError(f"{place}: is no fold; a line has a number, a tab, and hashes of its texts")
        if int(fold) >= FOLDS:
            raise UserError(f"{place}: fold {fold}: must be from 0 to {FOLDS - 1}")
        for text in hashes.split():
            if not re.fullmatch(rf"[0-9a-f]{{{HASH_DIGITS}}}", text):
                hashed = f"the first {HASH_DIGITS} hex digits of its SHA-256"
                raise UserError(f"{place}: {text!r} is no hash of a text: {hashed}")
            if known.setdefault(text, int(fold)) != int(fold):
                raise UserError(f"{place}: {text} is in fold {known[text]} too; a text has one fold")
    return known
