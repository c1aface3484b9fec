"""Every number of every config is held to a range before any work begins."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest

from scratchlm.base.errors import UserError
from scratchlm.base.ranges import Count, Fraction, Range, out_of_range
from scratchlm.finetuning.config import LOSSES, PreferTrainingConfig
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.model.config import AttentionConfig, DecoderConfig, RMSNormConfig
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig

MODULES = (
    "tokens", "text", "training", "pretraining", "finetuning", "generation", "evaluation", "inspection", "lab.quiz",
    "model", "tours.quickstart", "tours.timelapse",
)  # fmt: skip
LARGE = 10**30


def configs() -> Iterator[type]:
    """All configs that check themselves and can be made without an argument."""
    modules = [import_module(f"scratchlm.{name}.config") for name in MODULES]
    for module in [*modules, import_module("scratchlm.model.loraconfig")]:
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and dataclasses.is_dataclass(value) and hasattr(value, "__post_init__"):
                yield value
    yield from (entry.config for entry in EXPERIMENTS.values())


def numbers(config: type) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        kinds = {hints[field.name], *typing.get_args(hints[field.name])}
        if float in kinds:
            yield field.name, (math.nan,) if tuple in kinds else math.nan
            yield field.name, math.inf
        elif int in kinds:
            yield field.name, (LARGE,) if typing.get_origin(hints[field.name]) is tuple else LARGE


@pytest.mark.parametrize(
    "config", sorted(set(configs()), key=lambda each: each.__name__), ids=lambda each: each.__name__
)
def test_no_config_takes_a_number_that_is_infinite_or_none_or_beyond_64_bits(config: type) -> None:
    needed: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            path = field.name == "model" or any(word in str(field.type) for word in ("Path", "File", "Folder"))
            needed[field.name] = Path("x") if path else () if "tuple" in str(field.type) else "x"
    for name, value in numbers(config):
        with pytest.raises(UserError, match=f"{name.replace('_', '.')}.*must (be|not|lie)"):
            config(**{**needed, name: value})


def test_all_problems_of_a_model_and_its_parts_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        DecoderConfig(layers=10**9, width=0, norm=RMSNormConfig(eps=-1.0), attention=AttentionConfig(heads=0))
    assert str(caught.value).split("; ") == [
        "model.width is 0: must be at least 1",
        "model.layers is 1,000,000,000: must be at most 1000",
        "model.norm.eps is -1: must be over 0",
        "model.attention.heads is 0: must be at least 1",
    ]


def test_the_optimizer_inside_the_optimizer_is_checked_too() -> None:
    with pytest.raises(UserError, match=r"training.optimizer.adam.beta2 is 1.5: must be under 1"):
        TrainingConfig(optimizer=MuonConfig(adam=AdamWConfig(beta2=1.5)))
    with pytest.raises(UserError, match=r"--loss.beta -1: must be over 0"):
        PreferTrainingConfig(loss=dataclasses.replace(LOSSES["dpo"], beta=-1.0))


def test_limits_are_told_from_each_side() -> None:
    @dataclasses.dataclass(frozen=True)
    class Some:
        many: Count = 1
        part: Fraction = 0.5
        open: Annotated[float, Range(over=0, under=1)] = 0.5
        several: Annotated[tuple[int, ...], Range(4)] = (4, 5)
        maybe: Annotated[int | None, Range(1)] = None
        perhaps: Count | None = None
        flag: bool = True

    assert out_of_range(Some()) == []
    assert out_of_range(Some(part=1.5, open=0.0, several=(3, 9, -1))) == [
        "--part 1.5: must be at most 1",
        "--open 0: must be over 0",
        "--several 3: must be at least 4",
        "--several -1: must be at least 4",
    ]
    assert out_of_range(Some(open=1.0, maybe=0, perhaps=-3, part=-1), "some") == [
        "some.part is -1: must not be negative",
        "some.open is 1: must be under 1",
        "some.maybe is 0: must be at least 1",
        "some.perhaps is -3: must be at least 1",
    ]
