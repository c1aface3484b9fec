"""The corpus that comes with Python itself."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.text import stdlib
from scratchlm.text.counts import Counts
from scratchlm.text.stdlib import stdlib_documents, stdlib_files


def test_the_standard_library_is_megabytes_of_documents_in_a_fixed_order() -> None:
    counts = Counts()
    documents = list(stdlib_documents(counts))
    names = [document.source for document in documents]
    assert sum(len(document.text) for document in documents) > 5_000_000
    assert counts.read == len(documents) + sum(counts.dropped.values())
    assert len(set(names)) == len(names)
    assert "stdlib, argparse.py" in names
    topics = [name for name in names if "help topic" in name]
    assert names == [*sorted(topics), *sorted(set(names) - set(topics))]
    assert names == [document.source for document in stdlib_documents(Counts())]


def test_tests_installed_packages_and_machine_settings_are_left_out() -> None:
    for path, name in stdlib_files():
        parts = name.split("/")
        assert not {"test", "tests", "site-packages", "idlelib", "__pycache__"} & set(parts)
        assert not parts[-1].startswith("_sysconfigdata")
        assert path.is_relative_to(sysconfig.get_path("stdlib"))


def test_a_python_without_its_library_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(stdlib, "_topics", lambda: iter(()))
    with pytest.raises(UserError, match="carries no source"):
        list(stdlib_documents(Counts()))
