"""Files that are whole or absent: atomic writes, hashes, free space.

Every write goes to a temporary name beside its target and is renamed once it is complete and on disk, so a kill or a
full disk leaves the last good version. Downloads are in `base/download.py`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def explain_os_error(error: OSError, path: Path | str) -> UserError:
    """Turn an operating-system error on `path` into one line with a remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{path}: the disk is full; free space or choose another folder, nothing was replaced")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path}: no permission; change its rights or choose another folder")
    if error.errno == errno.ELOOP:
        return UserError(f"{path}: symbolic links form a loop; remove the loop or name the real file")
    if error.errno == errno.ENOENT:
        return UserError(f"{path}: no such file or folder; check the spelling")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path}: a file stands where a folder is needed; choose another name")
    return UserError(f"{path}: {error.strerror or error}; check the file and try again")


def _sync(path: Path) -> None:
    """Force a file or folder to disk; folders cannot be opened for this on Windows, where the rename suffices."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the name `path`, replacing what stood there."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    retired = temporary.with_suffix(".old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        if path.exists():
            os.replace(path, retired)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


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
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); restore the file or make it again") from error


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


def prepare_output(out: Path, *, force: bool, marker: str, sources: tuple[Path, ...] = ()) -> None:
    """Check that a command may write the folder `out`.

    Refuses a folder that exists and is not empty (unless `force`, and then only one that holds `marker`, so that a
    folder which this package did not write is never replaced), and one that lies inside a source or holds one.
    """
    resolved = Path(os.path.realpath(out))  # which, unlike Path.resolve, survives a link to itself
    for source in sources:
        inside = Path(os.path.realpath(source))
        if resolved == inside or (inside.is_dir() and inside in resolved.parents) or resolved in inside.parents:
            raise UserError(f"--out {out}: lies inside the source {source} or holds it; choose a folder apart from it")
    if out.is_file():
        raise UserError(f"--out {out}: a file stands there; choose another name")
    try:
        occupied = out.exists() and any(out.iterdir())
    except OSError as error:
        raise explain_os_error(error, out) from error
    if occupied and not force:
        raise UserError(f"--out {out}: exists already; choose another name, or replace it with --force")
    if occupied and not (out / marker).exists():
        raise UserError(f"--out {out}: holds no {marker}, so scratchlm did not write it; choose another name")
    parent = out.absolute()
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise UserError(f"--out {out}: no permission to write in {parent}; choose another folder")
