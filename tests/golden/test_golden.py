"""Every number is what it was when `record.json` was written: losses, weights, greedy text, token ids, exports.

Numbers are compared on the kind of machine that recorded them. Token ids are equal everywhere. The committed record
leaves the experiments out: their small forms have tests of their own. A record made before a refactoring has them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.golden.compared import differences

from scratchlm.base.device import machine

RECORD = Path(__file__).with_name("record.json")
ROOT = RECORD.parent.parent.parent
PARTS = ("training", "finetuning", "generation", "exports")


def compare(*parts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.golden", "compare", str(RECORD), "--only", *parts]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_no_number_has_changed() -> None:
    recorded, here = json.loads(RECORD.read_text(encoding="utf-8"))["machine"], machine()
    other = {key: here[key] for key in recorded if here[key] != recorded[key]}
    if other:
        pytest.skip(f"recorded on another machine: {other}")
    compared = compare(*PARTS)
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_no_token_id_has_changed() -> None:
    compared = compare("tokens")
    assert not compared.stderr
    assert not [line for line in compared.stdout.splitlines() if line.startswith("tokens, ")]


def test_a_difference_is_named() -> None:
    before = {"training": {"tiny": {"losses": [1.0, 2.0]}, "gone": 1}}
    after = {"training": {"tiny": {"losses": [1.0, 2.5]}, "new": 2}, "tokens": {}}
    assert differences(before, after) == [
        "training, gone: 1 became null",
        "training, new: null became 2",
        "training, tiny, losses: [1.0, 2.0] became [1.0, 2.5]",
    ]
