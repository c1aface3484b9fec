"""Device, dtype and threads: what a run computes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import torch

from scratchlm.base.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DtypeName = Literal["auto", "fp32", "bf16", "fp16"]

DTYPES: dict[DtypeName, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device named, or for `auto` the first of CUDA, MPS and CPU that is there.

    Raises `UserError` when the named one is not on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, present in there.items() if present))
    if name not in there:
        raise UserError(f"--device {name}: unknown; known: auto, {', '.join(there)}")
    if not there[name]:
        raise UserError(f"--device {name}: not on this machine; leave --device out or use cpu")
    return torch.device(name)


def set_threads(threads: int | None) -> int:
    """Set how many threads torch computes with and return the number in force."""
    if threads is not None:
        limit = os.cpu_count() or 1
        if threads < 1:
            raise UserError(f"--threads {threads}: must be at least 1; this machine has {limit} cores")
        torch.set_num_threads(min(threads, limit))
    return torch.get_num_threads()


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads inside the block.

    One is best for small models token by token: the products are too small to share, and threads that wait for each
    other lose many times over on a machine that others use too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Return a context in which matrix products run in `dtype` while weights and sums stay in fp32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def machine() -> dict[str, str | int]:
    """Describe this machine as the manifest and the benchmarks record it."""
    import platform

    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the platform module's word will do
    return platform.processor() or platform.machine()
