"""Files that others made, read with care: never waited for, never deeper or larger than can be held.

What is no plain file is refused before it is opened, since reading a pipe or a device may never end.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError

TEXT_LIMIT = 1 << 30
"""Bytes of a file that is read into memory whole."""


def require_plain(path: Path) -> int:
    """Return the size in bytes of a file. Raises `UserError` for a folder, a pipe, a device; `OSError` for none."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{path}: is a folder where a file is needed; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is a pipe or a device and no file; copy what it gives into a file first")
    return status.st_size


def read_plain_text(path: Path, encoding: str = "utf-8", limit: int = TEXT_LIMIT) -> str:
    """Return the text of a file. Raises `UserError` as `require_plain` does, beyond `limit` bytes and for other bytes.

    Raises `OSError` where the file is missing or cannot be read.
    """
    size = require_plain(path)
    if size > limit:
        raise UserError(f"{path}: {size / 1e6:,.0f} MB where at most {limit / 1e6:,.0f} MB are read; restore the file")
    try:
        return path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start:,}); restore the file") from error


def parse_json(text: str | bytes, where: str) -> Any:
    """Return the value that JSON text holds. Raises `UserError` for text that is none, or nests too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{where}: not valid JSON (nested too deeply); restore the file or make it again") from error
    except ValueError as error:  # a number of thousands of digits is no JSONDecodeError
        raise UserError(f"{where}: not valid JSON ({error}); restore the file or make it again") from error


def require_table(value: Any, where: str) -> dict[str, Any]:
    """Return a value read from JSON that must be a table of named values, else raise `UserError`."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: holds {describe(value)} where named values are expected; restore the file")
    return value


def is_inside(name: Any) -> bool:
    """Return whether a name that a file gives is that of a file beside it, and leads nowhere else."""
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..") and "\\" not in name


def describe(value: Any) -> str:
    """Say what kind of value JSON held.

    >>> describe([1, 2])
    'a list'
    """
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), "nothing")


@contextmanager
def intact(where: Path | str, what: str) -> Iterator[None]:
    """Require that a file is intact: what goes wrong when its values are taken apart becomes one line that names it.

    For code that does nothing but read: a value of another kind, a missing key, a number out of all bounds is then the
    file's fault. `UserError` passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{where}: not a whole {what} ({type(error).__name__}: {reason}); restore the file") from error
