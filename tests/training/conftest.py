"""Toy sizes run faster on one thread, and equally on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from toys import one_thread


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
