"""Shards that were verified, remembered by the state of their files: an unchanged file is read for its hash only once.

One small file a shard lies in `verified/` of the folder where downloads are kept, named by device and inode, so that a
renamed shard is known and a copied one is not. Where it cannot be written, each opening reads the whole shard: about a
second a gigabyte.

This finds silent corruption (a bad disk, a broken copy, a stray write), not an attacker, who could forge the record.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json, write_json
from scratchlm.text.sources import default_cache

FOLDER = "verified"
SETTLED = 2.0
"""Seconds since the last change after which a state is remembered: a later write within one tick of the file system's
clock (2 s on FAT, milliseconds elsewhere) would leave the same times."""


def state_of(path: Path, digest: str) -> dict[str, Any]:
    """Return what changes when a file is written to, beside the hash that its content must have.

    A write that restores size and modification time still moves `changed_ns` (on Windows the time of creation).
    """
    found = path.stat()
    return {
        "size": found.st_size,
        "modified_ns": found.st_mtime_ns,
        "changed_ns": found.st_ctime_ns,
        "inode": found.st_ino,
        "device": found.st_dev,
        "sha256": digest,
    }


def is_remembered(state: dict[str, Any]) -> bool:
    """Tell whether a file in this state was verified before."""
    try:
        return bool(read_json(_record(state)) == state)
    except (UserError, RuntimeError):  # no record or a broken one, or no home folder: verify again
        return False


def remember(state: dict[str, Any]) -> None:
    """Note that a file in this state was verified, unless it has just been written or no record can be kept."""
    latest = max(state["modified_ns"], state["changed_ns"]) / 1e9
    if not state["inode"] or time.time() - latest < SETTLED:
        return
    try:
        write_json(_record(state), state)
    except (OSError, UserError, RuntimeError):
        return  # a record that cannot be kept costs time alone: the next opening verifies again


def _record(state: dict[str, Any]) -> Path:
    return default_cache() / FOLDER / f"{state['device']}-{state['inode']}.json"
