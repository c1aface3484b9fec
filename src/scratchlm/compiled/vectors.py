"""Vectors of 16 numbers for compiled code, and what can be done with them.

numba has no word for a vector register; LLVM has. With these few words a kernel is written as what it does to whole
vectors, and LLVM finds the instructions. Only compiled code calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model

from scratchlm.compiled.instructions import (
    BYTES,
    CHOICES,
    LANES,
    WORDS,
    byte,
    call,
    chosen,
    filled,
    short,
    target,
    word,
)

single, half = ir.FloatType(), ir.HalfType()
FLOATS = ir.VectorType(single, LANES)
FEATURES = target()[1]
FUSED = "fma" in FEATURES or "neon" in FEATURES
"""Whether the processor multiplies and adds with one rounding; LLVM would call a function for each number elsewhere."""
HALVES = "f16c" in FEATURES or "neon" in FEATURES
"""Whether the processor reads fp16."""
INSTRUCTIONS = CHOICES[chosen()][1]
"""How this processor adds up products."""
OFFSET = INSTRUCTIONS.offset
"""What its instruction adds to each signed weight."""


class Vector(types.Type):  # type: ignore[misc]
    """The type of a vector in compiled code."""

    def __init__(self, name: str, form: ir.VectorType) -> None:
        self.form = form
        super().__init__(name)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is what LLVM calls one."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.form)


bytes64, ints, floats = Vector("bytes64", BYTES), Vector("ints", WORDS), Vector("floats", FLOATS)
place, number = types.int64, types.float32


def operation(result: Any, *takes: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a word of compiled code of a function that builds its instructions from a builder and values."""

    def wrap(build: Callable[..., Any]) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return context.get_dummy_value() if result is types.void else build(builder, *values)

        def store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            build(builder, *values)
            return context.get_dummy_value()

        def definition(typing_context: Any, *given: Any) -> Any:
            return result(*takes), store if result is types.void else code

        definition.__name__, definition.__doc__ = build.__name__, build.__doc__
        names = ["typing_context", *(f"value{at}" for at in range(len(takes)))]  # numba takes no *given for arguments
        definition.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_ONLY) for name in names])  # type: ignore[attr-defined]
        return intrinsic(definition)

    return wrap


def _at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _everywhere(builder: Any, value: Any, count: int) -> Any:
    kind = ir.VectorType(value.type, count)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, word(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(word, count), [0] * count))


@operation(bytes64, place)
def load_bytes(builder: Any, address: Any) -> Any:
    """Return the 64 bytes at an address."""
    return builder.load(_at(builder, address, BYTES), align=1)


@operation(bytes64, place)
def repeat_four(builder: Any, address: Any) -> Any:
    """Return the 4 bytes at an address, 16 times."""
    return builder.bitcast(_everywhere(builder, builder.load(_at(builder, address, word), align=1), LANES), BYTES)


def _low(builder: Any, codes: Any) -> Any:
    return builder.and_(codes, filled(BYTES, 15))


@operation(bytes64, bytes64)
def low(builder: Any, codes: Any) -> Any:
    """Return the lower half of each byte."""
    return _low(builder, codes)


@operation(bytes64, bytes64)
def high(builder: Any, codes: Any) -> Any:
    """Return the upper half of each byte."""
    wide = ir.VectorType(short, 2 * LANES)
    return _low(builder, builder.bitcast(builder.lshr(builder.bitcast(codes, wide), filled(wide, 4)), BYTES))


@operation(ints, types.int32)
def fill_sums(builder: Any, value: Any) -> Any:
    """Return one integer 16 times."""
    return _everywhere(builder, value, LANES)


@operation(ints, ints, bytes64, bytes64)
def byte_dots(builder: Any, sums: Any, weights: Any, inputs: Any) -> Any:
    """Add to each sum four products of weights, signed and `OFFSET` more than they are, and inputs."""
    return INSTRUCTIONS.byte_dots(builder, sums, weights, inputs)


@operation(ints, *[bytes64] * 16)
def nibble_dots(builder: Any, *vectors: Any) -> Any:
    """Return sums of four products of weights (0 to 15) and inputs over eight vectors of each: weights, inputs, ..."""
    return INSTRUCTIONS.nibble_dots(builder, ir.Constant(WORDS, None), list(vectors[::2]), list(vectors[1::2]))


@operation(floats, ints)
def as_floats(builder: Any, sums: Any) -> Any:
    """Return integers as fp32."""
    return builder.sitofp(sums, FLOATS)


