"""A corpus in every Python installation: the language reference and the source of the standard library.

About 10 MB of prose and code under the PSF licence. It differs between Python versions; within one it is the same
everywhere.
"""

from __future__ import annotations

import importlib
import os
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.text.counts import Counts, Document

LICENCE = "PSF-2.0"

# Tests, other people's packages, generated tables (encodings, build settings) and programs that are mostly data.
SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib-dynload", "lib2to3", "idlelib"}
    | {"turtledemo", "pydoc_data", "encodings", "ensurepip"}
)
SKIPPED_BEGINNINGS = ("config-", "_sysconfigdata", "__phello__", ".")


def stdlib_documents(counts: Counts) -> Iterator[Document]:
    """Yield the topics of Python's `help()`, then the modules of its standard library, each sorted by name.

    Counts into `counts`. One file is in memory at a time.
    Raises `UserError` on an installation that has neither (a frozen or zipped one).
    """
    some = False
    for document in _topics():
        some = True
        counts.read += 1
        yield document
    for path, name in stdlib_files():
        try:
            with tokenize.open(path) as file:  # honours a module's own declaration of its encoding
                text = file.read()
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            counts.skip("unreadable", f"{path}: {error}")
            continue
        if not text.strip():
            counts.drop("empty", f"stdlib, {name}: no text in it")
            continue
        some = True
        counts.files += 1
        counts.read += 1
        yield Document(text, f"stdlib, {name}")
    if not some:
        raise UserError(
            "stdlib: this Python carries no source of its standard library; use storyworld or your own files"
        )


def _topics() -> Iterator[Document]:
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return
    for name in sorted(topics):
        yield Document(topics[name], f"stdlib, help topic {name}")


def stdlib_files() -> list[tuple[Path, str]]:
    """Return the modules of the running Python's standard library as (path, name with slashes), sorted by name."""
    root = Path(sysconfig.get_path("stdlib"))
    listed = []
    for folder, folders, files in os.walk(root):
        folders[:] = filter(_kept, folders)
        listed += [Path(folder, name) for name in files if name.endswith(".py") and _kept(name)]
    return sorted(((path, path.relative_to(root).as_posix()) for path in listed), key=lambda item: item[1])


def _kept(name: str) -> bool:
    return name not in SKIPPED_FOLDERS and not name.startswith(SKIPPED_BEGINNINGS)
