"""Readers of files on bytes and values that Hypothesis makes up: what comes out is a value or one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchlm.base.config import from_dict, read_toml, to_dict, to_toml
from scratchlm.base.errors import UserError
from scratchlm.base.files import read_json
from scratchlm.base.runfolder import read_log
from scratchlm.base.sealed import read_sealed
from scratchlm.evaluation.results import read_result
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.language_model import sampling_from
from scratchlm.lab.harness.outcome import read_outcome
from scratchlm.model.config import DecoderConfig
from scratchlm.pretraining.depth_scaling import load_recipe
from scratchlm.tokens.format import read_vocabulary, to_json
from scratchlm.training.config import TrainingConfig
from scratchlm.weights.families.known import FAMILIES, read_shape
from scratchlm.weights.ggufs.file import GGUFFile
from toys import byte_tokenizer

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
READERS = {
    "json": read_json,
    "toml": read_toml,
    "log": lambda path: list(read_log(path)),
    "sealed": lambda path: read_sealed(path, "kind", 1, "a command"),
    "result": read_result,
    "outcome": read_outcome,
    "recipe": lambda path: load_recipe(str(path)),
    "tokenizer": read_vocabulary,
    "gguf": lambda path: dict(GGUFFile(path)),
}


def one_line(read: Any) -> None:
    """Call what may refuse, in one line."""
    told = ""
    try:
        read()
    except UserError as error:
        told = str(error)
    assert "\n" not in told


@QUICK
@pytest.mark.parametrize("name", READERS)
@given(
    data=st.binary(max_size=200), beginning=st.sampled_from([b"", b"{", b"[", b"GGUF\3\0\0\0", b'{"kind": ', b"a = "])
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, name: str, data: bytes, beginning: bytes) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(beginning + data)
    one_line(lambda: READERS[name](path))


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [place, *(found for key, each in inner for found in places(each, (*place, key)))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[place[0]] = replaced(value[place[0]], place[1:], new)
    return copied


@QUICK
@pytest.mark.parametrize(
    "config", [DecoderConfig(), TrainingConfig(), SamplingConfig()], ids=lambda c: type(c).__name__
)
@given(draw=st.data())
def test_any_value_anywhere_in_a_config_is_read_or_refused(config: Any, draw: st.DataObject) -> None:
    plain = to_dict(config)
    place = draw.draw(st.sampled_from(places(plain)))
    one_line(lambda: from_dict(type(config), replaced(plain, place, draw.draw(VALUES)), "here"))


@QUICK
@given(draw=st.data())
def test_any_value_anywhere_in_a_tokenizer_is_read_or_refused(tmp_path: Path, draw: st.DataObject) -> None:
    plain = to_json(byte_tokenizer().vocabulary)
    place = draw.draw(st.sampled_from(places(plain)))
    (tmp_path / "tokenizer.json").write_text(json.dumps(replaced(plain, place, draw.draw(VALUES))), encoding="utf-8")
    one_line(lambda: read_vocabulary(tmp_path / "tokenizer.json"))


@QUICK
@given(family=st.sampled_from(FAMILIES), draw=st.data())
def test_any_value_of_a_field_of_a_published_shape_is_read_or_refused(family: Any, draw: st.DataObject) -> None:
    with contextlib.suppress(UserError):
        fields = family.fields(DecoderConfig())
        name = draw.draw(st.sampled_from(sorted(fields)))
        one_line(lambda: read_shape({**fields, name: draw.draw(VALUES)}, "config.json"))


@QUICK
@given(stored=st.dictionaries(st.sampled_from([*vars(SamplingConfig()), "other"]), VALUES, max_size=3))
def test_any_settings_of_generation_are_read_or_refused(stored: dict[str, Any]) -> None:
    one_line(lambda: sampling_from(stored))


@QUICK
@given(label=st.text(max_size=12), words=st.lists(st.text(max_size=8), max_size=3))
def test_any_text_is_written_as_toml_and_read_again(tmp_path: Path, label: str, words: list[str]) -> None:
    with contextlib.suppress(UnicodeEncodeError):  # half a character has no UTF-8
        (tmp_path / "a.toml").write_text(
            to_toml({"label": label, "words": words, "none": None}), encoding="utf-8", newline="\n"
        )
        assert read_toml(tmp_path / "a.toml") == {"label": label, "words": words, "none": {}}
