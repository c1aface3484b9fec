"""What an evaluation has computed so far: shown as progress, and kept when it is stopped.

Each result has a key: a hash of the exact ids, or of the text, that the model was given. So a file of results serves
whatever asks the same of the same model again: the same command, or one with other tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlm.base.errors import Interrupted, UserError
from scratchlm.base.files import write_json
from scratchlm.base.progress import CountedProgress
from scratchlm.base.sealed import read_sealed, sealed
from scratchlm.base.signals import stop_on_signals

FORMAT, KIND = 1, "scratchlm interrupted evaluation"

Note = Callable[[Mapping[int, Any]], None]
"""Is called with results by their positions, as they are computed."""


class Unknown(Exception):  # noqa: N818 - not an error: the work was stopped before
    """A result was asked for that is not computed yet, of work that computes no more."""


class Work:
    """Results by key, with a file that keeps them while the work is unfinished."""

    def __init__(self, path: Path | None = None, model: str = "") -> None:
        """Begin with the results in the file `path`, where it exists; `model` is the hash of the model.

        Raises `UserError` for a file that is damaged or of another model.
        """
        self.path, self.model = path, model
        self.known: dict[str, Any] = {}
        self.ended = False
        """Whether nothing more is computed: what is not known raises `Unknown`."""
        if path is not None and path.exists():
            body = read_sealed(path, KIND, FORMAT, "an interrupted scratchlm evaluate")
            if body.get("model") != model:
                raise UserError(f"{path}: was left by an evaluation of another model; remove it, or name another --out")
            known = body.get("known")
            if not isinstance(known, dict) or not all(map(_is_result, known.values())):
                raise UserError(f"{path}: holds no results of an interrupted evaluation; remove it")
            self.known = known

    def results(
        self, title: str, keys: Sequence[str], compute: Callable[[Sequence[int], Note], None], unit: str
    ) -> list[Any]:
        """Return a result for each key. `compute` gets the positions of those that are missing, and notes each result.

        Ctrl-C and SIGTERM raise `Interrupted` after the results that are computed next. Progress counts the keys.
        """
        first = {key: position for position, key in reversed(list(enumerate(keys)))}
        missing = sorted(position for key, position in first.items() if key not in self.known)
        if missing and self.ended:
            raise Unknown
        if missing:
            before = len(first) - len(missing)
            with CountedProgress(title, len(first), unit) as progress, stop_on_signals() as stop:
                progress.reached(before)
                count = before

                def note(results: Mapping[int, Any]) -> None:
                    nonlocal count
                    self.known.update({keys[position]: result for position, result in results.items()})
                    count += len(results)
                    progress.reached(count)
                    if stop.requested:
                        raise Interrupted

                compute(missing, note)
        return [self.known[key] for key in keys]

    def save(self) -> None:
        """Write the results to the file, where there is one and there are any."""
        if self.path is not None and self.known:
            write_json(self.path, sealed(KIND, FORMAT, {"model": self.model, "known": self.known}))

    def discard(self) -> None:
        """Remove the file: the work is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _is_result(value: Any) -> bool:
    """Say whether a value is a text, or a log-likelihood with its number of tokens and whether it is greedy."""
    return isinstance(value, str) or (isinstance(value, list) and [type(each) for each in value] == [float, int, bool])


def key_of(*parts: object) -> str:
    """Return the key of what a model is asked: numbers, texts, or sequences of them."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
