"""Texts and rows that a program holds in memory, written once to a file, from which a run is begun and resumed.

A file's name is the hash of what it holds. So the same rows are written once, a run's manifest has the hash of what it
read as for any file, and a run can be resumed without the program that made the rows. Nothing is ever removed: the
folder is `given/` in the cache (`default_cache`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError, raise_first, shortened
from scratchlm.base.files import write_text
from scratchlm.base.paths import default_cache
from scratchlm.data.batches import ArrayTokens, WindowBatches
from scratchlm.data.prepare import prepare
from scratchlm.data.prepared import REPORT_FILE, open_data
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.config import PrepareConfig
from scratchlm.tokens.pretrained import load_tokenizer

Rows = Iterable[str | Mapping[str, Any]]
"""Texts, or rows of named fields, such as {"text": "...", "label": "..."}."""


def file_of_rows(rows: Rows | str | Mapping[str, Any], where: str) -> Path:
    """Write texts or rows as JSON Lines and return the file; a text becomes a row with the field `text`.

    `where` names the argument in messages. A table of pandas is taken as its rows. Raises `UserError` where there is no
    row, and lists every row that is neither a text nor made of values that JSON has.
    """
    if hasattr(rows, "iterrows"):  # iterated over as it is, a table of pandas gives the names of its columns
        rows = rows.to_dict("records")  # type: ignore[attr-defined]
    if isinstance(rows, str | Mapping):
        rows = [rows]
    if not isinstance(rows, Iterable):
        raise UserError(f"{where} is {shortened(rows)}: expected a path, texts, or rows of named fields")
    lines, problems = [], []
    for number, row in enumerate(rows, 1):
        try:
            if not isinstance(row, str | Mapping):
                raise TypeError(f"is {shortened(row)}: neither a text nor named fields")
            fields = {"text": row} if isinstance(row, str) else dict(row)
            line = json.dumps(fields, ensure_ascii=False, default=_plain)
            line.encode()
            lines.append(line)
        except (TypeError, ValueError) as error:  # which a lone surrogate raises too
            problems.append(f"{where}, row {number}: {error}")
    raise_first(problems, "rows")
    if not lines:
        raise UserError(f"{where}: holds no row; give at least one")
    text = "\n".join(lines) + "\n"
    file = default_cache() / "given" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    return file


def _plain(value: Any) -> Any:
    """Return a number of NumPy or a path as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{shortened(value)} is no value of JSON")


def prepared_rows(rows: Rows, where: str, tokenizer: Path | None = None) -> Path:
    """Return the folder that `prepare` writes of texts, by the usual settings; it is written once.

    `tokenizer` is that of a model to continue. Raises `UserError` as `file_of_rows` and `prepare` do.
    """
    file = file_of_rows(rows, where)
    name = file.stem if tokenizer is None else f"{file.stem}-{load_tokenizer(tokenizer).fingerprint[:12]}"
    folder = file.with_name(f"{name}-prepared")
    if not (folder / REPORT_FILE).exists():
        try:
            prepare(PrepareConfig((str(file),), folder, tokenizer=tokenizer))
        except UserError as error:
            raise UserError(f"{where}: {error}; settings of its own have slm.prepare(data=..., out=...)") from error
    return folder


def batches_from(
    data: str | Path | Sequence[str] | Sequence[int], *, tokenizer: Tokenizer | None = None, rows: int = 8,
    length: int = 128, seed: int = 0,
) -> WindowBatches:  # fmt: skip
    """Return batches for a `Loop`: windows of `length` tokens, `rows` of them at a time, in a new order each epoch.

    `data` is a folder that `prepare` wrote, of which the training text is taken; or texts, which `tokenizer` encodes,
    each followed by its end of text; or token ids. Called with no argument, it yields (batch, state) without end; with
    a state, what comes after it. Raises `UserError` for texts without a tokenizer and for fewer tokens than one window.
    """
    if isinstance(data, str | Path):
        return WindowBatches(open_data(Path(data))[1], rows, length, seed)
    texts = [each for each in data if isinstance(each, str)]
    if len(texts) < len(data):
        return WindowBatches(ArrayTokens(np.asarray(data)), rows, length, seed)
    if tokenizer is None:
        raise UserError("batches_from: texts need a tokenizer; give tokenizer=model.tokenizer, or prepare them first")
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    ids = [id for text in texts for id in [*tokenizer.encode(text), *end]]
    return WindowBatches(ArrayTokens(np.asarray(ids, dtype=np.int64)), rows, length, seed)
