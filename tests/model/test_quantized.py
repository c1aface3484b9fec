"""Matrices of whole numbers: exact where they can be, near where they must be, and stored without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchlm.evaluation.quantize import to_nearest
from scratchlm.model.config import MLPConfig, SwiGLUConfig
from scratchlm.model.gptq import pack_gptq, quantize_layers
from scratchlm.model.quantizationconfig import QuantizationConfig
from scratchlm.model.quantized import (
    GROUP,
    MOST,
    TILE,
    Quantized,
    QuantizedLinear,
    lay_out,
    pack_int4,
    pack_int8,
    quantizable,
    round_inputs,
    round_int4,
    unpack,
)
from scratchlm.weights.checkpoint import SavedModel, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, random_ids, toy_config


def drawn(outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("inputs", [1, GROUP, 2 * GROUP + 7])
@pytest.mark.parametrize("outputs", [1, TILE - 1, TILE, 2 * TILE + 5])
def test_rows_and_parts_of_a_matrix_are_those_of_the_whole(outputs: int, inputs: int) -> None:
    weight = drawn(outputs, inputs)
    for matrix in (pack_int8(weight), pack_int4(weight)):
        whole = matrix.unpacked()
        assert matrix.shape == whole.shape == weight.shape
        assert torch.equal(matrix.rows(torch.arange(outputs)), whole)
        first, last = outputs // 3, outputs - outputs // 4
        assert torch.equal(matrix.unpacked(first, last), whole[first:last])


@given(st.integers(0, 10_000))
def test_no_weight_is_further_off_than_half_a_step(seed: int) -> None:
    weight = drawn(7, GROUP, seed)
    matrix = pack_int8(weight)
    largest = weight.abs().amax(1, keepdim=True)
    assert bool(((matrix.unpacked() - weight).abs() <= largest / 127 * 0.5 + largest * 1e-3).all())
    span = weight.amax(1, keepdim=True) - weight.amin(1, keepdim=True)
    off = (pack_int4(weight).unpacked() - weight).abs()
    assert bool((off <= span * (0.1 + 0.5 / MOST + 0.01)).all())  # clipped by a tenth of the span, and half a step


@given(st.integers(0, 10_000), st.integers(1, 3 * GROUP))
def test_inputs_are_rounded_to_half_a_step_of_their_group(seed: int, size: int) -> None:
    inputs = drawn(3, size, seed) * torch.tensor([[1e-3], [1.0], [1e3]])
    filled = torch.nn.functional.pad(inputs, (0, -size % GROUP)).unflatten(1, (-1, GROUP))
    step = (filled.abs().amax(2, keepdim=True) / 127).expand_as(filled).flatten(1)[:, :size]
    assert bool(((round_inputs(inputs) - inputs).abs() <= step * 0.5001).all())
    assert bool(((round_inputs(inputs, twice=True) - inputs).abs() <= step * 0.5001 / 127).all())
    assert torch.equal(round_inputs(-inputs), -round_inputs(inputs))


def test_no_rows_are_no_products() -> None:
    layer = QuantizedLinear(pack_int8(drawn(5, GROUP + 1)), None)
    assert layer(torch.empty(0, GROUP + 1)).shape == (0, 5)


def test_inputs_that_are_no_number_are_noticed_and_zeros_stay() -> None:
    inputs = torch.zeros(3, GROUP + 1)
    assert torch.equal(round_inputs(inputs), inputs)
    inputs[0, 3], inputs[1, GROUP] = torch.nan, -torch.inf
    for twice in (False, True):
        rounded = round_inputs(inputs, twice)
        assert rounded[0, :GROUP].isnan().all()
        assert rounded[1, GROUP:].isnan().all()
        assert torch.equal(rounded[2], inputs[2])
        assert not rounded[0, GROUP:].any()


def test_what_the_codes_can_say_is_kept_exactly() -> None:
    codes = torch.randint(0, MOST + 1, (TILE + 3, 3 * GROUP), generator=torch.Generator().manual_seed(1))
    codes[:, ::GROUP], codes[:, 1::GROUP] = 0, MOST
    scales = (torch.rand(TILE + 3, 3, generator=torch.Generator().manual_seed(2)) + 0.5).half().float()
    minima = (-8 * scales).half().float()
    wide, low = (each.repeat_interleave(GROUP, 1) for each in (scales, minima))
    packed = lay_out(round_int4(codes * wide + low, scales, minima), scales, minima)
    assert torch.equal(packed.unpacked(), codes * wide + low)
    torch.testing.assert_close(pack_int4(codes * wide + low).unpacked(), codes * wide + low, atol=0.02, rtol=0.0)
    for same in (0.0, 0.5):
        assert torch.equal(pack_int4(torch.full((3, GROUP), same)).unpacked(), torch.full((3, GROUP), same))
    assert torch.equal(pack_int8(torch.zeros(3, 5)).unpacked(), torch.zeros(3, 5))


def test_int4_takes_five_bits_a_weight() -> None:
    weight = drawn(4 * TILE, 8 * GROUP)
    assert pack_int4(weight).nbytes == weight.numel() * 5 // 8
    assert pack_int8(weight).nbytes == weight.numel() * 17 // 16


def test_gptq_changes_the_products_less_than_rounding_does() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(600, 64, generator=generator) @ torch.randn(64, 64, generator=generator)
    weight = drawn(50, 64)
    exact = inputs @ weight.T

    def error(matrix: Quantized) -> float:
        return float((inputs @ matrix.unpacked().T - exact).square().mean())

    assert error(pack_gptq(weight, inputs.T @ inputs)) < 0.7 * error(pack_int4(weight))
    # Inputs that never go together leave nothing to make up for.
    alone = torch.eye(64)
    torch.testing.assert_close(pack_gptq(weight, alone).unpacked(), pack_int4(weight).unpacked())


def test_gptq_of_all_layers_keeps_what_a_model_says_better_than_rounding() -> None:
    config = toy_config("tiny", feed_forward=SwiGLUConfig(hidden=64), layers=3)
    ids = random_ids(8, 20)
    exact = random_decoder(config)(ids)

    def error(quantize: object) -> float:
        decoder = random_decoder(config)
        if quantize is quantize_layers:
            quantize_layers(decoder, [ids[:4], ids[4:]])
        to_nearest(decoder, QuantizationConfig("int4"))
        return float((decoder(ids) - exact).square().mean().detach())

    assert error(quantize_layers) < error(None)


@pytest.mark.parametrize("to", ["int8", "int4"])
@pytest.mark.parametrize("name", ["tiny", "default", "gpt2"])
def test_a_quantized_model_is_stored_and_read_without_loss(
    name: str, to: Literal["int8", "int4"], tmp_path: Path
) -> None:
    inside = MLPConfig(hidden=64, bias=True) if name == "gpt2" else SwiGLUConfig(hidden=64)
    decoder = random_decoder(toy_config(name, vocabulary_size=BYTE_VOCABULARY, feed_forward=inside))
    parameters, chosen = decoder.parameter_count(), QuantizationConfig(to)
    to_nearest(decoder, chosen)
    assert not quantizable(decoder)
    assert decoder.parameter_count() == parameters
    save_model(tmp_path / "model", SavedModel(decoder, byte_tokenizer(), quantization=chosen))
    read = load_model(tmp_path / "model")
    assert read.quantization == chosen
    ids = random_ids(2, 9)
    expected = decoder(ids).detach()
    assert torch.equal(read.decoder(ids), expected)
    assert read.decoder.dtype == torch.float32
    unpack(read.decoder)
    for name, part in read.decoder.named_parameters():
        assert part.is_floating_point(), name
    plain = read.decoder(ids).detach()
    assert float((plain - expected).norm()) < 0.03 * float(expected.norm())  # inputs are no longer rounded
