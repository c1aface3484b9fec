"""Products of whole numbers equal their plain forms: sums to the last integer, on every way that this processor has."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Callable

import llvmlite.binding as llvm
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from numba import njit

from scratchlm.compiled import products
from scratchlm.compiled.instructions import BYTES, CHOICES, SETTING, WORDS, plain_dots, target
from scratchlm.compiled.products import Rounded
from scratchlm.model.quantized import GROUP, Quantized, pack_int4, pack_int8, round_inputs

pytestmark = pytest.mark.xdist_group("compiled")
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
USABLE = [name for name, (needed, _) in CHOICES.items() if target()[1].issuperset(needed)]
PAIRS = 8
"""Vectors of weights and of inputs that nibbles are multiplied with at once."""
PROCESSORS = {
    "avx512-vnni": ("x86_64-unknown-linux-gnu", "icelake-server", "vpdpbusd"),
    "avx-vnni": ("x86_64-unknown-linux-gnu", "alderlake", "vpdpbusd"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", "vpmaddubsw"),
    "arm-dot": ("aarch64-unknown-linux-gnu", "neoverse-n1", "sdot"),
    "portable": ("x86_64-unknown-linux-gnu", "nehalem", "pmullw"),
}


def module(name: str, nibbles: bool) -> ir.Module:
    """Return a function of addresses: sums, weights and inputs, which are added to the sums."""
    made, address = ir.Module(), ir.IntType(64)
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), [address] * 3), "add")
    builder, way = ir.IRBuilder(function.append_basic_block()), CHOICES[name][1]

    def vectors(place: ir.Value, count: int) -> list[ir.Value]:
        places = [builder.add(place, address(64 * each)) for each in range(count)]
        return [builder.load(builder.inttoptr(each, BYTES.as_pointer()), align=1) for each in places]

    out = builder.inttoptr(function.args[0], WORDS.as_pointer())
    sums, count = builder.load(out, align=4), PAIRS if nibbles else 1
    weights, inputs = (vectors(each, count) for each in function.args[1:])
    if nibbles:
        sums = way.nibble_dots(builder, sums, weights, inputs)
    else:
        sums = way.byte_dots(builder, sums, weights[0], inputs[0])
    builder.store(sums, out, align=4)
    builder.ret_void()
    return made


@functools.cache
def compiled(name: str, nibbles: bool) -> tuple[Callable[..., None], object]:
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten()
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module(name, nibbles))), machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)
    return kind(engine.get_function_address("add")), engine  # the engine owns the code


@pytest.mark.parametrize("nibbles", [False, True])
@pytest.mark.parametrize("name", USABLE)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), extreme=st.booleans())
def test_sums_are_those_of_plain_python(name: str, nibbles: bool, seed: int, extreme: bool) -> None:
    draw, count = np.random.default_rng(seed), 64 * (PAIRS if nibbles else 1)
    lowest, highest = (0, 15) if nibbles else (-127, 127)
    weights = draw.choice([lowest, highest], count) if extreme else draw.integers(lowest, highest + 1, count)
    inputs = draw.choice([-127, 127], count) if extreme else draw.integers(-127, 128, count)
    before = draw.integers(-(2**20), 2**20, 16)
    sums, codes, values = before.astype(np.int32), weights.astype(np.int8), inputs.astype(np.int8)
    compiled(name, nibbles)[0](sums.ctypes.data, codes.ctypes.data, values.ctypes.data)
    expected = before + plain_dots(weights, inputs).reshape(-1, 16).sum(0)
    if not nibbles:
        expected = expected + CHOICES[name][1].offset * plain_dots(np.ones_like(inputs), inputs)
    assert np.array_equal(sums, expected)


@pytest.mark.parametrize("name", CHOICES)
def test_each_way_is_compiled_to_its_instruction(name: str) -> None:
    triple, processor, instruction = PROCESSORS[name]
    for nibbles in (False, True):
        made = module(name, nibbles)
        made.triple = triple
        machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3)
        assert instruction in machine.emit_assembly(llvm.parse_assembly(str(made)))


@njit(nogil=True)
def multiplied(kind, places, inputs, rounded, out, first, last):  # type: ignore[no-untyped-def]
    products.multiply_tiles(kind, places, inputs, rounded, out, first, last)


@njit(nogil=True)
def rounds(x, rounded):  # type: ignore[no-untyped-def]
    products.round_rows(x, rounded)


def rounded_rows(inputs: torch.Tensor, times: int) -> Rounded:
    rows, groups = len(inputs), times * -(-inputs.size(1) // GROUP)
    room = Rounded(
        np.empty((rows, GROUP * groups), np.int8),
        np.empty((rows, groups), np.float32),
        np.empty((rows, groups), np.int32),
    )
    rounds(inputs.numpy(), room)
    return room


def products_of(matrix: Quantized, rounded: Rounded, span: tuple[int, int]) -> torch.Tensor:
    places = [each.data_ptr() for each in (matrix.codes, matrix.scales)]
    places.append(0 if matrix.minima is None else matrix.minima.data_ptr())
    out = np.full((len(rounded.codes), matrix.shape[0]), np.nan, np.float32)
    kind = np.empty((0, 0, 0), np.int8 if matrix.minima is None else np.uint8)
    multiplied(kind, np.array(places), matrix.shape[1], rounded, out, *span)
    return torch.from_numpy(out)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10_000), st.integers(1, 50), st.integers(1, 100), st.integers(1, 9), st.booleans(), st.integers(1, 2)
)
def test_tiles_multiply_as_the_plain_form_does(
    seed: int, outputs: int, inputs: int, rows: int, int4: bool, times: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = (pack_int4 if int4 else pack_int8)(torch.randn(outputs, inputs, generator=generator))
    x = torch.randn(rows, inputs, generator=generator)
    rounded = rounded_rows(x, times)
    groups = -(-inputs // GROUP)
    values = torch.from_numpy(rounded.codes).view(rows, times, groups, GROUP) * torch.from_numpy(rounded.scales).view(
        rows, times, groups, 1
    )
    expected_inputs = round_inputs(x, times == 2)
    torch.testing.assert_close(values.sum(1).flatten(1)[:, :inputs], expected_inputs, rtol=1e-6, atol=1e-7)
    out = products_of(matrix, rounded, (0, outputs))
    expected = expected_inputs.double() @ matrix.unpacked().double().T
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-4)
    for row in range(rows):  # alone as among others, to the last bit
        alone = Rounded(*(each[row : row + 1].copy() for each in rounded))
        assert torch.equal(products_of(matrix, alone, (0, outputs))[0], out[row])


@pytest.mark.parametrize("strange", [torch.nan, torch.inf, -torch.inf])
def test_an_input_that_is_no_number_is_seen_in_all_products(strange: float) -> None:
    x = torch.randn(2, 70)
    x[0, 40] = strange
    out = products_of(pack_int8(torch.randn(20, 70)), rounded_rows(x, 1), (0, 20))
    assert out[0].isnan().all()
    assert out[1].isfinite().all()


def test_a_setting_that_names_no_instructions_of_this_processor_is_refused() -> None:
    code = "import scratchlm.compiled.vectors"
    environment = {**os.environ, SETTING: "abacus"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert f"{SETTING}=abacus: this processor" in ended.stderr
    assert "portable; name one, or unset it" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in USABLE if name != USABLE[0]])
def test_other_instructions_write_the_same_logits(name: str) -> None:
    code = """
import sys; sys.path[:0] = ["tests"]
import torch
from compiled.test_step import run, texts
from scratchlm.model.quantized import pack, quantizable, replace
from toys import random_decoder, toy_config
decoder = random_decoder(toy_config("default"))
for path, part in quantizable(decoder).items():
    replace(decoder, path, pack(path, part, "int8"))
print(torch.cat(run(decoder, texts([9, 5]))).double().sum().item())
"""
    sums = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, SETTING: each}, capture_output=True, text=True, check=True
        ).stdout
        for each in (USABLE[0], name)
    ]
    assert sums[0] == sums[1]
