"""What a run is expected to take and to reach: reported by `plan`, and by a run's report beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from scratchlm.base.config import from_dict
from scratchlm.base.runfolder import LOG_FILE, Evaluation, Train, read_log
from scratchlm.model.decoder import Decoder
from scratchlm.pretraining.scaling_law import ExpectedLoss, expected_loss
from scratchlm.training.config import TrainingConfig
from scratchlm.training.optimizer import matrix_weights
from scratchlm.training.profiling import estimate_memory

OF_A_PROCESS = 380_000_000
"""Bytes that Python, PyTorch and the data take beside a training: that of four recipes came within 5% of it."""

OF_COMPILING = 80_000_000
"""Bytes that compiling blocks takes besides."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of a run on one process."""

    memory: int
    """Most bytes that its process holds."""
    seconds: float | None = None
    """Of all steps, without evaluations; None where none was timed."""
    loss: ExpectedLoss | None = None
    """None for recipes that the law was not fitted to."""


def forecast(
    recipe: str, decoder: Decoder, training: TrainingConfig, dtype: torch.dtype, tokens: int, step: float | None
) -> Forecast:
    """Forecast a run of `tokens`, whose steps take what was timed; takes a model without memory too."""
    compiling = OF_COMPILING if training.compile else 0
    tokens_a_step = training.batch_size * training.sequence_length
    return Forecast(
        memory=estimate_memory(decoder, training, dtype).total + OF_A_PROCESS + compiling,
        seconds=None if step is None else training.steps * step,
        loss=expected_loss(recipe, matrix_weights(decoder), tokens, tokens_a_step),
    )


def compared(out: Path, manifest: dict[str, Any]) -> Sequence[tuple[str, str, str]]:
    """Return what was expected of a finished run beside what came, as texts; nothing where nothing was forecast."""
    if not manifest.get("forecast"):
        return []
    expected = from_dict(Forecast, manifest["forecast"], "forecast", None)
    records = list(read_log(out / LOG_FILE))
    logged = [record.timing.seconds for record in records if isinstance(record, Train)]
    last = [record for record in records if isinstance(record, Evaluation)][-1]
    rows = []
    if expected.seconds is not None and logged:
        took = last.step * median(logged)  # not every step is logged, and blocks are compiled in the first
        rows.append(
            ("seconds of all steps, by the median of those in the log", f"{expected.seconds:,.0f}", f"{took:,.0f}")
        )
    if manifest.get("peak_memory"):
        rows.append(("memory, MB", f"{expected.memory / 1e6:,.0f}", f"{manifest['peak_memory'] / 1e6:,.0f}"))
    if expected.loss is not None and last.bits_per_byte is not None:
        came = f"{last.bits_per_byte:.2f} on this run's text"
        rows.append(("bits per byte on the books that the law was fitted to", f"{expected.loss}", came))
    return rows


def flops_utilization(out: Path, manifest: dict[str, Any]) -> float | None:
    """Return the fraction of the machine's product speed that a run's median step used.

    None where it is not known, as after a change of machine or ranks.

    The model FLOPs utilization (MFU) of Chowdhery et al. 2022 (arXiv 2204.02311), of the speed that was measured here.
    """
    speeds = [record.speed for record in read_log(out / LOG_FILE) if isinstance(record, Train)]
    if "product_peak" not in manifest or manifest.get("changes") or not speeds:
        return None
    return float(median(speeds) * manifest["flops_per_token"] / manifest["product_peak"])
