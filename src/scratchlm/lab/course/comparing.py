"""What a learner's results say: the first difference from the solution's, and the classic mistake that gives them.

A mistake is named where the solution with that mistake gives the learner's results. Where none does, simple relations
of the two are tried: axes in another order, a constant factor, numbers shifted by one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchlm.lab.course.answering import outputs_of
from scratchlm.lab.course.exercise import Exercise

RELATIVE, ABSOLUTE = 2e-4, 2e-6
"""How far a number of fp32 may be from the solution's."""
Outputs = Mapping[str, Any]


def first_difference(right: Outputs, mine: Outputs) -> str | None:
    """Return the label of the first output that is not the solution's, or None where all are."""
    for label, value in right.items():
        if label not in mine:
            return "exception" if "exception" in mine else label
        if not alike(value, mine[label]):
            return label
    return "exception" if "exception" in mine and "exception" not in right else None


def alike(one: Any, other: Any) -> bool:
    """Return whether two results are equal, numbers within the rounding of fp32."""
    if _is_tensor(one) and _is_tensor(other):
        if one["shape"] != other["shape"] or one["floating"] != other["floating"]:
            return False
        a, b = np.array(one["values"]), np.array(other["values"])
        return bool(np.allclose(a, b, rtol=RELATIVE, atol=ABSOLUTE * max(1.0, _largest(a)), equal_nan=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (one != one and other != other)
    if isinstance(one, dict) and isinstance(other, dict) and "exception" in one and "exception" in other:
        return all(one["exception"][key] == other["exception"][key] for key in ("kind", "says"))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(itertools.starmap(alike, zip(one, other, strict=True)))
    return bool(one == other)


def named(exercise: Exercise, mine: Outputs, right: Outputs) -> list[str]:
    """Return what the learner did, in the words of the classic mistakes; empty where none fits.

    Each mistake is tried alone, then each two together; then the results are compared by simple relations.
    """
    made = {mistake: outputs_of(exercise, exercise.module(mistake)) for mistake in exercise.mistakes}
    for mistake, outputs in made.items():
        if outputs and first_difference(outputs, mine) is None:
            return [mistake.says]
    for pair in itertools.combinations(exercise.mistakes, 2):
        outputs = outputs_of(exercise, exercise.module(*pair))
        if outputs and first_difference(outputs, mine) is None:
            return [mistake.says for mistake in pair]
    first = next((label for label in right if not alike(right[label], mine.get(label))), None)
    if first is None or first not in mine:
        return []
    if _is_telling(mine[first]):
        likely = [mistake.says for mistake, outputs in made.items() if alike(outputs.get(first), mine[first])]
        if likely:
            return likely[:1]
    return _relation(first, right[first], mine[first])


def _is_telling(value: Any) -> bool:
    """Return whether a result has so many numbers that two mistakes rarely give it."""
    return _is_tensor(value) and len(value["values"]) > 3


def _relation(label: str, right: Any, mine: Any) -> list[str]:
    """Return how a result relates to the right one, in a list of at most one sentence."""
    if "inputs that were changed" in label:
        return ["It changes its input: work on a copy, and avoid operations that end in _."]
    if ": the gradient of" in label and mine is None and right is not None:
        name = label.rsplit("gradient of ", 1)[1]
        return [f"No gradient reaches {name}: something cuts the graph, as detach, no_grad, item or numpy do."]
    if not (_is_tensor(right) and _is_tensor(mine)):
        return _relation_of_lists(right, mine)
    a, b = _array(right), _array(mine)
    if a.shape != b.shape:
        return _relation_of_shapes(a, b)
    if np.isnan(b).any() and not np.isnan(a).any():
        return ["Some numbers are NaN: look for a division by zero, or for a row in which every score is -inf."]
    if not np.isfinite(b).all():
        return ["Some numbers are infinite: look for exp of a large number, log of 0, or a division by 0."]
    if a.ndim and np.allclose(np.sort(a, axis=None), np.sort(b, axis=None), rtol=1e-4, atol=1e-6):
        return ["The numbers are right, and stand in the wrong order: was view used where axes must be swapped first?"]
    factors = b[np.abs(a) > 1e-6] / a[np.abs(a) > 1e-6]
    if len(factors) > 1 and np.ptp(factors) < 1e-3 * abs(factors.mean()):
        return [f"Each number is {factors.mean():.4g} times the right one."]
    apart = (b - a).ravel()
    if len(apart) > 1 and np.ptp(apart) < 1e-4 * max(1.0, abs(apart.mean())):
        return [f"Each number is off by {apart.mean():+.4g}."]
    return _relation_of_rows(a, b)


def _relation_of_shapes(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[str]:
    if a.ndim == b.ndim and sorted(a.shape) == sorted(b.shape):
        return ["The axes stand in another order."]
    if a.size == b.size:
        return ["All numbers are there, in another shape."]
    if a.ndim == b.ndim and any(abs(n - m) == 1 for n, m in zip(a.shape, b.shape, strict=True)):
        return ["One axis is one too long or one too short."]
    return []


def _relation_of_rows(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[str]:
    """Name what the last two axes tell: rows of weights, and positions that see later ones."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or not np.allclose(a.sum(-1), 1, atol=1e-4):
        return []
    above = np.triu(np.ones(a.shape[-2:], bool), 1)
    if np.abs(b[..., above]).max(initial=0) > 1e-6:
        return ["Positions take from later ones: the mask lets them through."]
    if not np.allclose(b.sum(-1), 1, atol=1e-3):
        return [f"The weights of a row sum to {b.sum(-1).ravel()[-1]:.4g} and not to 1."]
    return []


def _relation_of_lists(right: Any, mine: Any) -> list[str]:
    if mine is None:
        return ["It returns None: is there a return?"]
    a, b = _items(right), _items(mine)
    if a is None or b is None:
        return []
    if len(b) > 1 and (a[1:] == b or b == a[: len(b)]):
        return ["It is the beginning or the end of the right list: something is left out."]
    if b[: len(a)] == a or b[-len(a) :] == a:
        return ["It is the right list and more."]
    if sorted(map(str, a)) == sorted(map(str, b)):
        return ["The items are right, and stand in another order."]
    return []


def _items(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        value = value.get("list", value.get("table"))
    return value if isinstance(value, list) else None


def explained(label: str, right: Outputs, mine: Outputs) -> str:
    """Return the first difference in words: what was asked, what came, what should have come."""
    if label == "exception":
        error = mine["exception"]["exception"]
        where = f", line {error['line']}: {error['code']}" if "line" in error else ""
        return f"{error['kind']}: {error['says']}{where}"
    if label not in mine:
        return f"{label}: is missing; keep the layers of __init__ as they are in the file that learn start writes"
    one, other = right[label], mine[label]
    if _is_tensor(one) and _is_tensor(other):
        if one["shape"] != other["shape"]:
            return f"{label}: the shape is {tuple(other['shape'])} and must be {tuple(one['shape'])}"
        if one["floating"] != other["floating"]:
            kinds = ["floating-point numbers" if each["floating"] else "integers" for each in (other, one)]
            return f"{label}: holds {kinds[0]} and must hold {kinds[1]}"
        a, b = _array(one), _array(other)
        wrong = ~np.isclose(b, a, rtol=RELATIVE, atol=ABSOLUTE * max(1.0, _largest(a)), equal_nan=True)
        place = np.argwhere(wrong)[0] if a.ndim else np.array([], int)
        index, at = tuple(int(each) for each in place), ", ".join(str(int(each)) for each in place)
        many = f"; {int(wrong.sum())} of {wrong.size} numbers differ" if wrong.size > 1 else ""
        return f"{label}: at [{at}] is {b[index]:.6g} and must be {a[index]:.6g}{many}"
    if "inputs that were changed" in label:
        return f"{label.split(':')[0]}: {', '.join(_items(other) or [])} has other numbers after the call"
    return f"{label}: is {_brief(other)} and must be {_brief(one)}"


def _brief(value: Any) -> str:
    if _is_tensor(value):
        return f"a tensor of shape {tuple(value['shape'])}"
    items = _items(value)
    if items is not None:
        return f"[{', '.join(_brief(each) for each in items[:12])}{', ...' if len(items) > 12 else ''}]"
    if isinstance(value, dict) and "bytes" in value:
        return repr(bytes.fromhex(value["bytes"]))
    if isinstance(value, dict) and "kind" in value:
        return f"a {value['kind']}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and "shape" in value


def _array(value: Mapping[str, Any]) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = np.array(value["values"], dtype=np.float64)
    return numbers.reshape(value["shape"]) if numbers.size == math.prod(value["shape"]) else numbers


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
