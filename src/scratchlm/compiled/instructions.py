"""Which instructions of the processor add up products of small integers, and how each of them does it.

The sums are the same everywhere, to the last integer; `plain_dots` says what they are. Four neighbouring bytes of one
vector are multiplied with four of another, and the four products are added up: one 32-bit sum from four bytes. What
differs is how much of that one instruction does.

Sources: Intel Intrinsics Guide (vpdpbusd, vpmaddubsw, vpmaddwd, vpsignb); Arm A64 instruction set (SDOT).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

from scratchlm.base.errors import UserError

LANES = 16
"""32-bit lanes of a vector here, whatever a register holds: LLVM makes two or four instructions of one."""
SETTING = "SCRATCHLM_INSTRUCTIONS"
"""Environment variable that names the instructions to use, for tests and comparisons."""
byte, short, word = ir.IntType(8), ir.IntType(16), ir.IntType(32)
BYTES, WORDS = ir.VectorType(byte, 4 * LANES), ir.VectorType(word, LANES)


def plain_dots(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return sums `(lanes,)` of products of `(4 * lanes,)` numbers, four by four: what all instructions give."""
    sums: npt.NDArray[np.int64] = (a * b).reshape(-1, 4).sum(1)
    return sums


def call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    """Call an operation of LLVM."""
    kind = ir.FunctionType(result, [each.type for each in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def parts(builder: Any, vector: Any, count: int) -> list[Any]:
    """Cut a vector into equal parts."""
    size = vector.type.count // count
    places = [list(range(size * part, size * (part + 1))) for part in range(count)]
    return [builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(word, size), each)) for each in places]


