"""Labelled texts in five folds that never change: which fold a text belongs to follows from the text alone.

A file of folds has a line for each: its number, a tab, and the first ten hexadecimal digits of the SHA-256 of its
texts, each lower-cased and stripped, with spaces between. Without a file, or for texts in none, the fold is the hash
modulo five.
"""

from __future__ import annotations

import re
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
MARK = 10
"""Hexadecimal digits by which a text is known."""


@dataclass(frozen=True)
class Folded:
    """Texts without copies, whether each is of the sought class, and its fold."""

    labels: tuple[str, str]
    """The other class, and the sought one."""
    texts: list[str]
    truth: Int[np.ndarray, " N"]
    folds: Int[np.ndarray, " N"]

    def sides(self, fold: int) -> tuple[Int[np.ndarray, " I"], Int[np.ndarray, " O"]]:
        """Return the places of what is learned from and of what is tested, for one fold."""
        return np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


def like_others(data: Folded) -> Bool[np.ndarray, " N"]:
    """Tell which texts are near copies of texts in other folds: half of their runs of words stand there too.

    Digits are alike, marks and case have no part; runs are of four words, or of all of a shorter text.
    """
    runs = [_runs(text) for text in data.texts]
    places: dict[str, set[int]] = {}
    for fold, of_text in zip(data.folds.tolist(), runs, strict=True):
        for run in of_text:
            places.setdefault(run, set()).add(fold)
    shares = [
        sum(bool(places[run] - {fold}) for run in of_text) / len(of_text) if of_text else 0.0
        for fold, of_text in zip(data.folds.tolist(), runs, strict=True)
    ]
    return np.array(shares) >= 0.5


def _runs(text: str) -> list[str]:
    words = re.sub(r"[^\w\s]", "", re.sub(r"\d", "0", text.lower())).split()
    return [" ".join(words[at : at + 4]) for at in range(max(1, len(words) - 3))] if words else []


def mark_of(text: str) -> str:
    """Return the name of a text in a file of folds."""
    return sha256(text.lower().strip().encode("utf-8")).hexdigest()[:MARK]


def read_folded(path: Path, text_column: str | None, label_column: str | None, fold_file: Path | None) -> Folded:
    """Read texts of two classes, the first of texts that are equal when lower-cased and stripped, with their folds.

    Raises `UserError` for columns that are missing, more or fewer than two classes, a broken file of folds, and a fold
    in which one of the classes is missing.
    """
    columns = [column for column in (text_column, label_column) if column is not None]
    read = read_labelled(read_records(path, columns), text_column, label_column)
    kept: dict[str, Labelled] = {}
    for each in read:
        kept.setdefault(each.text.lower().strip(), each)
    labels = labels_of(list(kept.values()))
    if len(labels) != 2:
        raise UserError(f"{path}: has {len(labels)} classes; this ladder is of two")
    rare = min(labels, key=lambda label: sum(each.label == label for each in kept.values()))
    common = next(label for label in labels if label != rare)
    texts = [each.text for each in kept.values()]
    truth = np.array([int(each.label == rare) for each in kept.values()])
    known = read_folds(fold_file)
    marks = [mark_of(text) for text in texts]
    if fold_file is not None and not known.keys() & set(marks):
        raise UserError(f"--fold-file {fold_file}: knows none of the texts of {path}; leave it out, or name theirs")
    folds = np.array([known.get(mark, int(mark, 16) % FOLDS) for mark in marks])
    for fold in range(FOLDS):
        found = set(truth[folds == fold].tolist())
        if len(found) < 2:
            raise UserError(
                f"{path}: fold {fold} of {FOLDS} has texts of {len(found)} classes, not of both; give more texts"
            )
    return Folded((common, rare), texts, truth, folds)


def read_folds(path: Path | None) -> Mapping[str, int]:
    """Read a file of folds; that of the SMS spam collection where none is named.

    Raises `UserError` for a line without number and texts, a fold beyond the last, and a text in two folds.
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
        fold, _, marks = line.partition("\t")
        place = f"{path}:{number}"
        if not fold.isdigit() or not marks.split():
            raise UserError(f"{place}: is no fold; a line has a number, a tab, and marks of its texts")
        if int(fold) >= FOLDS:
            raise UserError(f"{place}: fold {fold}: must be from 0 to {FOLDS - 1}")
        for mark in marks.split():
            if not re.fullmatch(rf"[0-9a-f]{{{MARK}}}", mark):
                raise UserError(f"{place}: {mark!r} is no mark of a text: the first {MARK} hex digits of its SHA-256")
            if known.setdefault(mark, int(fold)) != int(fold):
                raise UserError(f"{place}: {mark} stands in fold {known[mark]} too; a text has one fold")
    return known
