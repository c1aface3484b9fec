"""Ray, where a command is asked to use it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from scratchlm.base.errors import UserError


def joined_ray(flag: str) -> Any:
    """Return Ray, joined to a cluster that it finds, or begun on this machine alone.

    Raises `UserError`, which names `flag`, where it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # which it reads when it begins
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UserError(f'{flag} ray: needs Ray; run pip install "scratchlm[cluster]"') from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    return ray
