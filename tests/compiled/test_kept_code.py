"""Compiled code that is kept serves the processor it was made for alone, and where none can be kept, a model writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
WRITING = """
from scratchlm.compiled.instructions import chosen
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.model.quantized import pack, quantizable, replace
from toys import random_decoder, toy_config

decoder = random_decoder(toy_config("default"))
for name, part in quantizable(decoder).items():
    replace(decoder, name, pack(name, part, "int8"))
engine = Engine(decoder, compiled=True)
tokens = stream_ids(engine, [5, 7, 2], SamplingConfig(max_tokens=8, temperature=0.0))
print(chosen(), engine._compiled is not None, *tokens)
"""


def write(folder: Path, **environment: str) -> tuple[list[str], str]:
    """Write some tokens in a process that keeps its code in a folder; return what it printed."""
    kept = {"NUMBA_CACHE_DIR": str(folder), "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", WRITING],
        env={**os.environ, "PYTHONPATH": paths, **kept, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*.nbc"))


def test_code_of_another_processor_is_left_alone_and_code_of_this_one_is_used_again(tmp_path: Path) -> None:
    foreign, _ = write(tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    made = files(tmp_path)
    assert made
    assert foreign[0] == "portable"
    own, _ = write(tmp_path)
    more = files(tmp_path)
    assert len(more) == 2 * len(made)  # nothing of the other's was loaded
    again, _ = write(tmp_path)
    assert files(tmp_path) == more
    assert own == again
    assert own[1:] == foreign[1:]  # the tokens, whatever the instructions


def test_where_no_code_can_be_kept_a_model_writes_the_same_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    (_, compiled, *tokens), errors = write(tmp_path / "file" / "cache")
    assert compiled == "False"
    assert "numba does not work here" in errors
    assert tokens == write(tmp_path / "cache")[0][2:]
