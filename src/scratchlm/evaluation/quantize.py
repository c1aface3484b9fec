"""`scratchlm quantize`: store a model in int8 or int4, and say what that costs and gains."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.table import Table

from scratchlm.base.device import set_threads
from scratchlm.base.errors import UserError, raise_all
from scratchlm.base.outputs import output_folder
from scratchlm.base.result import Result
from scratchlm.data.batches import ArrayTokens
from scratchlm.data.encoding import first_tokens
from scratchlm.evaluation.bits import held_out_loss
from scratchlm.evaluation.config import QuantizeConfig
from scratchlm.generation.compiling import worth_compiling
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.engine import Engine, stream_ids
from scratchlm.model.config import ExpertsConfig
from scratchlm.model.decoder import Decoder
from scratchlm.model.gptq import quantize_layers
from scratchlm.model.quantizationconfig import QuantizationConfig
from scratchlm.model.quantized import pack, quantizable, replace
from scratchlm.tokens.base import Tokenizer
from scratchlm.weights.checkpoint import MODEL_KIND, SavedModel, find_model, load_model, save_model
from scratchlm.weights.stored import WEIGHTS_FILE

CALIBRATION_TOKENS = 65_536
"""Most tokens of a text that GPTQ reads."""
WINDOW = 512
"""Tokens of one window of calibration."""
MEASURED_TOKENS = 4_096
"""Most tokens that bits per byte are measured on."""
WRITTEN_TOKENS = 24
"""Tokens of a text that the speed is measured by."""


@dataclass(frozen=True)
class QuantizedForm:
    """What one form of a model weighs and knows."""

    form: str
    megabytes: float
    """Size of its weights in its folder."""
    bits_per_byte: float
    tokens_per_second: float
    """Tokens that it writes after a short prompt, one text alone."""


@dataclass(frozen=True, repr=False)
class QuantizeResult(Result):
    """A model before and after."""

    out: str
    text: str
    before: QuantizedForm
    after: QuantizedForm
    seconds: float
    """Time to quantize it."""

    def __rich__(self) -> Table:
        table = Table("form", "MB", "bits per byte", "lost", "tokens/s", title=f"{self.out}, measured on {self.text}")
        for each in (self.before, self.after):
            lost = each.bits_per_byte - self.before.bits_per_byte
            table.add_row(
                each.form,
                f"{each.megabytes:,.1f}",
                f"{each.bits_per_byte:.4f}",
                f"{lost:+.4f}",
                f"{each.tokens_per_second:,.0f}",
            )
        return table


def quantize(config: QuantizeConfig) -> QuantizeResult:
    """Quantize a model, measure both, and write the new one.

    Raises `UserError` for a model that is quantized already, has adapters or is a mixture of experts, and for a text
    that is too short.
    """
    set_threads(config.threads)
    folder = find_model(config.model)
    with output_folder(config.out, MODEL_KIND, force=config.force, sources=(folder,), whole=True):
        model = load_model(folder)
        _require_plain(config, model.quantization is not None, bool(model.adapters), model.decoder)
        calibration, held_out, name = _texts(config, model.tokenizer)
        before = _measured("full precision", folder, model, held_out)
        started = time.perf_counter()
        method: Literal["nearest", "gptq"] = "nearest" if calibration is None else "gptq"
        chosen = QuantizationConfig(config.to, method)
        if calibration is not None:
            _by_gptq(model.decoder, calibration)
        to_nearest(model.decoder, chosen)
        seconds = time.perf_counter() - started
        model.quantization, model.base = chosen, None
        save_model(config.out, model)
        form = f"{config.to}, {'GPTQ' if method == 'gptq' else 'rounded to nearest'}"
        after = _measured(form, config.out, load_model(config.out), held_out)
    return QuantizeResult(str(config.out), name, before, after, seconds)


def to_nearest(decoder: Decoder, config: QuantizationConfig) -> None:
    """Round all matrices that are not quantized yet to their nearest codes."""
    for name, part in quantizable(decoder).items():
        replace(decoder, name, pack(name, part, config.to))


def _by_gptq(decoder: Decoder, calibration: list[int]) -> None:
    size = min(WINDOW, decoder.config.context)
    windows = torch.tensor(calibration[: len(calibration) // size * size]).view(-1, size)
    layers = decoder.config.layers

    def report(layer: int) -> None:
        print(f"\rlayer {layer + 1} of {layers}", end="\n" if layer + 1 == layers else "", file=sys.stderr, flush=True)

    quantize_layers(decoder, torch.split(windows, max(1, 4096 // size)), report)


def _require_plain(config: QuantizeConfig, quantized: bool, adapted: bool, decoder: Decoder) -> None:
    problems = [f"{config.model}: is quantized already; name the model that it was made of"] if quantized else []
    if adapted:
        problems.append(f"{config.model}: has an adapter; merge it first: scratchlm export --to hf, then import")
    if isinstance(decoder.config.feed_forward, ExpertsConfig):
        problems.append(f"{config.model}: is a mixture of experts, which cannot be quantized here; export it to gguf")
    raise_all(problems)


def _texts(config: QuantizeConfig, tokenizer: Tokenizer) -> tuple[list[int] | None, list[int], str]:
    """Return the ids to calibrate with, if any, those to measure on, and what the latter are called.

    Without a text to measure on, that is the last quarter of the one to calibrate with, else embedded stories.
    """
    calibration = None
    if config.calibrate is not None:
        calibration = first_tokens(config.calibrate, tokenizer, CALIBRATION_TOKENS + MEASURED_TOKENS)
        if len(calibration) < 4 * WINDOW:
            raise UserError(
                f"--calibrate {config.calibrate}: {len(calibration):,} tokens; give at least {4 * WINDOW:,}"
            )
    if config.text is not None:
        calibration = None if calibration is None else calibration[:CALIBRATION_TOKENS]
        return calibration, first_tokens(config.text, tokenizer, MEASURED_TOKENS), config.text
    if calibration is not None:
        cut = 3 * len(calibration) // 4
        return calibration[:cut], calibration[cut:][:MEASURED_TOKENS], f"the rest of {config.calibrate}"
    return None, first_tokens("storyworld:100kB", tokenizer, MEASURED_TOKENS), "embedded stories"


def _measured(form: str, folder: Path, model: SavedModel, ids: list[int]) -> QuantizedForm:
    length = min(model.decoder.config.context, WINDOW)
    bits = held_out_loss(model.decoder, model.tokenizer, ArrayTokens(np.array(ids)), length=length).bits_per_byte
    return QuantizedForm(form, (folder / WEIGHTS_FILE).stat().st_size / 1e6, bits, _speed(model.decoder, ids))


def _speed(decoder: Decoder, ids: list[int]) -> float:
    """Return the tokens a second of the median of three texts, the first of which also compiles and is not counted."""
    engine = Engine(decoder, compiled=worth_compiling(decoder))
    prompt = ids[: max(1, min(16, decoder.config.context // 2))]

    def measured() -> float:
        times = [time.perf_counter() for _ in stream_ids(engine, prompt, SamplingConfig(max_tokens=WRITTEN_TOKENS))]
        return (len(times) - 1) / (times[-1] - times[0])

    return statistics.median([measured() for _ in range(4)][1:])
