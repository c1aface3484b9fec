"""Files in object storage: s3://, gs://, https:// and what else fsspec knows, copied into a local cache.

A file is fetched again when its size, tag or time has changed there. Without a network, what was fetched before is
read.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error, read_json, require_free_space, write_json
from scratchlm.base.terminal import one_line

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
INDEX = "fetched.json"
SIGNS = ("size", "ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
"""What stores say of a file that changes with it."""


def is_remote(spec: str) -> bool:
    """Return whether a source is an address."""
    return ADDRESS.match(spec) is not None


def address_of(path: Path) -> str | None:
    """Return the address that a path was made of, which has lost a slash; None for a path of this machine."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+):[/\\]", str(path))
    return None if scheme is None else f"{scheme[1]}://{path.as_posix()[len(scheme[0]) :].lstrip('/')}"


def local_copy(address: str, cache: Path, wanted: Callable[[Path], bool], kinds: str) -> Path:
    """Return a local file or folder with what lies at an address, fetched where it is new or has changed.

    Of a folder only the `wanted` files are fetched, which `kinds` describes in messages.

    Raises `UserError` where the store cannot be reached and nothing was fetched before, where nothing readable lies
    there, and where the disk has no room.
    """
    name = PurePosixPath(address.rstrip("/")).name or "files"
    place = cache / "remote" / hashlib.sha256(address.encode()).hexdigest()[:16]
    known: dict[str, Any] = read_json(place / INDEX) if (place / INDEX).exists() else {}
    try:
        system, files = _listed(address, wanted, kinds)
    except UserError:
        raise
    except Exception as error:  # each store has its own kinds
        if known:
            note = one_line(f"note: {address}: cannot be reached ({error}); what was fetched before is read")
            print(note, file=sys.stderr)
            return place / name
        raise UserError(
            one_line(f"{address}: cannot be reached ({error}); check address, network and access")
        ) from error
    fetched: dict[str, Any] = {}
    for inside, (source, about) in files.items():
        target = place / name / inside if inside else place / name
        signs = {sign: str(about[sign]) for sign in SIGNS if about.get(sign) is not None}
        if known.get(inside) != signs or not target.exists():
            _fetch(system, source, target, about)
        fetched[inside] = signs
        write_json(place / INDEX, {**known, **fetched})
    for gone in known.keys() - fetched.keys():
        (place / name / gone).unlink(missing_ok=True)
    write_json(place / INDEX, fetched)
    return place / name


def _listed(
    address: str, wanted: Callable[[Path], bool], kinds: str
) -> tuple[Any, dict[str, tuple[str, Mapping[str, Any]]]]:
    """Return the store, and its wanted files by their place below the address; that of a file itself is empty."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UserError(one_line(f"{address}: {error}; fetch the files another way and name their folder")) from error
    if system.isfile(root):
        return system, {"": (root, system.info(root))}
    files = {path: about for path, about in system.find(root, detail=True).items() if wanted(Path(path))}
    if not files:
        raise UserError(f"{address}: nothing to read lies there; put {kinds} there, or correct the address")
    return system, {path.removeprefix(root).lstrip("/"): (path, about) for path, about in sorted(files.items())}


def _fetch(system: Any, source: str, target: Path, about: Mapping[str, Any]) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}.part")  # ranks may fetch it at the same time
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(target.parent, int(about.get("size") or 0))
        system.get_file(source, str(part))
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise explain_os_error(error, source) from error
