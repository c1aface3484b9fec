"""Device, dtype and threads: what a run computes on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
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


def bf16_products_are_faster(size: int = 192, clock: Callable[[], float] = time.perf_counter) -> bool:
    """Tell whether the CPU multiplies bf16 faster than fp32, by the best of five small products of each.

    A processor without bf16 emulates it, some thirty times slower. Names of processors and instruction sets are not
    asked: what counts is what torch uses here, and a few milliseconds on one thread show that on a busy machine too.
    """

    def seconds(matrix: torch.Tensor) -> float:
        began = clock()
        matrix @ matrix
        return clock() - began

    with threads(1):
        full, half = (torch.ones(size, size, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
        best = [min(seconds(matrix) for _ in range(6)) for matrix in (full, half)]  # the first makes the kernel
    return best[1] < best[0]


def faster_dtype() -> torch.dtype:
    """Return the dtype whose products are faster on this CPU, by `bf16_products_are_faster`."""
    return torch.bfloat16 if bf16_products_are_faster() else torch.float32


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
