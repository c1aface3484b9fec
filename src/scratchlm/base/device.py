"""Device, dtype and threads: what a run computes on.

Which number format is faster on a processor is a table of what was measured (docs/machines.md), not a clock: a clock
would let a busy machine choose other numbers for the same command.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from scratchlm.base.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DtypeName = Literal["auto", "fp32", "bf16", "fp16"]

WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ONEDNN_MAX_CPU_ISA under which matrix products use no bf16 instruction of AVX-512."""
WITHOUT_AVX512 = ("DEFAULT", "NO AVX", "AVX2")
"""What PyTorch calls an x86 processor without AVX-512, or one that ATEN_CPU_CAPABILITY makes it take for one."""
TENSOR_CORES = (7, 0)
"""Compute capability from which on a GPU of NVIDIA multiplies fp16 faster than fp32."""
DTYPES: dict[DtypeName, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class DtypeChoice:
    """A number format, and why it was chosen, in a few words."""

    dtype: DtypeName
    reason: str

    def __str__(self) -> str:
        return f"{self.dtype} ({self.reason})"


@dataclass(frozen=True)
class Processor:
    """What decides how fast a CPU multiplies bf16, as far as PyTorch may use it."""

    architecture: str
    """As Python's `platform.machine` names it."""
    vendor: str
    """AuthenticAMD, GenuineIntel, or what else the processor calls its maker; empty where it is not known."""
    avx512_bf16: bool = False
    """Whether it has dot products of bf16 in AVX-512."""
    amx_bf16: bool = False
    """Whether it has tiles of bf16 (AMX)."""


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


def dtype_for(processor: Processor) -> DtypeChoice:
    """Return the format in which a processor with these features trains faster, as far as that was measured."""
    if processor.architecture.lower() not in ("x86_64", "amd64"):
        return DtypeChoice("fp32", f"bf16 was never measured on {processor.architecture or 'this architecture'}")
    if processor.amx_bf16:
        return DtypeChoice("bf16", "the processor has amx_bf16")
    if not processor.avx512_bf16:
        return DtypeChoice("fp32", "the processor has no bf16 products")
    if processor.vendor == "AuthenticAMD":
        return DtypeChoice("bf16", "an AMD processor with avx512_bf16")
    return DtypeChoice("fp32", "avx512_bf16 without amx_bf16 is slower here, unless AMD made the processor")


def processor() -> Processor:
    """Return this machine's processor, without what ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA forbid."""
    flags = _flags()
    features = {name: flags.get(name, False) for name in ("avx512_bf16", "amx_bf16")}
    if torch.backends.cpu.get_cpu_capability() in WITHOUT_AVX512:
        features = dict.fromkeys(features, False)
    return limited(
        Processor(platform.machine(), _cpuinfo("vendor_id") or _last_word(platform.processor()), **features), os.environ
    )


def limited(processor: Processor, environment: Mapping[str, str]) -> Processor:
    """Return what is left of a processor where ONEDNN_MAX_CPU_ISA, or its earlier name, limits the products."""
    limit = (environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or "ALL").upper()
    if limit in ("ALL", "DEFAULT"):
        return processor
    return Processor(
        processor.architecture,
        processor.vendor,
        avx512_bf16=processor.avx512_bf16 and limit not in WITHOUT_BF16,
        amx_bf16=processor.amx_bf16 and "AMX" in limit,
    )


def chosen_dtype(name: DtypeName, device: torch.device) -> DtypeChoice:
    """Return the number format that `--dtype` means on a device; `auto` follows from features, never from a clock.

    So the same command on the same machine computes the same numbers, however busy the machine is.
    """
    if name != "auto":
        return DtypeChoice(name, "given")
    if device.type == "cpu":
        return dtype_for(processor())
    if device.type != "cuda":
        return DtypeChoice("fp32", "16 bits were never measured on this device")
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return DtypeChoice("bf16", "the GPU multiplies bf16")
    if torch.cuda.get_device_capability(device) >= TENSOR_CORES:
        return DtypeChoice("fp16", "the GPU multiplies fp16 and no bf16")
    return DtypeChoice("fp32", "the GPU has no products of 16 bits")


def faster_dtype() -> torch.dtype:
    """Return the dtype that `auto` means on this CPU."""
    return DTYPES[dtype_for(processor()).dtype]


def machine() -> dict[str, str | int]:
    """Describe this machine as the manifest and the benchmarks record it."""
    return {
        "processor": model_name(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def model_name() -> str:
    """Return what the processor calls itself, or else its architecture."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _flags() -> Mapping[str, bool]:
    if capabilities := getattr(torch.cpu, "get_capabilities", None):  # not in the oldest PyTorch that is supported
        return dict(capabilities())
    return dict.fromkeys(_cpuinfo("flags").split(), True)


def _cpuinfo(field: str) -> str:
    """Return the first value of a field that Linux knows of its processors; empty on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(field)), "")
    except OSError:
        return ""


def _last_word(name: str) -> str:
    return name.split()[-1] if name else ""  # on Windows the vendor is the last word of it