def joined(builder: Any, pieces: list[Any]) -> Any:
    """Put vectors one after the other."""
    while len(pieces) > 1:
        places = ir.VectorType(word, 2 * pieces[0].type.count)
        every = ir.Constant(places, list(range(places.count)))
        pieces = [builder.shuffle_vector(a, b, every) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def every_other(builder: Any, vector: Any) -> tuple[Any, Any]:
    """Return the lanes with even and with odd numbers."""
    count = vector.type.count
    places = ir.VectorType(word, count // 2)
    even, odd = (
        builder.shuffle_vector(vector, vector, ir.Constant(places, list(range(at, count, 2)))) for at in (0, 1)
    )
    return even, odd


def filled(kind: Any, number: float) -> Any:
    """Return a constant vector of one number."""
    return ir.Constant(kind, [number] * kind.count)


class Portable:
    """Multiplications and additions that any processor has, on 16 bits as far as they suffice."""

    offset = 0
    """What is added to signed weights, since the instruction takes unsigned ones."""
    tested = True
    """Whether the tests have run on a processor that has it."""

    def byte_dots(self, builder: Any, sums: Any, weights: Any, inputs: Any) -> Any:
        """Add sums of four products of signed weights (-127 to 127) and inputs (-127 to 127).

        Two products fit into 16 bits: 2 * 127 * 127 = 32,258.
        """
        wide = ir.VectorType(short, BYTES.count)
        even, odd = every_other(builder, builder.mul(builder.sext(weights, wide), builder.sext(inputs, wide)))
        pairs = builder.sext(builder.add(even, odd), ir.VectorType(word, 2 * LANES))
        return builder.add(sums, builder.add(*every_other(builder, pairs)))

    def nibble_dots(self, builder: Any, sums: Any, weights: list[Any], inputs: list[Any]) -> Any:
        """Add sums of products of several vectors of weights (0 to 15) and of inputs (-127 to 127)."""
        for each, other in zip(weights, inputs, strict=True):
            sums = self.byte_dots(builder, sums, each, other)
        return sums


class Avx2(Portable):
    """vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits, vpmaddwd two of these sums in 32."""

    def byte_dots(self, builder: Any, sums: Any, weights: Any, inputs: Any) -> Any:
        """Add sums of |w| times x with the sign of w; two products fit into 16 bits, as above."""
        added = []
        for w, x in zip(parts(builder, weights, 2), parts(builder, inputs, 2), strict=True):
            size = call(builder, "llvm.abs.v32i8", w.type, w, ir.Constant(ir.IntType(1), 0))
            signed = call(builder, "llvm.x86.avx2.psign.b", w.type, x, w)
            added.append(self._widened(builder, self._pairs(builder, size, signed)))
        return builder.add(sums, joined(builder, added))

    def nibble_dots(self, builder: Any, sums: Any, weights: list[Any], inputs: list[Any]) -> Any:
        """Add in 16 bits as long as that suffices: eight sums of two products are at most 8 * 2 * 15 * 127 = 30,480."""
        assert len(weights) <= 8
        halves: list[Any] = [None, None]
        for each, other in zip(weights, inputs, strict=True):
            for half, (w, x) in enumerate(zip(parts(builder, each, 2), parts(builder, other, 2), strict=True)):
                pairs = self._pairs(builder, w, x)
                halves[half] = pairs if halves[half] is None else builder.add(halves[half], pairs)
        return builder.add(sums, joined(builder, [self._widened(builder, each) for each in halves]))

    def _pairs(self, builder: Any, unsigned: Any, signed: Any) -> Any:
        return call(builder, "llvm.x86.avx2.pmadd.ub.sw", ir.VectorType(short, 16), unsigned, signed)

    def _widened(self, builder: Any, pairs: Any) -> Any:
        ones = filled(ir.VectorType(short, 16), 1)
        return call(builder, "llvm.x86.avx2.pmadd.wd", ir.VectorType(word, 8), pairs, ones)


class Vnni(Portable):
    """vpdpbusd adds four products of an unsigned and a signed byte to 32 bits."""

    offset = 128

    def __init__(self, bits: int, *, tested: bool) -> None:
        self._bits, self.tested = bits, tested

    def byte_dots(self, builder: Any, sums: Any, weights: Any, inputs: Any) -> Any:
        """Add sums of (w + 128) x: to flip the highest bit of a signed byte adds 128 to it."""
        return self._dots(builder, sums, builder.xor(weights, filled(BYTES, 128)), inputs)

    def nibble_dots(self, builder: Any, sums: Any, weights: list[Any], inputs: list[Any]) -> Any:
        """Add sums of products."""
        for each, other in zip(weights, inputs, strict=True):
            sums = self._dots(builder, sums, each, other)
        return sums

    def _dots(self, builder: Any, sums: Any, unsigned: Any, signed: Any) -> Any:
        count = 512 // self._bits
        as_words = [sums, *(builder.bitcast(each, WORDS) for each in (unsigned, signed))]  # as LLVM 20 wants them
        pieces = zip(*(parts(builder, each, count) for each in as_words), strict=True)
        name = f"llvm.x86.avx512.vpdpbusd.{self._bits}"
        added = [call(builder, name, total.type, total, u, s) for total, u, s in pieces]
        return joined(builder, added)


class ArmDot(Portable):
    """SDOT adds four products of signed bytes to 32 bits."""

    tested = False

    def byte_dots(self, builder: Any, sums: Any, weights: Any, inputs: Any) -> Any:
        """Add sums of products; weights of 0 to 15 are signed bytes too."""
        pieces = zip(*(parts(builder, each, 4) for each in (sums, weights, inputs)), strict=True)
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        return joined(builder, [call(builder, name, total.type, total, w, x) for total, w, x in pieces])


CHOICES: dict[str, tuple[tuple[str, ...], Portable]] = {
    "avx512-vnni": (("avx512vnni", "avx512bw"), Vnni(512, tested=True)),
    "avx-vnni": (("avxvnni",), Vnni(256, tested=False)),
    "avx2": (("avx2", "fma", "f16c"), Avx2()),
    "arm-dot": (("dotprod",), ArmDot()),
    "portable": ((), Portable()),
}
"""What a processor must have for each way to add up products, the fastest first."""


def target() -> tuple[str, frozenset[str]]:
    """Return the name and the features of the processor that numba compiles for."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    return name, frozenset(each[1:] for each in features.split(",") if each.startswith("+"))


def chosen() -> str:
    """Return the name of the instructions to use: those that the setting names, else the fastest of the processor.

    Raises `UserError` for a setting that names none, or some that the processor lacks.
    """
    name, features = target()
    usable = [each for each, (needed, _) in CHOICES.items() if features.issuperset(needed)]
    setting = os.environ.get(SETTING)
    if setting and setting not in usable:
        raise UserError(f"{SETTING}={setting}: this processor ({name}) has {', '.join(usable)}; name one, or unset it")
    return setting or usable[0]
