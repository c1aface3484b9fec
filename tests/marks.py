"""Cases of a test that the everyday run leaves out, where another case has shown what they show."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Return the values of a case that is run with the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)
