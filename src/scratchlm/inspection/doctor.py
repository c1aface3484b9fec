"""`scratchlm doctor`: what this machine can do, and whether every fast path equals the plain one on it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
from rich.console import Group, RenderableType
from rich.table import Table

from scratchlm.base.device import choose_device, chosen_dtype, machine, set_threads
from scratchlm.base.result import Result
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.generation.generate import generate_ids
from scratchlm.inspection.config import DoctorConfig
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.presets import tiny
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.fast import FastBPE
from scratchlm.training.distributed.doctor import RanksFound, ranks_found
from scratchlm.training.profiling import product_peak


@dataclass(frozen=True)
class Check:
    """One fast path held against the plain one."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, repr=False)
class Diagnosis(Result):
    """The machine and the checks."""

    machine: dict[str, Any]
    speed: dict[str, float]
    """Matrix products by device and dtype, in GFLOP/s."""
    checks: list[Check]
    ranks: RanksFound | None = None
    """What several processes can do together."""

    @property
    def healthy(self) -> bool:
        """Whether every fast path equals the plain one."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain data."""
        return {**dataclasses.asdict(self), "healthy": self.healthy}

    def __rich__(self) -> RenderableType:
        about = Table(show_header=False)
        for name, value in self.machine.items():
            about.add_row(name, str(value))
        for name, value in self.speed.items():
            about.add_row(f"products {name}", f"{value:,.0f} GFLOP/s")
        checks = Table("check", "", "detail")
        for check in self.checks:
            checks.add_row(check.name, "equal" if check.passed else "DIFFERENT", check.detail)
        return Group(about, checks) if self.ranks is None else Group(about, checks, _shown(self.ranks))


def doctor(config: DoctorConfig) -> Diagnosis:
    """Measure and compare; takes a few seconds."""
    threads = set_threads(config.threads)
    about: dict[str, Any] = {**machine(), "threads": threads, "memory": _memory()}
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    devices = [torch.device(name) for name, ranks in there.items() if ranks]
    about["devices"] = ", ".join(device.type for device in devices)
    about["--dtype auto"] = "; ".join(f"{device.type}: {chosen_dtype('auto', device)}" for device in devices)
    about["integer products"] = _integer_products()
    speed = {
        f"{device.type} {name}": product_peak(device, dtype) / 1e9
        for device in devices
        for name, dtype in [("fp32", torch.float32), ("bf16", torch.bfloat16)]
    }
    checks = [_check_tokenizer(), _check_cache(), _check_attention()]
    checks += [_check_device(device) for device in devices[1:]]
    ranks = ranks_found(choose_device()) if config.distributed else None
    if ranks is not None:
        detail = "products of equal numbers" if ranks.round_alike else "a run resumed on other ranks changes its bits"
        checks.append(Check("ranks: bit for bit", ranks.round_alike, detail))
        differences = "; ".join(f"{name}: {' and '.join(values)}" for name, values in ranks.differing.items())
        checks.append(
            Check("ranks: versions and processors", not differences, differences or f"{len(ranks.ranks)} alike")
        )
    return Diagnosis(about, speed, checks, ranks)


def _shown(ranks: RanksFound) -> Table:
    table = Table("rank", "host", "cores", "threads", title="ranks", title_justify="left")
    for each in ranks.ranks:
        table.add_row(*(str(each[name]) for name in ("rank", "host", "cores", "threads")))
    for name, milliseconds in ranks.sums.items():
        table.add_row("all", f"sum of {name}", "", f"{milliseconds:,.2f} ms")
    return table


def _integer_products() -> str:
    """Return the instructions by which models in int8 and int4 are run, as `compiled/instructions.py` names them."""
    try:
        from scratchlm.compiled.instructions import CHOICES, chosen
    except ImportError as error:
        return f"numba does not work here: {error}"
    name = chosen()
    return name if CHOICES[name][1].tested else f"{name} (not tested on such a processor)"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, ValueError, OSError):
        return "unknown"  # not a system with sysconf


def _toy(implementation: Literal["fused", "naive"] = "fused") -> Decoder:
    attention = dataclasses.replace(tiny().attention, implementation=implementation)
    return build_decoder(dataclasses.replace(tiny(), zero_init_outputs=False, init_std=0.2, attention=attention)).eval()


def _toy_ids() -> torch.Tensor:
    return torch.randint(0, 512, (2, 100), generator=torch.Generator().manual_seed(0))


def _check_tokenizer() -> Check:
    text = "The cat sat. Die Katze saß. 猫が座った。 1234 <|endoftext|>\n\n" * 20
    fast = FastBPE.train([text], 300)
    plain = ReadableBPE(fast.vocabulary)
    same = fast.encode(text) == plain.encode(text) and fast.decode(fast.encode(text)) == text
    return Check("tokenizer: compiled and readable", same, f"{len(fast.encode(text))} ids")


@torch.no_grad()
def _check_cache() -> Check:
    decoder = _toy()
    settings = SamplingConfig(max_tokens=200, temperature=0.0)
    prompt = list(range(1, 20))
    same = list(generate_ids(decoder, prompt, settings)) == list(stream_ids(Engine(decoder), prompt, settings))
    return Check("generation: cached and plain", same, "200 greedy tokens, past the full context")


@torch.no_grad()
def _check_attention() -> Check:
    ids = _toy_ids()
    difference = (_toy()(ids) - _toy("naive")(ids)).abs().max().item()
    return Check("attention: fused and naive", difference < 1e-3, f"largest logit difference {difference:.1e}")


@torch.no_grad()
def _check_device(device: torch.device) -> Check:
    ids = _toy_ids()
    difference = (_toy().to(device)(ids.to(device)).cpu() - _toy()(ids)).abs().max().item()
    return Check(f"{device.type} and CPU", difference < 1e-2, f"largest logit difference {difference:.1e}")
