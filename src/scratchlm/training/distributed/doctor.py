"""What several processes can do together: who they are, how fast they sum, and whether they round alike."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from typing import Any

import torch

import scratchlm
from scratchlm.base.device import machine
from scratchlm.base.errors import UserError
from scratchlm.training.distributed.ranks import joined

SUMS = {"1 KiB": 1 << 8, "1 MiB": 1 << 18, "64 MiB": 1 << 24}
"""Numbers of the sums that are timed."""
ALIKE = ("scratchlm", "torch", "processor", "cpu_capability", "threads")
"""What should not differ between ranks: a resume, or a sum, would round otherwise."""


@dataclass(frozen=True)
class RanksFound:
    """What was found of all ranks."""

    ranks: list[dict[str, Any]]
    sums: dict[str, float]
    """Milliseconds of a sum over all ranks, by its size."""
    differing: dict[str, list[str]]
    """What differs, and its values."""
    round_alike: bool
    """Whether all ranks get the same bits from the same products."""


def ranks_found(device: torch.device) -> RanksFound:
    """Join the ranks that torchrun started, and compare them. Raises `UserError` where there is but one."""
    with joined(device) as ranks:
        if ranks.size == 1:
            raise UserError(
                "--distributed: one process alone; start several, as in torchrun --nproc-per-node 2 -m scratchlm "
                "doctor --distributed"
            )
        about = {"scratchlm": scratchlm.__version__, **machine(), "threads": torch.get_num_threads()}
        own = {"rank": ranks.rank, "host": socket.gethostname(), "cores": os.cpu_count(), **about}
        reports = ranks.from_all({**own, "products": _digest(device)})
        sums = {name: 1e3 * ranks.seconds_of_sum(numbers, device) for name, numbers in SUMS.items()}
    values = {name: list(dict.fromkeys(str(each.get(name)) for each in reports)) for name in ALIKE}
    differing = {name: group for name, group in values.items() if len(group) > 1}
    return RanksFound(reports, sums, differing, len({each["products"] for each in reports}) == 1)


def _digest(device: torch.device) -> str:
    """Return a hash of what products and a softmax come to on this rank."""
    drawn = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    product = torch.softmax(drawn @ drawn.T, -1) @ drawn
    return hashlib.sha256(product.cpu().numpy().tobytes()).hexdigest()[:12]
