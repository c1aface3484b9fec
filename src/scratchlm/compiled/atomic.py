"""What numba has no word for: arrays at addresses, counters that threads change together, and reading memory ahead.

An address is passed as a number, so that one table holds the places of all tensors of a model. Whoever fills such a
table keeps the tensors alive.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """Return the pointer to an address, for `numba.carray`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), code


@intrinsic
def fetch_add(typing_context: Any, counter: Any, value: Any) -> Any:
    """Add to the first number of an int64 array as one indivisible operation; return what it was before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", place, arguments[1], "seq_cst")

    return types.int64(counter, types.int64), code


@intrinsic
def fetch(typing_context: Any, counter: Any) -> Any:
    """Return the first number of an int64 array as other threads last wrote it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(counter), code


@intrinsic
def read_ahead(typing_context: Any, array: Any, bytes_ahead: Any) -> Any:
    """Have the processor fetch the line of memory some bytes after an array's beginning; any address will do."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        begin = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(builder.bitcast(begin, cgutils.voidptr_t), [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(fetch, [place, number(0), number(3), number(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.int64), code
