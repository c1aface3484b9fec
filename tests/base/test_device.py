"""The number format that `auto` means: a function of the processor's features, so no clock has a part in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from scratchlm.base import device
from scratchlm.base.device import Processor, chosen_dtype, dtype_for, limited

AMD, INTEL = "AuthenticAMD", "GenuineIntel"


@pytest.mark.parametrize(
    ("processor", "dtype", "reason"),
    [
        (Processor("x86_64", AMD), "fp32", "no bf16 products"),
        (Processor("x86_64", AMD, avx512_bf16=True), "bf16", "AMD processor with avx512_bf16"),
        (Processor("AMD64", AMD, avx512_bf16=True), "bf16", "AMD processor with avx512_bf16"),
        (Processor("x86_64", INTEL), "fp32", "no bf16 products"),
        (Processor("x86_64", INTEL, avx512_bf16=True), "fp32", "without amx_bf16 is slower"),
        (Processor("x86_64", INTEL, avx512_bf16=True, amx_bf16=True), "bf16", "amx_bf16"),
        (Processor("x86_64", "", avx512_bf16=True), "fp32", "without amx_bf16 is slower"),
        (Processor("aarch64", ""), "fp32", "never measured on aarch64"),
        (Processor("arm64", ""), "fp32", "never measured on arm64"),
    ],
)
def test_each_set_of_features_has_its_format_and_a_reason(processor: Processor, dtype: str, reason: str) -> None:
    choice = dtype_for(processor)
    assert choice.dtype == dtype
    assert reason in choice.reason
    assert str(choice) == f"{dtype} ({choice.reason})"


@pytest.mark.parametrize(
    ("limit", "avx512_bf16", "amx_bf16"),
    [
        (None, True, True),
        ("all", True, True),
        ("DEFAULT", True, True),
        ("AVX512_CORE_AMX", True, True),
        ("avx512_core_bf16", True, False),
        ("AVX512_CORE_VNNI", False, False),
        ("AVX2", False, False),
    ],
)
def test_a_limit_of_onednn_takes_features_away(limit: str | None, avx512_bf16: bool, amx_bf16: bool) -> None:
    whole = Processor("x86_64", INTEL, avx512_bf16=True, amx_bf16=True)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        left = limited(whole, {} if limit is None else {name: limit})
        assert (left.avx512_bf16, left.amx_bf16) == (avx512_bf16, amx_bf16)
    assert limited(Processor("x86_64", AMD), {}) == Processor("x86_64", AMD)


def test_a_lesser_processor_that_pytorch_imitates_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_flags", lambda: {"avx512_bf16": True, "amx_bf16": True})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert device.processor().amx_bf16
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not device.processor().avx512_bf16
    assert not device.processor().amx_bf16


def test_pytorch_says_so_when_it_imitates_a_lesser_processor() -> None:
    script = "from scratchlm.base.device import processor, dtype_for; print(dtype_for(processor()))"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fp32 (")


def test_a_format_that_is_given_stays_and_only_auto_looks_at_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "processor", lambda: Processor("x86_64", INTEL))
    cpu = torch.device("cpu")
    assert [chosen_dtype(name, cpu).dtype for name in ("fp32", "bf16", "fp16", "auto")] == [
        "fp32",
        "bf16",
        "fp16",
        "fp32",
    ]
    monkeypatch.setattr(device, "processor", lambda: Processor("x86_64", INTEL, amx_bf16=True))
    assert chosen_dtype("auto", cpu).dtype == "bf16"


@pytest.mark.parametrize(
    ("bf16", "capability", "dtype"), [(True, (9, 0), "bf16"), (False, (7, 5), "fp16"), (False, (6, 1), "fp32")]
)
def test_a_gpu_is_judged_by_its_features_too(
    bf16: bool, capability: tuple[int, int], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert chosen_dtype("auto", torch.device("cuda")).dtype == dtype
    assert chosen_dtype("auto", torch.device("mps")).dtype == "fp32"
