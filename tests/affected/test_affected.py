"""A change leads to the slow tests that it can break, and to no others where that can be known."""

from __future__ import annotations

import pytest
from tests.affected.changes import TESTS, affected, slow_files


def names(*changes: str) -> set[str]:
    return {path.relative_to(TESTS).as_posix() for path in affected(changes)}


def test_a_change_leads_to_the_tests_whose_imports_reach_it() -> None:
    broken = names("src/scratchlm/classic/ngram_fast.py")
    assert "classic/test_ngram.py" in broken
    assert "serving/test_clients.py" not in broken


def test_a_change_leads_to_the_tests_that_call_its_command() -> None:
    assert "test_killed.py" in names("src/scratchlm/pretraining/pretrain.py")
    assert "training/test_page.py" in names("src/scratchlm/pretraining/sweep/halving.py")


def test_a_change_of_a_servers_module_leads_to_no_test_of_training() -> None:
    broken = names("src/scratchlm/serving/chat.py")
    assert "serving/test_api.py" in broken
    assert not {each for each in broken if each.startswith(("training/", "classic/", "finetuning/"))}


@pytest.mark.parametrize(
    ("change", "test"),
    [
        ("docs/training.md", "training/test_page.py"),
        ("notes/01_what_a_language_model_is.py", "test_notes.py"),
        ("src/scratchlm/pretraining/presets/tiny.toml", "test_killed.py"),
        ("tests/toys.py", "generation/test_engine.py"),
        ("tests/golden/measures.py", "golden/test_golden.py"),
        ("tests/fuzz/damage.py", "fuzz/test_fuzz.py"),
    ],
)
def test_data_pages_and_helpers_lead_to_the_tests_that_name_them(change: str, test: str) -> None:
    assert test in names(change)


def test_a_test_that_was_changed_is_run_and_one_that_was_removed_is_not() -> None:
    assert "text/test_documents.py" in names("tests/text/test_documents.py")
    assert names("tests/text/test_that_is_gone.py") == set()


def test_what_all_tests_stand_on_affects_all_of_them() -> None:
    assert affected(["pyproject.toml"]) == slow_files()
    assert affected([]) == []
