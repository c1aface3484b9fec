"""How a model's matrices are quantized. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class QuantizationConfig:
    """Which integers stand for the weights of a model.

    Tables of tokens, the head among them, are always in int8: they are looked up or decide between all tokens, and lose
    most in four bits.
    """

    to: Literal["int8", "int4"] = "int8"
    """int8: a scale for 32 inputs of an output. int4: a scale and a minimum."""
    method: Literal["nearest", "gptq", "stored"] = "nearest"
    """nearest: each weight to its nearest code. stored: the codes of a GGUF file. gptq: weights that are still to be
    rounded make up for the errors of those before them, as measured on calibration text (Frantar et al. 2022, arXiv
    2210.17323)."""
