"""Files that are whole or absent: atomic writes, hashes, free space.

Every write goes to a temporary name beside its target and is renamed once it is complete and on disk, so a kill or a
full disk leaves the last good version. Folders are in `base/folders.py`, downloads in `base/download.py`.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.reading import parse_json, read_plain_text, require_plain

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(?:tmp|old)")
"""Names of what is being written; the group is the name it will have."""
SECONDS_A_DAY = 86_400


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces. Raises `UserError` for a pipe, a device, a folder."""
    require_plain(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_files(names: Mapping[Path, str]) -> str:
    """Return the hash of files in their order, each by its name and what it holds."""
    return hashlib.sha256("".join(f"{name} {sha256_of(file)}\n" for file, name in names.items()).encode()).hexdigest()


def explain_os_error(error: OSError, path: Path | str) -> UserError:
    """Turn an operating-system error on `path` into one line with a remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{path}: the disk is full; free space or choose another folder, nothing was replaced")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path}: no permission; change its rights or choose another folder")
    if error.errno == errno.ENAMETOOLONG:
        return UserError(f"{str(path)[:60]}...: the name is too long; choose a shorter one")
    if error.errno == errno.ELOOP:
        return UserError(f"{path}: symbolic links form a loop; remove the loop or name the real file")
    if error.errno == errno.ENOENT:
        return UserError(f"{path}: no such file or folder; check the spelling")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path}: a file stands where a folder is needed; choose another name")
    return UserError(f"{path}: {error.strerror or error}; check the file and try again")


def require_space(folder: Path, needed: float, what: str, remedy: str) -> None:
    """Refuse what needs more bytes of disk than are free where `folder` is, or will be. Raises `UserError`."""
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(
            f"{folder}: {what} take about {needed / 1e9:,.2f} GB, and {free / 1e9:,.2f} GB are free; {remedy}"
        )


def sync(path: Path) -> None:
    """Force a file or folder to disk; folders cannot be opened for this on Windows, where the rename suffices."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Hold a lock on an existing file or folder, so that `abandoned` can distinguish it from what a kill left."""
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def abandoned(path: Path) -> bool:
    """Return whether nobody writes a temporary file or folder any more: no process holds its lock.

    Where there are no such locks (Windows), it is abandoned once it is a day old.
    """
    try:
        if fcntl is None:
            return time.time() - path.stat().st_mtime > SECONDS_A_DAY
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False  # gone meanwhile, or not ours to read
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    What earlier calls for the same `path` left when they were killed is removed.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        temporary.touch()
        with in_use(temporary):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        if TEMPORARY.fullmatch(left.name) and left.is_file() and abandoned(left):
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, non-ASCII kept as it is."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing, unreadable or broken one is a `UserError` that names it."""
    try:
        return parse_json(read_plain_text(path), str(path))
    except OSError as error:
        raise explain_os_error(error, path) from error


def require_file_place(path: Path) -> None:
    """Make the folder of a file that is to be written. Raises `UserError` where none can stand there."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def require_free_space(folder: Path, needed: int) -> None:
    """Refuse to begin when the disk of `folder` has fewer than `needed` bytes free."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"{folder}: {needed / 1e6:,.0f} MB needed and {free / 1e6:,.0f} MB free; free space or choose another disk"
        )
