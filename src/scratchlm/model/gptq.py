"""GPTQ: round a matrix to int4 so that its products change little, not its weights.

Columns are rounded one after the other. The error of a column is spread over those that are still to be rounded, in
the proportion in which their inputs go together; that is what the second moments of the inputs show.

Source: E. Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scratchlm.model.attention.base import AttentionContext
from scratchlm.model.decoder import Decoder
from scratchlm.model.quantized import (
    GROUP,
    Quantized,
    fit_groups,
    in_int4,
    lay_out,
    nearest_codes,
    quantizable,
    replace,
)

DAMPING = 0.01
"""Added to the diagonal of the moments, as a fraction of its mean, so that they can be inverted."""
COLUMNS = 128
"""Columns that are rounded before their errors reach all later ones: larger products, the same result."""


def pack_gptq(weight: Float[Tensor, "O I"], moments: Float[Tensor, "I I"]) -> Quantized:
    """Return the matrix in int4; `moments` is the sum of x x^T over inputs x of its layer.

    The weights of an input that was always zero are rounded to nearest.
    """
    weight, moments = weight.detach().float().clone(), moments.double()
    moments = moments + torch.diag((moments.diagonal() == 0).double())
    moments = moments + torch.eye(len(moments)) * DAMPING * moments.diagonal().mean()
    spread = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(moments)), upper=True).float()
    inputs = weight.size(1)
    codes = torch.empty_like(weight)
    scales, minima = (torch.empty(weight.size(0), -(-inputs // GROUP)) for _ in range(2))
    for start in range(0, inputs, COLUMNS):
        end = min(start + COLUMNS, inputs)
        errors = torch.empty(weight.size(0), end - start)
        for at in range(start, end):
            group = at // GROUP
            if at % GROUP == 0:
                fitted = fit_groups(weight[:, at : at + GROUP].contiguous())
                scales[:, group], minima[:, group] = (each[:, 0] for each in fitted)
            scale, minimum, column = scales[:, group], minima[:, group], weight[:, at]
            codes[:, at] = code = nearest_codes(column, scale, minimum)
            errors[:, at - start] = error = (column - code * scale - minimum) / spread[at, at]
            weight[:, at:end] -= error[:, None] * spread[at, at:end]
        weight[:, end:] -= errors @ spread[start:end, end:]
    return lay_out(codes.to(torch.uint8), scales, minima)


@torch.no_grad()
def quantize_layers(
    decoder: Decoder, texts: Sequence[Int[Tensor, "_ T"]], after_layer: Callable[[int], None] = lambda layer: None
) -> None:
    """Quantize the matrices of all layers to int4, from the first layer to the last.

    Each layer reads `texts` as the quantized layers before it pass them on, so that it makes up for their errors too.
    `after_layer` is called with the number of each layer that is done. Costs two forward passes of the texts and the
    memory of their streams.
    """
    decoder.eval()
    entered = [decoder.entering(ids) for ids in texts]
    streams = [embedded for embedded, _ in entered]
    for number, block in enumerate(decoder.blocks):
        chosen = {name: part for name, part in quantizable(block).items() if in_int4(f"blocks.{name}", part, "int4")}

        run = partial(_through, decoder, number, streams, entered)
        moments = _input_moments(chosen, run)
        for name, part in chosen.items():
            replace(block, name, pack_gptq(part.weight, moments[name]))
        streams = run()
        after_layer(number)


def _through(
    decoder: Decoder, number: int, streams: list[Tensor], entered: list[tuple[Tensor, list[AttentionContext]]]
) -> list[Tensor]:
    """Return the streams after one layer."""
    return [
        decoder.layer(number, stream, embedded, contexts[number])
        for stream, (embedded, contexts) in zip(streams, entered, strict=True)
    ]


def _input_moments(layers: dict[str, nn.Linear | nn.Embedding], run: Callable[[], Any]) -> dict[str, Tensor]:
    """Return the sum of x x^T over the inputs x of each layer while `run` is called."""
    moments = {name: torch.zeros(part.weight.size(1), part.weight.size(1)) for name, part in layers.items()}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = inputs[0].flatten(0, -2).float()
            moments[name] += rows.T @ rows

        return hook

    hooks = [part.register_forward_pre_hook(note(name)) for name, part in layers.items()]
    run()
    for hook in hooks:
        hook.remove()
    return moments
