"""Folders that are whole or absent, and what a kill leaves of their writing.

A folder is written under a temporary name beside its target and takes the target's name once it is complete and on
disk. Where the system can exchange two names in one step (Linux, macOS), the target is never absent. Elsewhere two
renames are needed; a kill between them is completed at the next start.

    .NAME.1a2b3c4d.tmp   being written, or the replaced folder while it is removed
    .NAME.1a2b3c4d.old   the replaced folder, where names cannot be exchanged
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import TEMPORARY, abandoned, explain_os_error, in_use, sync

MARKER_FILE = ".scratchlm.json"
"""Stands in every folder that this package writes, and names the files that it wrote there."""
MARKER_FORMAT = 1
EXCHANGE = 2
"""RENAME_EXCHANGE of Linux's renameat2(2) and RENAME_SWAP of macOS's renamex_np(2)."""


@contextmanager
def atomic_folder(path: Path, kind: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the name `path`, replacing what stood there.

    With a `kind` the folder gets a marker that lists its files, so that a later `--force` knows them. What earlier
    calls left beside `path` when they were killed is completed or removed. Raises `UserError` on a full disk and the
    like; nothing is replaced then.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        temporary.mkdir()
        with in_use(temporary):
            yield temporary
            if kind is not None:
                write_marker(temporary, kind, files_in(temporary))
            for file in temporary.rglob("*"):
                sync(file)
            sync(temporary)
            _take_place(temporary, path)
            sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary.with_suffix(".old"), ignore_errors=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Give a complete folder its name; what stood there is left under a temporary one."""
    if path.exists() and exchange(temporary, path):
        return
    if path.exists():
        os.replace(path, temporary.with_suffix(".old"))
    os.replace(temporary, path)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or its file system cannot."""
    if sys.platform == "win32":
        return False
    library, names = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(other))
    if hasattr(library, "renameat2"):
        here = -100  # AT_FDCWD: paths begin where the process stands
        return bool(library.renameat2(here, names[0], here, names[1], EXCHANGE) == 0)
    if hasattr(library, "renamex_np"):
        return bool(library.renamex_np(*names, EXCHANGE) == 0)
    return False


def recover(path: Path) -> None:
    """Complete or remove what killed writers of the file or folder `path` left beside it; live ones are left alone.

    Where the target is gone, a kill came between two renames: the new folder was complete by then, so it takes the
    name, or else the old one takes it back.
    """
    named = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.(tmp|old)")
    if not path.parent.is_dir():
        return
    left = [each for each in path.parent.iterdir() if named.fullmatch(each.name) and abandoned(each)]
    for old in (each for each in left if each.suffix == ".old" and not os.path.lexists(path)):
        new = old.with_suffix(".tmp")
        os.replace(new if new in left else old, path)
    for each in left:
        remove(each)


def clean(folder: Path) -> None:
    """Remove what killed writers left anywhere inside `folder`, completing what was nearly done."""
    for inside, folders, files in os.walk(folder):
        targets = {match[1] for name in (*folders, *files) if (match := TEMPORARY.fullmatch(name))}
        for target in targets:
            recover(Path(inside) / target)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; a link is removed, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def discard(path: Path) -> None:
    """Remove a folder; a kill leaves it whole, or the rest of it under a temporary name for `clean`.

    A folder that cannot be removed stays.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with contextlib.suppress(OSError):
        os.replace(path, temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def files_in(folder: Path) -> list[str]:
    """Return the files below `folder`, links to folders among them, as relative paths in order; temporary ones not."""
    listed = []
    for inside, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(inside) / name).is_symlink()]
        folders[:] = [name for name in folders if not TEMPORARY.fullmatch(name)]
        listed += [Path(inside) / name for name in (*files, *links) if not TEMPORARY.fullmatch(name)]
    return sorted(each.relative_to(folder).as_posix() for each in listed)


def write_marker(folder: Path, kind: str, files: list[str]) -> None:
    """Mark a folder as written by this package; `files` are relative paths, or patterns such as `samples/*.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = {"format": MARKER_FORMAT, "kind": kind, "files": [name for name in files if name != MARKER_FILE]}
    temporary = folder / f".{MARKER_FILE}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        temporary.write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8", newline="\n")
        os.replace(temporary, folder / MARKER_FILE)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explain_os_error(error, folder) from error


def read_marker(folder: Path) -> tuple[str, list[str]] | None:
    """Return the kind of a folder of ours and its files, as paths or patterns; None where it has no marker.

    Raises `UserError` for a marker that is damaged or of a later format.
    """
    path = folder / MARKER_FILE
    if not path.is_file() or path.is_symlink():
        return None
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        form, kind, files = marker["format"], marker["kind"], marker["files"]
        sound = isinstance(kind, str) and isinstance(files, list) and all(isinstance(name, str) for name in files)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        form, sound = MARKER_FORMAT, False
    if form != MARKER_FORMAT:
        raise UserError(f"{path}: format {form}, this version reads {MARKER_FORMAT}; update, or remove the folder")
    if not sound:
        raise UserError(f"{path}: is damaged, so it is not known which files scratchlm wrote; remove them by hand")
    return kind, files