@operation(floats, number)
def fill(builder: Any, value: Any) -> Any:
    """Return one number 16 times."""
    return _everywhere(builder, value, LANES)


@operation(floats, place)
def load_floats(builder: Any, address: Any) -> Any:
    """Return the 16 fp32 numbers at an address."""
    return builder.load(_at(builder, address, FLOATS), align=4)


@operation(floats, place)
def load_halves(builder: Any, address: Any) -> Any:
    """Return the 16 fp16 numbers at an address as fp32."""
    if HALVES:
        return builder.fpext(builder.load(_at(builder, address, ir.VectorType(half, LANES)), align=2), FLOATS)
    return _widened(builder, builder.load(_at(builder, address, ir.VectorType(short, LANES)), align=2), FLOATS, WORDS)


def _widened(builder: Any, bits: Any, float_kind: Any, words: Any) -> Any:
    """Build fp32 from the bits of finite fp16: exponent and mantissa shifted into place, the exponent raised by 112."""
    constant = filled if isinstance(words, ir.VectorType) else lambda kind, value: ir.Constant(kind, value)
    wide = builder.zext(bits, words)
    size = builder.shl(builder.and_(wide, constant(words, 0x7FFF)), constant(words, 13))
    sign = builder.shl(builder.and_(wide, constant(words, 0x8000)), constant(words, 16))
    value = builder.fmul(builder.bitcast(size, float_kind), constant(float_kind, 2.0**112))
    return builder.bitcast(builder.or_(builder.bitcast(value, words), sign), float_kind)


@operation(number, place)
def load_half(builder: Any, address: Any) -> Any:
    """Return the fp16 number at an address as fp32."""
    if HALVES:
        return builder.fpext(builder.load(_at(builder, address, half), align=2), single)
    return _widened(builder, builder.load(_at(builder, address, short), align=2), single, word)


@operation(floats, floats, floats)
def times(builder: Any, a: Any, b: Any) -> Any:
    """Return products."""
    return builder.fmul(a, b)


@operation(floats, floats, floats, floats)
def add_product(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once where the processor can."""
    if not FUSED:
        return builder.fadd(builder.fmul(a, b), c)
    return call(builder, f"llvm.fma.v{LANES}f32", FLOATS, a, b, c)


@operation(types.void, floats, place)
def store_floats(builder: Any, vector: Any, address: Any) -> Any:
    """Write 16 fp32 numbers."""
    builder.store(vector, _at(builder, address, FLOATS), align=4)


@operation(number, floats)
def sum_of(builder: Any, vector: Any) -> Any:
    """Return the sum of the lanes: halves are added until one is left."""
    while vector.type.count > 1:
        count = vector.type.count // 2
        lower, upper = (
            builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(word, count), list(range(at, at + count))))
            for at in (0, count)
        )
        vector = builder.fadd(lower, upper)
    return builder.extract_element(vector, word(0))


@operation(floats, floats)
def magnitude(builder: Any, vector: Any) -> Any:
    """Return numbers without their signs."""
    return call(builder, f"llvm.fabs.v{LANES}f32", FLOATS, vector)


@operation(floats, floats, floats)
def larger(builder: Any, a: Any, b: Any) -> Any:
    """Return the larger of each two; a NaN only where both are."""
    return call(builder, f"llvm.maxnum.v{LANES}f32", FLOATS, a, b)


@operation(number, floats)
def largest_of(builder: Any, vector: Any) -> Any:
    """Return the largest lane."""
    return call(builder, f"llvm.vector.reduce.fmax.v{LANES}f32", single, vector)


@operation(ints, floats)
def nearest(builder: Any, vector: Any) -> Any:
    """Return the nearest integers, of two equally near the even one."""
    return builder.fptosi(call(builder, f"llvm.roundeven.v{LANES}f32", FLOATS, vector), WORDS)


@operation(types.int32, ints)
def total_of(builder: Any, sums: Any) -> Any:
    """Return the sum of the lanes."""
    return call(builder, f"llvm.vector.reduce.add.v{LANES}i32", word, sums)


@operation(types.void, ints, place)
def store_as_bytes(builder: Any, sums: Any, address: Any) -> Any:
    """Write 16 integers of -128 to 127 as bytes."""
    small = ir.VectorType(byte, LANES)
    builder.store(builder.trunc(sums, small), _at(builder, address, small), align=1)
