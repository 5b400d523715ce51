"""Sixteen float32 numbers as one value in code that numba compiles, and the product of two small matrices made of them.

LLVM turns a loop over channels into vector instructions only if it can prove that the arrays written to are not those
read from, and gives up at the dozens of places of a Winograd tile. So the kernels say it themselves: `load` sixteen
neighbouring channels, add and multiply them like numbers, `store` them. LLVM makes one AVX-512 register of such a
value, two of AVX, four of NEON.

`multiply` is the innermost loop of a matrix product: `ROWS` by `COLUMNS` of the result stay in registers while the loop
goes over the depth. With the 32 registers of AVX-512 these are 8 by 32, so that of every ten loads there are sixteen
multiplications. AVX2 has 16 registers of half the width: 4 by 16 is what they hold, and 8 by 32 there, which has to go
to memory and back, took twice as long. A BLAS does as much for large matrices; these have 16 to 32 columns, and are in
cache already, so that its copies into another order do not pay. Each sum is added up in the same order either way.

numba's cache of compiled code notices changes of `loops.py`, not of this file: whoever changes it removes the cache.

Every comparison is chosen for what it does to NaN: one that comes in goes out.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
ROWS, COLUMNS = (8, 2 * LANES) if get_host_cpu_features().get("avx512f") else (4, LANES)
"""The part of a product that its innermost loop keeps in registers."""

_FLOAT = ir.FloatType()
_LLVM = ir.VectorType(_FLOAT, LANES)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_INDEX = ir.IntType(32)


class _Vector(types.Type):
    def __init__(self):
        super().__init__(name="float32x16")


VECTOR = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _LLVM)


def _operator(function, instruction):
    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            return signature(VECTOR, *args) if args == (VECTOR, VECTOR) else None

    @lower_builtin(function, VECTOR, VECTOR)
    def _lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


for _function, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub")):
    _operator(_function, _instruction)


def _splat(builder, number):
    first = builder.insert_element(ir.Constant(_LLVM, ir.Undefined), number, ir.Constant(_INDEX, 0))
    zeros = ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_LLVM, ir.Undefined), zeros)


def _zeros():
    return ir.Constant(_LLVM, [0.0] * LANES)


def _address(context, builder, kind, array, index):
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


def _load(builder, address, kind, align):
    return builder.load(builder.bitcast(address, kind.as_pointer()), align=align)


def _fused(builder):
    """Return a * b + c, with one rounding where the processor can."""
    kind = ir.FunctionType(_LLVM, [_LLVM] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")


@intrinsic
def load(typing, array, index):
    """Return array[index : index + 16]."""

    def emit(context, builder, sig, args):
        return _load(builder, _address(context, builder, sig.args[0], *args), _LLVM, 4)

    return VECTOR(array, types.intp), emit


@intrinsic
def store(typing, array, index, value):
    """Set array[index : index + 16]."""

    def emit(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(address, _LLVM.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), emit


@intrinsic
def load_bytes(typing, array, index):
    """Return sixteen uint8 as float32."""

    def emit(context, builder, sig, args):
        return builder.uitofp(_load(builder, _address(context, builder, sig.args[0], *args), _BYTES, 1), _LLVM)

    return VECTOR(array, types.intp), emit


@intrinsic
def store_bytes(typing, array, index, value):
    """Store small whole numbers as uint8."""

    def emit(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], *args[:2])
        whole = builder.fptoui(args[2], _BYTES)
        builder.store(whole, builder.bitcast(address, _BYTES.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), emit


@intrinsic
def splat(typing, number):
    """Return sixteen times the same number."""

    def emit(context, builder, sig, args):
        return _splat(builder, args[0])

    return VECTOR(types.float32), emit


@intrinsic
def multiply_add(typing, a, b, c):
    """Return a * b + c."""

    def emit(context, builder, sig, args):
        return builder.call(_fused(builder), args)

    return VECTOR(VECTOR, VECTOR, VECTOR), emit


@intrinsic
def where_beaten(typing, old, new, x, y):
    """Return y where `new` is greater than `old` or NaN, else x: the first of equal maxima stays."""

    def emit(context, builder, sig, args):
        old, new, x, y = args
        greater = builder.fcmp_ordered(">", new, old)
        return builder.select(builder.or_(greater, builder.fcmp_unordered("uno", new, new)), y, x)

    return VECTOR(VECTOR, VECTOR, VECTOR, VECTOR), emit


@intrinsic
def where_positive(typing, a, x):
    """Return x where a > 0, else 0."""

    def emit(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered(">", args[0], _zeros()), args[1], _zeros())

    return VECTOR(VECTOR, VECTOR), emit


@intrinsic
def where_equal(typing, a, b, x):
    """Return x where a == b, else 0."""

    def emit(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("==", args[0], args[1]), args[2], _zeros())

    return VECTOR(VECTOR, VECTOR, VECTOR), emit


@intrinsic
def rectified(typing, a):
    """Return a where it is not negative, else 0; NaN stays."""

    def emit(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<", args[0], _zeros()), _zeros(), args[0])

    return VECTOR(VECTOR), emit


def _multiply(columns):
    """Return the intrinsic that adds `ROWS` rows of A @ B to `columns` vectors of C, or puts them there.

    Element (i, k) of A is a[a0 + i * a_row + k * a_step]; row k of B starts at b0 + k * b_row.
    """

    @intrinsic
    def multiply(typing, a, a0, a_row, a_step, b, b0, b_row, c, c0, c_row, depth, add):
        def emit(context, builder, sig, args):
            a, a0, a_row, a_step, b, b0, b_row, c, c0, c_row, depth, add = args
            kinds = sig.args
            # Neighbours would be loaded as one and then taken apart, which takes longer than a load each: what
            # is hidden in no instructions of assembler is not known to be 1.
            a_row = builder.asm(ir.FunctionType(a_row.type, [a_row.type]), "", "=r,0", [a_row], False)
            fused = _fused(builder)
            places = [(i, j) for i in range(ROWS) for j in range(columns)]
            sums = {place: cgutils.alloca_once(builder, _LLVM) for place in places}
            targets = {}
            for i, j in places:
                index = builder.add(c0, builder.mul(c_row, ir.Constant(c0.type, i)))
                index = builder.add(index, ir.Constant(c0.type, LANES * j))
                targets[i, j] = builder.bitcast(_address(context, builder, kinds[7], c, index), _LLVM.as_pointer())
                builder.store(_zeros(), sums[i, j])
            with builder.if_then(add):
                for place in places:
                    builder.store(builder.load(targets[place], align=4), sums[place])
            with cgutils.for_range(builder, depth) as loop:
                row = builder.add(b0, builder.mul(loop.index, b_row))
                right = [
                    _load(
                        builder,
                        _address(context, builder, kinds[4], b, builder.add(row, ir.Constant(row.type, LANES * j))),
                        _LLVM,
                        4,
                    )
                    for j in range(columns)
                ]
                first = builder.add(a0, builder.mul(loop.index, a_step))
                for i in range(ROWS):
                    index = builder.add(first, builder.mul(a_row, ir.Constant(first.type, i)))
                    left = _splat(builder, builder.load(_address(context, builder, kinds[0], a, index)))
                    for j in range(columns):
                        total = builder.call(fused, [left, right[j], builder.load(sums[i, j])])
                        builder.store(total, sums[i, j])
            for place in places:
                builder.store(builder.load(sums[place]), targets[place], align=4)
            return context.get_dummy_value()

        i = types.intp
        return types.void(a, i, i, i, b, i, i, c, i, i, i, types.boolean), emit

    return multiply


multiply, multiply_narrow = _multiply(COLUMNS // LANES), _multiply(1)
