"""A cache of verified shards by the state of their files, so that an unchanged file is hashed only once.

Each shard has a small file in `verified/` of the download cache, named by device and inode, so that it covers a renamed
shard and not a copied one. Where it cannot be written, each opening hashes the whole shard: about a second a gigabyte.

This detects silent corruption (a bad disk, a broken copy, a stray write), not an attacker, who could forge the record.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.base.paths import default_cache

FOLDER = "verified"
SETTLED = 2.0
"""Fewest seconds since the last change before a state is recorded: a write within one tick of the file system's clock
(2 s on FAT, milliseconds elsewhere) would leave the same times."""


def state_of(path: Path, digest: str) -> dict[str, Any]:
    """Return the metadata that a write changes, with the expected hash of the content.

    A write that restores size and modification time still moves `changed_ns` (on Windows the time of creation).
    """
    status = path.stat()
    return {
        "size": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "changed_ns": status.st_ctime_ns,
        "inode": status.st_ino,
        "device": status.st_dev,
        "sha256": digest,
    }


def is_remembered(state: dict[str, Any]) -> bool:
    """Return whether a file in this state was verified before."""
    try:
        return bool(read_json(_record(state)) == state)
    except (UserError, RuntimeError):  # a missing or broken record, or no home folder: verify again
        return False


def remember(state: dict[str, Any]) -> None:
    """Record that a file in this state was verified, unless it was just written or no record can be written."""
    latest = max(state["modified_ns"], state["changed_ns"]) / 1e9
    if not state["inode"] or time.time() - latest < SETTLED:
        return
    try:
        write_json(_record(state), state)
    except (OSError, UserError, RuntimeError):
        return  # without a record the next opening verifies again, which only takes time


def _record(state: dict[str, Any]) -> Path:
    return default_cache() / FOLDER / f"{state['device']}-{state['inode']}.json"
