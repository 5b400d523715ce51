"""Convolution, pool, bias and ReLU in loops that numba compiles: Winograd's F(4 x 4, 3 x 3) where kernels are 3 x 3.

Along both axes of a tile of 4 x 4 pixels, 36 multiplications take the place of 144 (see `winograd` for the maps B^T,
G and A^T; here each is used twice, as in B^T d B). NumPy would lose in sums what that saves; compiled, the sums of a
tile stay in registers and the level 1 cache. A block is a few images, whose tiles stay in the level 2 cache:

    padded [n, H + 2, W + 2, C]   a copy with a zero border, so that no tile asks where it is
    V [36, tiles, Cin]            B^T d B
    M [36, tiles, Cout] = V @ U   U = G w G^T
    y                             A^T M A, pooled, with bias, rectified; and which pixel of a pool won, a byte each

Backward, the gradient of a block before the pool is put into `padded`. Its B^T g B, multiplied by the flipped kernel's
U, gives dX as in the forward pass; dU = V^T @ (A g A^T), where V is computed again, for less than it costs to fetch it
from memory; dW = G^T dU G.

A first layer, of few channels and without dX, is convolved directly. What has other kernels than 3 x 3 with a border of
1, or channels that do not come in sixteens, or float64, goes to `winograd`.

In float32, values and gradients are about 10 times as far from float64 as those of `im2col`
(tests/autograd/test_compiled.py bounds it).
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numba.core import config, event

from optiscope.autograd.kernels import winograd
from optiscope.autograd.kernels.vectors import LANES, ROWS
from optiscope.autograd.node import Array, Node

if config.DISABLE_JIT:
    raise ImportError("which NUMBA_DISABLE_JIT turns off")


class _Word(event.Listener):  # type: ignore[misc]
    """Tells the log that something is compiled, once."""

    _said = False

    def on_start(self, _: Any) -> None:
        if not self._said:
            logging.getLogger(__name__).warning("compiling the kernels 'numba': about ten seconds, this once")
        self._said = True

    def on_end(self, _: Any) -> None:
        pass


with event.install_listener("numba:compile", _Word()):
    from optiscope.autograd.kernels import loops

MAPS = np.kron(winograd.G, winograd.G).astype(np.float32)
"""f4 [36, 9]: the map from w to G w G^T, both flat."""

TILES = 64
"""Tiles of a block, about."""

DEPTH = 64
"""Values under the kernel up to which a first layer is convolved directly."""


def suits(x: Array, w: Array, padding: int) -> bool:
    """Say whether F(4 x 4, 3 x 3) is used for this call."""
    channels = w.shape[2] % LANES == 0 and w.shape[3] % LANES == 0
    return x.dtype == w.dtype == np.float32 and w.shape[:2] == (3, 3) and padding == 1 and channels


def suits_direct(node: Node, x: Array, w: Array) -> bool:
    """Say whether this call is convolved directly."""
    single = x.dtype == w.dtype == np.float32
    return single and not node.needs[0] and w.shape[3] % LANES == 0 and w[..., 0].size <= DEPTH


def conv_relu_pool(node: Node, x: Array, w: Array, b: Array, padding: int, pool: bool) -> Array:
    """Return relu(max_pool(conv(x, w)) + b), and leave the winners of the pool in a buffer."""
    wino = suits(x, w, padding)
    if not wino and not suits_direct(node, x, w):
        return winograd.conv_relu_pool(node, x, w, b, padding, pool)
    n, h, wide, ci = x.shape
    kernel, co = len(w), w.shape[3]
    height, width = h + 2 * padding - kernel + 1, wide + 2 * padding - kernel + 1
    y = node.buffer("out", (n, height // 2, width // 2, co) if pool else (n, height, width, co), x.dtype)
    if wino:
        group, padded, _, v, m, t = _memory(node, x, w, pool)
        u = _filters(w)
        loops.winograd(
            _flat(x), u, _flat(b), _flat(y), _winners(node, y, pool), padded, v, m, t, n, h, wide, ci, co, group, pool
        )
    else:
        padded, columns, m, _ = _rows(node, x, w, width, padding)
        loops.direct(
            _flat(x), _flat(w), _flat(b), _flat(y), _winners(node, y, pool), padded, columns, m,
            n, h, wide, ci, co, kernel, padding, pool,
        )  # fmt: skip
    return y


def conv_relu_pool_grad(
    node: Node,
    dy: Array,
    x: Array,
    w: Array,
    y: Array,
    padding: int,
    pool: bool,
    dx: Array | None,
    dw: Array | None,
    db: Array | None,
) -> None:
    """Fill the gradients that are wanted."""
    wino = suits(x, w, padding)
    if not wino and not suits_direct(node, x, w):
        winograd.conv_relu_pool_grad(node, dy, x, w, y, padding, pool, dx, dw, db)
        return
    n, h, wide, ci = x.shape
    kernel, _, _, co = w.shape
    bias = node.scratch("db", (co,), w.dtype)
    part = node.scratch("db part", (co,), w.dtype)
    bias[...] = part[...] = 0
    winners = _winners(node, y, pool)
    if wino:
        group, padded, spread, v, m, t = _memory(node, x, w, pool)
        du = node.scratch("compiled du", (6, 6, ci, co), w.dtype)
        du[...] = 0
        u = _filters(w[::-1, ::-1].transpose(0, 1, 3, 2))
        loops.winograd_grad(
            _flat(dy), _flat(x), _flat(y), winners, u, t if dx is None else _flat(dx), _flat(du), bias,
            padded, spread, v, m, t, part, n, h, wide, ci, co, group, pool, dx is not None, dw is not None,
        )  # fmt: skip
        if dw is not None:
            dw[...] = (MAPS.T @ du.reshape(len(MAPS), -1)).reshape(w.shape)
    else:
        padded, columns, g, total = _rows(node, x, w, wide + 2 * padding - kernel + 1, padding)
        total[...] = 0
        g[...] = 0
        loops.direct_grad(
            _flat(dy), _flat(x), _flat(y), winners, _flat(total), bias, padded, columns, g, part,
            n, h, wide, ci, co, kernel, padding, pool,
        )  # fmt: skip
        if dw is not None:
            dw[...] = total[: w.size // co].reshape(w.shape)
    if db is not None:
        db[...] = bias


def _flat(array: Array) -> Array:
    """Return the array as the loops take it: flat, contiguous, writeable (which is part of numba's types)."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat if flat.flags.writeable else flat.copy()


def _filters(w: Array) -> Array:
    """Return U = G w G^T, flat [36, Cin, Cout]."""
    return (MAPS @ w.reshape(MAPS.shape[1], -1)).reshape(-1)


def _winners(node: Node, y: Array, pool: bool) -> Array:
    return node.buffer("winners", (y.size if pool else 1,), np.uint8)


def _up(size: int) -> int:
    return -(-size // ROWS) * ROWS


def _memory(node: Node, x: Array, w: Array, pool: bool) -> tuple[int, Array, Array, Array, Array, Array]:
    """Return the images of a block, and scratch: bordered images and gradients, V, M, and a tile's own."""
    n, h, wide, ci = x.shape
    co = w.shape[3]
    down, across = -(-h // 4), -(-wide // 4)
    group = min(n, max(1, TILES // (down * across)))
    border = group * (4 * down + 2) * (4 * across + 2)
    rows = _up(group * down * across)

    def scratch(name: str, size: int, *where: object) -> Array:
        return node.scratch(("compiled", name, *where), (size,), x.dtype)

    return (
        group,
        scratch("x", border * ci, x.shape[1:]),
        scratch("g", border * co, x.shape[1:], co, pool),
        scratch("v", loops.PLACES * (rows * ci + LANES)),
        scratch("m", loops.PLACES * (rows * co + LANES)),
        scratch("t", 2 * loops.PLACES * LANES),
    )


def _rows(node: Node, x: Array, w: Array, width: int, padding: int) -> tuple[Array, Array, Array, Array]:
    """Return scratch: an image with its border, two rows of pixels' columns and values, and dW of the columns."""
    depth, co = _up(w[..., 0].size), w.shape[3]
    border = (x.shape[1] + 2 * padding) * (x.shape[2] + 2 * padding) * x.shape[3]
    padded = node.scratch(("compiled", "image", x.shape[1:], padding), (border + LANES,), x.dtype)
    columns = node.scratch(("compiled", "columns", w.shape), (2 * _up(width) * depth + LANES,), x.dtype)
    values = node.scratch(("compiled", "rows"), (2 * _up(width) * co,), x.dtype)
    return padded, columns, values, node.scratch(("compiled", "dw"), (depth, co), x.dtype)
