"""Depth scaling: from one number, the depth, to every size of a run; and the named recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from scratchlm.base.config import flatten, from_dict, read_recipe, to_dict
from scratchlm.base.errors import UserError, nearest
from scratchlm.model.config import DecoderConfig
from scratchlm.model.presets import preset, qwen3_shaped, speedrun
from scratchlm.training.config import AdamWConfig, MuonConfig, TrainingConfig
from scratchlm.weights.config import published_shapes

ScalingName = Literal["default", "speedrun"]
PRESETS = Path(__file__).parent / "presets"
SIGMA = 6.0
"""Standard deviations above the mean from which on `pretrain` takes a loss for a spike, as OLMo 2 does."""
MAX_DEPTH = 48
"""The largest depth."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A named run: its shape, its training, and which values the recipe itself sets."""

    name: str
    model: DecoderConfig
    training: TrainingConfig
    described: frozenset[str]
    """Dotted names of the values that the recipe sets; all others are defaults."""


def at_depth(depth: int, scaling: ScalingName = "default") -> tuple[DecoderConfig, TrainingConfig]:
    """Size a run by its depth: 32 channels of width a layer, and a context that grows with it.

    The rate of Muon stays (its step has a fixed size whatever the width); Adam's falls with the root of the width.
    """
    if not 1 <= depth <= MAX_DEPTH:
        raise UserError(f"--depth {depth}: must be from 1 to {MAX_DEPTH}")
    context = 256 if depth <= 8 else 512 if depth <= 16 else 1024
    fast = scaling == "speedrun"  # the parts that learn fastest; else a Qwen3-shaped model
    width = max(128, 64 * -(-depth // 2)) if fast else max(64, 32 * depth)
    rate = (0.01 if fast else 0.02) * (128 / width) ** 0.5
    adam = AdamWConfig(learning_rate=round(rate, 5), weight_decay=0.0)
    muon = MuonConfig(learning_rate=0.02, steps=4, adam=adam) if fast else MuonConfig(learning_rate=0.02, adam=adam)
    rows = (8 if fast else 16) * (1 if depth <= 8 else 2)
    training = TrainingConfig(batch_size=rows, sequence_length=context, optimizer=muon)
    if fast:
        return speedrun(width=width, layers=depth, context=context), training
    head_dim = 64 if width % 128 == 0 or width > 256 else 32  # 64 where they fit
    return qwen3_shaped(4096, width=width, layers=depth, context=context, head_dim=head_dim), training


def recipe_names() -> list[str]:
    """Return the names of the recipes inside the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_recipe(name: str, depth: int | None = None, others: Sequence[str] = ()) -> Recipe:
    """Read a named recipe or a TOML file. Unknown names and keys are a `UserError` that offers the nearest.

    `others` are names that are valid where the caller asks, and that an unknown one may have meant.

    A recipe has the keys `base` (another recipe, whose values hold where it has none), `preset` or `depth` (with
    `depth_scaling`: default or speedrun), and the tables `model` and `training`, which change single values.
    """
    path, known = Path(name), recipe_names()
    if name not in known and path.suffix != ".toml" and not path.exists():
        raise UserError(f"recipe {name!r}: {nearest(name, {*known, *others})}, or name a .toml file")
    named = {each: PRESETS / f"{each}.toml" for each in known}
    data = read_recipe(named.get(name, path), named)
    return _recipe_from(data, path.stem, depth)


def guarded(recipe: Recipe) -> TrainingConfig:
    """Return a recipe's training, guarded against loss spikes unless the recipe says how.

    The steps of experiments are not: what they compare is to see the same batches.
    """
    if "training.spikes.sigma" in recipe.described:
        return recipe.training
    spikes = dataclasses.replace(recipe.training.spikes, sigma=SIGMA)
    return dataclasses.replace(recipe.training, spikes=spikes)


def is_published(name: str) -> bool:
    """Return whether a plan is asked for a published shape: a config.json, or a name that is no recipe's."""
    return name.endswith(".json") or (name in published_shapes() and name not in recipe_names())


def _recipe_from(data: dict[str, Any], name: str, depth: int | None) -> Recipe:
    known, scalings = ("preset", "depth", "depth_scaling", "model", "training"), get_args(ScalingName)
    for key in data:
        if key not in known:
            raise UserError(f"recipe {name!r}: unknown key {key!r}: {nearest(key, known)}")
    scaling = data.get("depth_scaling", "default")
    if scaling not in scalings:
        raise UserError(f"recipe {name!r}: unknown depth_scaling {scaling!r}: {nearest(str(scaling), scalings)}")
    for part, kind, wanted in (("depth", int, "a whole number"), ("preset", str, "a name"), ("model", dict, "a table"),
                               ("training", dict, "a table")):  # fmt: skip
        if part in data and type(data[part]) is not kind:
            raise UserError(f"recipe {name!r}: {part} is {str(data[part])[:80]!r}: must be {wanted}")
    if depth is not None and "depth" not in data:
        raise UserError(f"--depth {depth}: the recipe {name!r} has a fixed shape; use the recipe default")
    if "depth" in data:
        model, training = at_depth(data["depth"] if depth is None else depth, scaling)
    else:
        model, training = preset(data.get("preset", "default")), TrainingConfig()
    described: set[str] = set()
    for part, chosen, plain in (("model", model, DecoderConfig()), ("training", training, TrainingConfig())):
        values = dict(flatten(to_dict(plain)))
        described |= {f"{part}.{k}" for k, value in flatten(to_dict(chosen)) if values.get(k) != value}
    model = from_dict(DecoderConfig, data.get("model", {}), "model", model)
    training = from_dict(TrainingConfig, data.get("training", {}), "training", training)
    described |= {f"{part}.{key}" for part in ("model", "training") for key, _ in flatten(data.get(part, {}))}
    return Recipe(name, model, training, frozenset(described))
