"""What `prepare` wrote, opened for training: tokenizer, shards, and the report with its sources."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.base.config import read_known
from scratchlm.base.errors import UserError
from scratchlm.base.paths import default_cache
from scratchlm.base.remote import address_of, local_copy
from scratchlm.data.shards import SUFFIX, ShardSet
from scratchlm.tokens.base import Tokenizer
from scratchlm.tokens.format import FILE_NAME
from scratchlm.tokens.pretrained import load_tokenizer

REPORT_FILE = "prepare.json"


def data_hash(train: ShardSet, held_out: ShardSet) -> str:
    """Return a hash of all ids of a prepared folder, from the hashes of its verified shards."""
    return hashlib.sha256(b"".join(shard.token_digest for shard in [*train.shards, *held_out.shards])).hexdigest()


@dataclass(frozen=True)
class StoredReport:
    """The fields of a report of `prepare` that training reads."""

    sources: list[dict[str, Any]]
    """Sources, each with its name and its licence."""
    data_hash: str | None = None


def read_report(folder: Path) -> StoredReport:
    """Read the report of a prepared folder. Raises `UserError` for one without sources or hashes."""
    report = read_known(StoredReport, data_folder(folder) / REPORT_FILE)
    if not all(isinstance(each.get("name"), str) and "licence" in each for each in report.sources):
        raise UserError(f"{folder / REPORT_FILE}: a source has no name or licence; restore the folder")
    return report


def data_folder(place: Path) -> Path:
    """Return a prepared folder, of one in object storage the copy in the cache; it may be missing."""
    address, kinds = address_of(place), "what scratchlm prepare wrote"
    return place if address is None else local_copy(address, default_cache(), _is_prepared, kinds)


def _is_prepared(path: Path) -> bool:
    return path.name in (REPORT_FILE, FILE_NAME) or path.suffix == SUFFIX


def open_data(folder: Path) -> tuple[Tokenizer, ShardSet, ShardSet]:
    """Open a prepared folder: its tokenizer, training and held-out tokens, with every id verified.

    It may lie in object storage, and is copied into the cache then. Raises `UserError` where it is missing, altered or
    incomplete, or its shards are of another tokenizer.
    """
    folder = data_folder(folder)
    if not (folder / REPORT_FILE).exists():
        raise UserError(
            f"--data {folder}: holds no {REPORT_FILE}; make it with scratchlm prepare SOURCE --out {folder}"
        )
    tokenizer = load_tokenizer(folder)
    train, held_out = (ShardSet.open(folder, side, tokenizer) for side in ("train", "validation"))
    written = read_report(folder).data_hash
    if written is not None and written != data_hash(train, held_out):
        raise UserError(
            f"--data {folder}: its shards are not those that {REPORT_FILE} lists (one is missing, added or "
            "replaced); prepare the data again"
        )
    return tokenizer, train, held_out
