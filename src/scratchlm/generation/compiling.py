"""Whether the engine computes next tokens by compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scratchlm.base.terminal import say
from scratchlm.model.blocks import Blocks
from scratchlm.model.decoder import Decoder

if TYPE_CHECKING:
    from scratchlm.compiled.decoder import CompiledDecoder

WORTH_COMPILING = 1_000_000
"""Parameters from which compiled code is used."""


def worth_compiling(decoder: Decoder) -> bool:
    """Return whether a model is so large that it should write by compiled code, whose first use takes seconds."""
    return decoder.device.type == "cpu" and decoder.parameter_count() >= WORTH_COMPILING


def is_hooked(decoder: Decoder) -> bool:
    """Return whether a part of the layers has a hook or another forward, which compiled code would not call."""
    parts = [*decoder.blocks.modules(), decoder.final_norm, *([] if decoder.head is None else [decoder.head])]
    return any(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in parts)


def _is_ours(decoder: Decoder) -> bool:
    """Return whether all parts of a decoder are of this package: compiled code computes what these compute."""
    return all(type(part).__module__.partition(".")[0] in ("torch", "scratchlm") for part in decoder.modules())


def compiled_form(decoder: Decoder, blocks: Blocks) -> CompiledDecoder | None:
    """Return the compiled form of a decoder; None where there is no code for it, or numba does not work here."""
    if decoder.device.type != "cpu" or not _is_ours(decoder):
        return None
    try:
        from scratchlm.compiled.decoder import CompiledDecoder, unsupported
    except (ImportError, RuntimeError) as error:  # no numba, or no folder to keep compiled code in
        say(f"(numba does not work here, so tokens are written more slowly: {error})")
        return None
    return None if unsupported(decoder) else CompiledDecoder(decoder, blocks, torch.get_num_threads())
