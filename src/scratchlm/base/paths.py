"""Paths as files keep them: seen from the folder that holds the file, so that what lies beside it can move with it.

A file that goes to others then does not show how the folders of one machine are called.
"""

from __future__ import annotations

import os
from pathlib import Path

from scratchlm.base.errors import UserError


def default_cache() -> Path:
    """Return the folder in which downloads are kept, where the system keeps such things."""
    if os.name == "nt" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "scratchlm" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scratchlm"


def holds_paths(value: object) -> bool:
    """Return whether a setting's value is a path, or several."""
    return isinstance(value, Path) or (
        isinstance(value, tuple) and bool(value) and all(isinstance(each, Path) for each in value)
    )


def require_current_folder() -> None:
    """Raise `UserError` where the current folder was removed: paths mean nothing there, and libraries fail."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was removed; go to one that exists, with cd") from error


def stored_path(path: Path, folder: Path) -> str:
    """Return `path` as seen from `folder`: with forward slashes, beginning with ./ or ../, which no name does.

    On another drive, which no such path reaches, it is absolute.
    """
    absolute = Path(os.path.abspath(path))
    try:  # links are followed, as the system follows them before it goes up
        seen = os.path.relpath(Path(os.path.realpath(absolute.parent)) / absolute.name, os.path.realpath(folder))
    except ValueError:
        return absolute.as_posix()
    spelled = Path(seen).as_posix()
    return spelled if spelled.startswith("../") or spelled == ".." else f"./{spelled}"


def found_path(stored: str, folder: Path) -> Path:
    """Return the path that a file in `folder` keeps.

    What does not begin with ./ or ../ is taken as it is: an absolute path, a name, or one seen from the current folder,
    as earlier versions wrote them. So is what lies there alone.
    """
    if not stored.startswith(("./", "../")) and stored != "..":
        return Path(stored)
    beside = Path(os.path.normpath(Path(os.path.realpath(folder)) / stored))
    return beside if beside.exists() or not Path(stored).exists() else Path(stored)
