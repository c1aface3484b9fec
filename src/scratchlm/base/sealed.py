"""Result files that notice a change by hand: JSON with a hash of itself.

The seal is no signature. It shows that a file was edited or damaged, not who wrote it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json


def sealed(kind: str, form: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as plain data with their kind, the number of their format, and a hash of all of it.

    Numbers that JSON cannot hold become null, what it does not know becomes text.
    """
    body = {"format": form, "kind": kind, **_finite(json.loads(json.dumps(values, default=str)))}
    return {**body, "seal": _seal(body)}


def read_sealed(path: Path, kind: str, form: int, command: str) -> dict[str, Any]:
    """Read what `sealed` made and `command` wrote, without its seal.

    Raises `UserError` for a file that is none, was written in another format, or was changed by hand.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; name one that {command} wrote")
    try:
        body = read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: no result of {command} ({error})") from error
    if not isinstance(body, dict) or body.get("kind") != kind:
        raise UserError(f"{path}: no result of {command}; name a file that it wrote")
    if body.get("format") != form:
        raise UserError(f"{path}: written in format {body.get('format')}, this version reads {form}; make it again")
    seal = body.pop("seal", None)
    if seal != _seal(body):
        raise UserError(f"{path}: was changed after it was written; make it again")
    return {name: value for name, value in body.items() if name not in ("format", "kind")}


def _seal(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """Replace numbers that JSON cannot hold by null: the error of a single item is infinite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
