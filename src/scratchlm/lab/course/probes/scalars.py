"""Probes of appendix A: numbers that remember how they were calculated."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from scratchlm.lab.course.probing import Outputs


def _described(label: str, result: Any, inputs: dict[str, Any]) -> Outputs:
    """Yield the value of a result, and the slope with which it remembers each input."""
    names = {id(scalar): name for name, scalar in inputs.items()}
    yield f"the value of {label}", result.value
    yield f"the slopes of {label}", [[names.get(id(parent), "?"), slope] for parent, slope in result.parents]


def add(mine: ModuleType) -> Outputs:
    """Sums, one of a number with itself."""
    for first, second in ((2.5, -0.75), (-3.0, 4.0)):
        a, b = mine.Scalar(first), mine.Scalar(second)
        yield from _described(f"a + b, with a {first} and b {second}", a + b, {"a": a, "b": b})


def multiply(mine: ModuleType) -> Outputs:
    """Products, one with a zero."""
    for first, second in ((2.5, -0.75), (0.0, 4.0)):
        a, b = mine.Scalar(first), mine.Scalar(second)
        yield from _described(f"a * b, with a {first} and b {second}", a * b, {"a": a, "b": b})


def exponential(mine: ModuleType) -> Outputs:
    """Powers of e."""
    for value in (-1.25, 0.0, 2.0):
        a = mine.Scalar(value)
        yield from _described(f"exp of {value}", a.exp(), {"a": a})


def logarithm(mine: ModuleType) -> Outputs:
    """Logarithms of numbers below and above 1."""
    for value in (0.25, 3.0):
        a = mine.Scalar(value)
        yield from _described(f"log of {value}", a.log(), {"a": a})


def backward(mine: ModuleType) -> Outputs:
    """A chain, a number that is used twice, and one that is used at two depths."""
    a, b, c = mine.Scalar(1.5), mine.Scalar(-0.5), mine.Scalar(3.0)
    total = a * b + c
    total.backward()
    yield "a * b + c: gradients of a, b, c", [a.gradient, b.gradient, c.gradient]
    yield "a * b + c: its own gradient", total.gradient
    a, b = mine.Scalar(1.5), mine.Scalar(-0.5)
    shared = a * b
    (shared * shared + shared.exp()).backward()
    yield "s * s + exp(s), with s = a * b: gradients of a, b, s", [a.gradient, b.gradient, shared.gradient]
    a = mine.Scalar(0.5)
    once = a * a
    (once * a + once).backward()
    yield "s * a + s, with s = a * a: gradients of a, s", [a.gradient, once.gradient]


PROBES = {
    "Scalar.__add__": add,
    "Scalar.__mul__": multiply,
    "Scalar.exp": exponential,
    "Scalar.log": logarithm,
    "Scalar.backward": backward,
}
