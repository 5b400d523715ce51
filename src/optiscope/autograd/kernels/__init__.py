"""Array code behind the operations, as named sets that a tape is made with.

    reference    float and complex: plain loops over the kernel window, what the others are checked against
    im2col       float32 and float64: matrix products over blocks that stay in cache, in memory that is used again
    winograd     the same with half the multiplications, where kernels are 3 x 3 and channels many; rounds three times
                 as coarsely
    numba        winograd along both axes, in compiled loops (`optiscope[fast]`); float32, other dtypes as winograd

The sets differ in rounding, nothing else. Each function is given the `Node` of its call, for its buffers. Images
are [N, H, W, C], convolution weights [kh, kw, Cin, Cout].

The first three need NumPy only, and are in `KERNELS`. Whoever asks for "numba" has numba imported, which takes as long
as everything else together, and at the very first time the loops compiled: the log tells of it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from optiscope.autograd.kernels import fused, im2col, reference, winograd
from optiscope.autograd.node import Array, Node
from optiscope.errors import UsageError, unknown

Pair = tuple[int, int]


@dataclass(frozen=True)
class Kernels:
    """The array functions of one set, and the dtypes that they compute in.

    `conv2d(node, x, w, b, stride, padding)` returns y; `b` may be None. `conv2d_grad(node, dy, x, w, stride,
    padding, dx, dw)` fills `dx` and `dw`, either of which may be None. `max_pool2d(node, x, size, stride)` returns
    y, `max_pool2d_grad(node, dy, x, y, size, stride, dx)` fills `dx`; the first maximum of a window, by rows, wins
    a tie. `relu(x, out)` fills `out`, `relu_grad(node, dy, y, dx)` fills `dx` given the value y of the forward pass.

    `conv_relu_pool(node, x, w, b, padding, pool)` returns y: a convolution with stride 1, a 2 x 2 max-pool if `pool`,
    the bias and a ReLU. `conv_relu_pool_grad(node, dy, x, w, y, padding, pool, dx, dw, db)` fills those of the three
    gradients that are not None.
    """

    name: str
    dtypes: tuple[str, ...]
    conv2d: Callable[[Node, Array, Array, Array | None, Pair, Pair], Array]
    conv2d_grad: Callable[[Node, Array, Array, Array, Pair, Pair, Array | None, Array | None], None]
    max_pool2d: Callable[[Node, Array, Pair, Pair], Array]
    max_pool2d_grad: Callable[[Node, Array, Array, Array, Pair, Pair, Array], None]
    conv_relu_pool: Callable[[Node, Array, Array, Array, int, bool], Array]
    conv_relu_pool_grad: Callable[
        [Node, Array, Array, Array, Array, int, bool, Array | None, Array | None, Array | None], None
    ]
    relu: Callable[[Array, Array], None]
    relu_grad: Callable[[Node, Array, Array, Array], None]


_IM2COL = Kernels(
    name="im2col",
    dtypes=("float32", "float64"),
    conv2d=im2col.conv2d,
    conv2d_grad=im2col.conv2d_grad,
    max_pool2d=im2col.max_pool2d,
    max_pool2d_grad=im2col.max_pool2d_grad,
    conv_relu_pool=fused.conv_relu_pool,
    conv_relu_pool_grad=fused.conv_relu_pool_grad,
    relu=im2col.relu,
    relu_grad=im2col.relu_grad,
)

KERNELS: Mapping[str, Kernels] = MappingProxyType(
    {
        "reference": Kernels(
            name="reference",
            dtypes=("float32", "float64", "complex64", "complex128"),
            conv2d=reference.conv2d,
            conv2d_grad=reference.conv2d_grad,
            max_pool2d=reference.max_pool2d,
            max_pool2d_grad=reference.max_pool2d_grad,
            conv_relu_pool=reference.conv_relu_pool,
            conv_relu_pool_grad=reference.conv_relu_pool_grad,
            relu=reference.relu,
            relu_grad=reference.relu_grad,
        ),
        "im2col": _IM2COL,
        "winograd": replace(
            _IM2COL,
            name="winograd",
            conv_relu_pool=winograd.conv_relu_pool,
            conv_relu_pool_grad=winograd.conv_relu_pool_grad,
        ),
    }
)
"""The sets that need NumPy only, by name."""

AUTO, COMPILED, FASTEST = "auto", "numba", "winograd"


def available() -> tuple[str, ...]:
    """Return the names of the sets that can be had here."""
    return (*KERNELS, COMPILED) if importlib.util.find_spec("numba") else tuple(KERNELS)


def find(name: str) -> Kernels:
    """Return the set called `name`; UsageError, with the nearest name, if there is none or if it needs numba."""
    if name == COMPILED:
        return _compiled()
    if name not in KERNELS:
        raise unknown("kernels", name, (*KERNELS, COMPILED))
    return KERNELS[name]


def resolve(name: str) -> str:
    """Return the name of the set that `name` stands for: "auto" is the fastest that can be had. UsageError as `find`.

    A numba that is installed but cannot be imported, as with a newer NumPy than it knows, counts as none.
    """
    if name != AUTO:
        return find(name).name
    try:
        return find(COMPILED).name
    except UsageError:
        return FASTEST


def _compiled() -> Kernels:
    try:
        from optiscope.autograd.kernels import compiled
    except ImportError as error:
        raise UsageError(
            f"kernels '{COMPILED}' need numba ({error}): pip install numba, or choose other kernels"
        ) from error
    return replace(
        KERNELS[FASTEST],
        name=COMPILED,
        conv_relu_pool=compiled.conv_relu_pool,
        conv_relu_pool_grad=compiled.conv_relu_pool_grad,
    )
