"""Annotated shapes are checked in the first calls of a function in each test, and in some of the later ones.

A check takes longer than what most functions of toy size do, so checking every call made tests of generation five
times slower.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping
import torch

FIRST = 16
"""Calls that are checked, of each function in each test."""
EVERY = 61
"""Of later calls, one of so many: a prime, so that it is not always that of the same layer."""
_calls: Counter[CodeType] = Counter()
"""By code: a function within another is a new one each time, and would keep the tensors that it refers to."""
_jaxtyped = jaxtyping.jaxtyped


def begin_test() -> None:
    """Count the calls from here."""
    _calls.clear()


def _sampled(**settings: Any) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        checked = _jaxtyped(**settings)(function)
        if not inspect.isfunction(function):
            return checked

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if torch.compiler.is_compiling():  # a compiled function must not depend on a count
                return function(*arguments, **named)
            _calls[function.__code__] += 1
            count = _calls[function.__code__]
            return (checked if count <= FIRST or count % EVERY == 0 else function)(*arguments, **named)

        return call

    return decorate


def check_shapes(*packages: str) -> None:
    """Turn the annotations of packages into checks; to be called before anything imports them."""
    jaxtyping.jaxtyped = _sampled  # which the hook's decorator looks up in every module that it imports
    for package in packages:
        jaxtyping.install_import_hook(package, "beartype.beartype")
