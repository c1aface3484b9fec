"""Compiled blocks train as plain ones do, resume exactly, and where no compiler is nothing breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlm.training import compiling
from scratchlm.training.compiling import compiled_blocks, has_compiler
from toys import random_decoder, toy_config
from training.test_resume import paths

SCRIPT = Path(__file__).parent / "compiled_steps.py"


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="torch.compile needs a C++ compiler")
def test_compiled_training_follows_the_plain_one_and_resumes_bit_for_bit() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], env=paths(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["0.0"]["compiled"] == pytest.approx(found["0.0"]["plain"], abs=0.05)
    assert found["0.2"]["compiled"] == pytest.approx(found["0.2"]["plain"], abs=0.2)  # other numbers are dropped
    assert found["0.0"]["plain"][-1] < found["0.0"]["plain"][0] - 0.2
    assert found["0.0"]["resumed alike"]
    assert found["0.2"]["resumed alike"]
    plain, compiled = found["packed"]
    assert compiled == pytest.approx(plain, rel=1e-4, abs=1e-5)
    assert len(plain) > 10
    assert found["graphs of a skipped batch"] == 0


def test_without_a_compiler_the_blocks_stay_plain_and_a_warning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "has_compiler", lambda: False)
    decoder = random_decoder(toy_config("default"))
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler"):
        entered = compiled_blocks(decoder).__enter__()
    assert not entered
    assert "forward" not in vars(decoder.blocks[0])


BROKEN = """
import json, sys, warnings
import torch
from scratchlm.training.compiling import compiled_blocks
from toys import random_decoder, random_ids, toy_config

decoder = random_decoder(toy_config("default"))
ids = random_ids(2, 8)
plain = decoder(ids).sum()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    with compiled_blocks(decoder):
        found = decoder(ids).sum()
        found.backward()
print(json.dumps({"same": bool(found == plain), "told": [str(each.message) for each in told]}))
"""


@pytest.mark.slow
def test_where_compiling_fails_the_run_goes_on_plainly_and_one_warning_says_so() -> None:
    environment = {**paths(), "CXX": "false"}  # a program that is there and compiles nothing
    done = subprocess.run([sys.executable, "-c", BROKEN], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same"]
    assert len([each for each in found["told"] if each.startswith("torch.compile failed")]) == 1, found["told"]
