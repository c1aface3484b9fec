"""One config system: what is written is what is read, and every mistake is named at once."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from scratchlm.base.config import flatten, from_dict, nested, read_toml, to_dict, to_toml
from scratchlm.base.errors import UserError, nearest
from scratchlm.config.flags import read_line
from scratchlm.config.settings import settings
from scratchlm.model.config import DecoderConfig, LearnedPositionsConfig, MLPConfig
from scratchlm.model.presets import PRESETS
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.training.config import AdamWConfig, MuonConfig, ScheduleConfig, TrainingConfig


@dataclass(frozen=True)
class Small:
    """One field of every kind."""

    type: ClassVar[str] = "small"
    needed: int
    share: float = 0.5
    name: str = "ä\n\"'"
    on: bool = False
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    words: tuple[str, ...] = ("x",)
    place: Path | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)


CONFIGS = [
    *[PRESETS[name]() for name in PRESETS],
    TrainingConfig(),
    TrainingConfig(optimizer=AdamWConfig(learning_rate=1e-5, implementation="plain"), clip=None, micro_batch_size=2),
    TrainingConfig(optimizer=MuonConfig(adam=AdamWConfig(eps=1e-12)), schedule=ScheduleConfig(shape="cosine")),
    Small(1, share=1 / 3, words=(), place=Path("a/b"), limit=3, on=True),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_a_config_written_as_dict_json_or_toml_is_read_as_itself(config) -> None:
    plain = to_dict(config)
    assert from_dict(type(config), plain) == config
    assert from_dict(type(config), json.loads(json.dumps(plain))) == config
    written = tomllib.loads(to_toml(plain))
    assert {name for name, _ in flatten(written)} == {name for name, _ in flatten(plain)}
    assert from_dict(type(config), written) == config


def test_every_field_is_written_and_parts_carry_their_type() -> None:
    plain = to_dict(DecoderConfig(positions=LearnedPositionsConfig(), feed_forward=MLPConfig()))
    assert plain["positions"] == {"type": "learned"}
    assert plain["feed_forward"]["type"] == "mlp"
    assert plain["attention"]["window"] is None
    assert plain.keys() == {field.name for field in dataclasses.fields(DecoderConfig)}


def test_what_is_left_out_comes_from_the_base_else_from_the_defaults() -> None:
    base = TrainingConfig(steps=7, optimizer=AdamWConfig(learning_rate=0.5, eps=0.25))
    read = from_dict(TrainingConfig, {"batch_size": 3, "optimizer": {"eps": 0.125}}, base=base)
    assert (read.steps, read.batch_size) == (7, 3)
    assert read.optimizer == AdamWConfig(learning_rate=0.5, eps=0.125)
    other = from_dict(TrainingConfig, {"optimizer": {"type": "muon"}}, base=base)
    assert other.optimizer == MuonConfig()


def test_all_problems_are_reported_at_once_each_by_its_place_and_with_the_nearest_name() -> None:
    data = {
        "needed": "three",
        "shar": 1.0,
        "on": 1,
        "kind": "c",
        "words": ["a", 2],
        "training": {"stepps": 3, "optimizer": {"type": "adam"}, "schedule": {"shape": "square"}},
    }
    with pytest.raises(UserError) as caught:
        from_dict(Small, data, "run")
    problems = str(caught.value).split("; ")
    expected = [
        "run.needed is 'three': expected a whole number",
        "unknown key 'run.shar': did you mean 'share'?",
        "run.on is 1: expected true or false",
        "run.kind is 'c': expected one of 'a', 'b'",
        "run.words[1] is 2: expected a text",
        "unknown key 'run.training.stepps': did you mean 'steps'?",
        "run.training.optimizer.type is 'adam': did you mean 'adamw'?",
        "run.training.schedule.shape is 'square': expected one of 'linear', 'cosine', 'stable_decay'",
    ]
    assert problems == expected


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UserError, match="missing key 'needed'"):
        from_dict(Small, {})


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1]])
def test_a_whole_number_is_nothing_else(value) -> None:
    with pytest.raises(UserError, match=r"needed is .*: expected a whole number"):
        from_dict(Small, {"needed": value})


def test_a_whole_number_serves_as_a_number_and_a_truth_value_does_not() -> None:
    assert from_dict(Small, {"needed": 1, "share": 2}).share == 2.0
    with pytest.raises(UserError, match="share is True"):
        from_dict(Small, {"needed": 1, "share": True})


def test_values_that_do_not_go_together_are_found_when_the_config_is_read() -> None:
    with pytest.raises(UserError, match="heads is 3 and kv_heads is 2"):
        from_dict(DecoderConfig, {"attention": {"heads": 3, "kv_heads": 2}})


def test_toml_tells_where_each_value_came_from() -> None:
    text = to_toml({"steps": 3, "optimizer": {"type": "muon"}}, {"steps": "flag", "optimizer.type": "recipe"})
    assert text == 'steps = 3  # flag\n\n[optimizer]\ntype = "muon"  # recipe\n'


def test_broken_or_missing_toml_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    with pytest.raises(UserError, match=r"run\.toml: no such file"):
        read_toml(path)
    for content in (b"steps = ", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"run\.toml: not (valid TOML|UTF-8)") as caught:
            read_toml(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"\xef\xbb\xbfsteps = 3\n")
    assert read_toml(path) == {"steps": 3}


def test_the_nearest_name_is_offered_or_all_of_them() -> None:
    assert nearest("lerning_rate", ["learning_rate", "steps"]) == "did you mean 'learning_rate'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "none is known"


@dataclass(frozen=True)
class Named:
    """Fields that may hold the text that once meant None."""

    label: str | None = "default"
    place: Path | None = None
    clip: float | None = 1.0


@pytest.mark.parametrize("label", [None, "none", "None", "", "\x7f\x1b\u2028 \\ \"'"])
def test_none_and_the_text_none_are_two_things(label: str | None) -> None:
    config = Named(label, Path("none"), None)
    assert from_dict(Named, tomllib.loads(to_toml(to_dict(config)))) == config
    assert from_dict(Named, json.loads(json.dumps(to_dict(config)))) == config


def test_where_no_text_is_meant_people_may_write_none() -> None:
    assert from_dict(Named, {"clip": "none"}).clip is None


def test_lists_tables_and_whatever_are_read_by_their_types() -> None:
    @dataclass(frozen=True)
    class Held:
        pair: tuple[int, str]
        parts: dict[str, tuple[float, ...]]
        some: list[Named]
        what: typing.Any = None

    globals()["Held"] = Held
    good = {"pair": [1, "a"], "parts": {"x": [1, 2.5]}, "some": [{"label": "b"}], "what": [1, {}]}
    assert from_dict(Held, good) == Held((1, "a"), {"x": (1.0, 2.5)}, [Named("b")], [1, {}])
    with pytest.raises(UserError) as caught:
        from_dict(Held, {"pair": [1], "parts": {"x": [10**400]}, "some": [3]})
    assert str(caught.value).count("expected") == 3


def with_flags(config: PretrainConfig, arguments: list[str]) -> PretrainConfig:
    line = read_line(arguments, settings(PretrainConfig))
    assert not line.problems
    assert not line.unknown
    return from_dict(PretrainConfig, nested("", line.given), "", config)


def test_a_path_that_no_system_has_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="name a file"):
        read_toml(Path("a\0b.toml"))
