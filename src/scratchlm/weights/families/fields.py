"""Reading a config.json field by field, with all problems reported together at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchlm.base.errors import raise_all
from scratchlm.model.config import (
    DecoderConfig,
    LinearScalingConfig,
    Llama3ScalingConfig,
    NoScalingConfig,
    RopeConfig,
    ScalingConfig,
    grouped,
)

SCALINGS = "default, linear, llama3"


class Fields:
    """The fields of a config.json. Invalid ones are collected, and `check` raises a `UserError` that lists them."""

    def __init__(self, data: Mapping[str, Any], where: str = "config.json") -> None:
        self.data, self.where = data, where
        self.problems: list[str] = []

    def integer(self, name: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number; where it is absent or null, the default."""
        value = self.data.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            said = "missing" if value is None else f"{value!r}, must be a whole number from {least} on"
            self.problems.append(f"{name} is {said}")
            return least if default is None else default
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number."""
        return float(self._typed(name, default, int | float, "a number"))

    def truth(self, name: str, default: bool) -> bool:
        """Return true or false."""
        return bool(self._typed(name, default, bool, "true or false"))

    def _typed(self, name: str, default: Any, kind: Any, what: str) -> Any:
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.problems.append(f"{name} is {value!r}, must be {what}")
            return default
        return value

    def only(self, name: str, *allowed: Any) -> None:
        """Record a problem where a field exists and has none of the supported values."""
        if name in self.data and self.data[name] not in allowed:
            said = " or ".join(repr(value) for value in allowed)
            self.problems.append(f"{name} is {self.data[name]!r}: only {said} can be read")

    def window(self, name: str = "sliding_window", default: int | None = None) -> int | None:
        """Return the attention window, the number of positions that a query sees; null means all."""
        if name in self.data:
            return None if self.data[name] is None else self.integer(name)
        return default

    def full_layers(self, layers: int) -> tuple[int, ...] | None:
        """Return the layers that `layer_types` calls full_attention, or None where it is absent."""
        kinds = self.data.get("layer_types")
        if kinds is None:
            return None
        if not isinstance(kinds, list) or len(kinds) != layers or set(kinds) - {"full_attention", "sliding_attention"}:
            self.problems.append(
                f"layer_types is {kinds!r}: must name full_attention or sliding_attention for each of {layers} layers"
            )
            return None
        return tuple(layer for layer, kind in enumerate(kinds) if kind == "full_attention")

    def rope(self, context: int, kind: str | None = None, theta: float = 10_000.0) -> RopeConfig:
        """Return the RoPE settings, from `rope_parameters` (of the layers of a `kind`) or older fields."""
        stored, scaled = self._table("rope_parameters"), self._table("rope_scaling")
        stored = stored[kind] if isinstance(stored.get(kind), dict) else stored
        values = {"rope_theta": self.data.get("rope_theta"), **scaled, **stored}
        read = Fields(values, self.where)
        base, share = read.number("rope_theta", theta), read.number("partial_rotary_factor", 1.0)
        share = self.number("partial_rotary_factor", share)
        scaling = read._scaling(context)
        self.problems += read.problems
        return RopeConfig(theta=base, scaling=scaling, partial_rotary_factor=share)

    def _table(self, name: str) -> dict[str | None, Any]:
        """Return a field that is a table of fields; an absent one is empty."""
        value = self.data.get(name)
        if value is not None and not isinstance(value, dict):
            self.problems.append(f"{name} is {value!r}, must be a table of fields")
        return dict(value) if isinstance(value, dict) else {}

    def _scaling(self, context: int) -> ScalingConfig:
        kind = self.data.get("rope_type") or self.data.get("type") or "default"
        if kind == "linear":
            return LinearScalingConfig(self.number("factor", 1.0))
        if kind == "llama3":
            low, high = self.number("low_freq_factor", 1.0), self.number("high_freq_factor", 4.0)
            original = self.integer("original_max_position_embeddings", context)
            return Llama3ScalingConfig(self.number("factor", 8.0), low, high, original)
        if kind != "default":
            self.problems.append(f"rope_scaling is of type {kind!r}: only {SCALINGS} can be read")
        return NoScalingConfig()

    def check(self) -> None:
        """Raise a `UserError` with all recorded problems."""
        raise_all([f"{self.where}: {problem}" for problem in dict.fromkeys(self.problems)])


def layer_types(config: DecoderConfig) -> list[str]:
    """Return the field that `full_layers` reads."""
    full = grouped(config).global_layers
    return ["full_attention" if layer in full else "sliding_attention" for layer in range(config.layers)]


def write_rope(rope: Any) -> dict[str, Any]:
    """Return the RoPE fields in a form for every version of transformers."""
    if not isinstance(rope, RopeConfig):
        return {}
    written: dict[str, Any] = {"rope_theta": rope.theta}
    match rope.scaling:
        case LinearScalingConfig(factor):
            written["rope_scaling"] = {"rope_type": "linear", "factor": factor}
        case Llama3ScalingConfig(factor, low, high, original):
            written["rope_scaling"] = llama3_scaling(factor, low, high, original)
    return written


def llama3_scaling(factor: float, low: float, high: float, original: int) -> dict[str, Any]:
    """Return Llama 3's `rope_scaling`."""
    bands = {"low_freq_factor": low, "high_freq_factor": high}
    return {"rope_type": "llama3", "factor": factor, **bands, "original_max_position_embeddings": original}
