"""Folders that commands write: whose they are, and that one process at a time writes them.

`--force` replaces only what this package wrote: a folder of the same kind by its marker, and in it only the files that
the marker names. A lock beside the folder, `.NAME.lock`, names the writer to other processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from filelock import FileLock, Timeout

from scratchlm.base.errors import UserError
from scratchlm.base.files import TEMPORARY, abandoned, explain_os_error
from scratchlm.base.folders import MARKER_FILE, clean, files_in, read_marker, recover

LOCK_FILES = ".*.lock"
"""Locks of folders inside a folder of ours, which a kill may leave."""
SHOWN = 3
"""Files of somebody else that a message names."""


@contextmanager
def output_folder(
    out: Path,
    kind: str,
    *,
    force: bool = False,
    sources: Sequence[Path] = (),
    first: Sequence[str] = (),
    whole: bool = False,
) -> Iterator[None]:
    """Hold the folder `out`, which a command is going to write from scratch, against other processes.

    `first` are files that the command writes before anything that could be lost: a folder of this `kind` that a kill
    left with these alone is written anew, as if it were empty. `whole` is for a folder that `atomic_folder` writes: it
    takes the place of the one that stood there, so it cannot be the current folder or one that holds it, which would be
    removed under the shell that is in it.

    Raises `UserError` before anything is changed: for a folder that is not empty without `force`; with it, for one
    that carries no marker of this `kind` or holds files that the marker does not name; for one that lies inside a
    source or holds one; and for one that another process writes.
    """
    _check_place(out, sources)
    if whole and Path(os.path.realpath(out)) in (here := Path.cwd(), *here.parents):
        raise UserError(f"--out {out}: is the current folder or holds it, and cannot be replaced; name a folder in it")
    with locked(out):
        _check_ours(out, kind, force, first)
        yield


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of a folder that is to be written or continued. Raises `UserError` that names the other holder."""
    out = Path(os.path.abspath(out))
    path = out.with_name(f".{out.name}.lock")
    made: list[Path] = []
    try:
        made = [each for each in out.parents if not each.exists()]
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"--out {out}: {_holder(path)} is writing it; wait until it ends, or stop it") from None
    except OSError as error:
        raise explain_os_error(error, out) from error
    try:
        identity = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        try:
            path.write_text(json.dumps(identity) + "\n", encoding="utf-8")
        except OSError as error:
            raise explain_os_error(error, out) from error
        recover(out)
        recover(out / MARKER_FILE)  # a kill in its first writing must not leave a folder that seems somebody else's
        if (out / MARKER_FILE).is_file():
            clean(out)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # still held: whoever opened it meanwhile sees that it is gone and opens a new one
        lock.release()
        for each in made:  # nearest first; those that hold something stay
            with contextlib.suppress(OSError):
                each.rmdir()


def _holder(path: Path) -> str:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return f"another process (pid {values['pid']} on {values['host']}, since {values['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def strangers(out: Path) -> list[str]:
    """Return the files below a folder of ours that no marker names, as relative paths.

    A folder inside with a marker of its own, such as a checkpoint in a run, answers for its own files.
    """
    names = [name for name in files_in(out) if not fnmatchcase(name.split("/")[-1], LOCK_FILES)]
    homes = {name.removesuffix(MARKER_FILE) for name in names if name.split("/")[-1] == MARKER_FILE} | {""}
    named = {home: [MARKER_FILE, *(read_marker(out / home) or ("", []))[1]] for home in homes}
    others = []
    for name in names:
        home = max((home for home in homes if name.startswith(home)), key=len)
        if not any(fnmatchcase(name[len(home) :], pattern) for pattern in named[home]):
            others.append(name)
    return others


def occupied(out: Path, first: Sequence[str] = ()) -> bool:
    """Return whether a folder holds anything but what a kill leaves that came before its first whole file.

    Files that `first` names do not count.
    """
    if not out.is_dir():
        return False
    left = [each for each in out.iterdir() if each.name not in (MARKER_FILE, *first)]
    return any(not (TEMPORARY.fullmatch(each.name) and abandoned(each)) for each in left)


def clear(out: Path) -> None:
    """Remove the files that the marker of `out` names, and folders that are empty then; all else stays.

    Markers go last, that of `out` itself after all others, so that a kill leaves nothing that no marker names.
    """
    if read_marker(out) is None:
        return
    kept = set(strangers(out))
    for name in sorted(files_in(out), key=lambda name: (name.split("/")[-1] == MARKER_FILE, name == MARKER_FILE)):
        if name not in kept:
            (out / name).unlink(missing_ok=True)
    for inside, _, _ in os.walk(out, topdown=False):
        if Path(inside) != out:
            with contextlib.suppress(OSError):
                os.rmdir(inside)


def _check_place(out: Path, sources: Sequence[Path]) -> None:
    resolved = Path(os.path.realpath(out))  # which, unlike Path.resolve, survives a link to itself
    for source in sources:
        inside = Path(os.path.realpath(source))
        if resolved == inside or (inside.is_dir() and inside in resolved.parents) or resolved in inside.parents:
            raise UserError(f"--out {out}: lies inside the source {source} or holds it; choose a folder apart from it")
    if out.is_file():
        raise UserError(f"--out {out}: a file stands there; choose another name")
    parent = out.absolute()
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise UserError(f"--out {out}: no permission to write in {parent}; choose another folder")


def _check_ours(out: Path, kind: str, force: bool, first: Sequence[str]) -> None:
    try:
        if not occupied(out, first) and (not occupied(out) or (read_marker(out) or ("",))[0] == kind):
            return
    except OSError as error:
        raise explain_os_error(error, out) from error
    if not force:
        raise UserError(f"--out {out}: exists already; choose another name, or replace it with --force")
    marker = read_marker(out)
    if marker is None:
        raise UserError(
            f"--out {out}: has no {MARKER_FILE}, so it is not known to be scratchlm's and is not replaced; choose "
            "another name, or remove it by hand"
        )
    if marker[0] != kind:
        raise UserError(
            f"--out {out}: is a {marker[0]}, which --force does not replace by a {kind}; choose another name"
        )
    others = strangers(out)
    if others:
        named = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
        raise UserError(
            f"--out {out}: holds files that scratchlm did not write there: {named}; move them, then --force"
        )
