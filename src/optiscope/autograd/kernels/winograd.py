"""Convolution by Winograd's minimal filtering F(4, 3) along the rows of images: half the multiplications.

Four neighbouring outputs of a filter with three taps take 12 multiplications, or 6 if the six inputs d, the filter w
and the six products are combined linearly (Winograd 1980; Lavin and Gray, arXiv 1509.09308, appendix):

    y = A^T [(G w) * (B^T d)]

B^T and A^T have small whole numbers, so they are sums of whole arrays; the products are matrix products over the
channels and the three rows of the kernel. Along both axes (F(4 x 4, 3 x 3)) a quarter of the multiplications would be
left, but the sums cost NumPy more passes over memory than that saves.

A block is laid out so that every sum is one of contiguous arrays. Tiles of four pixels stand in columns q:

    D [6, n, q, H, C]            input d of tiles, by place in the tile; 0 and 5 belong to the neighbours
    V [6, n, q, H + 2, C]        B^T d, with a zero row above and below
    S [6, rows, 3 C]             three rows of V side by side: one copy of pieces of 3 C values
    M [6, rows, Co] = S @ U      U = G w
    Y [4, rows, Co] = A^T M      outputs by place in the tile; rows are (parity of H if there is a pool, n, q, H)

The pool then compares Y[0] with Y[1] and Y[2] with Y[3], and the two halves of their rows. Backward, the transpose
of each map: dU = S^T @ (A dY), dW = G^T dU; and dX is the same convolution of dY with the flipped kernel.

The sums of B^T and A^T amplify rounding: in float32 values and gradients are about 3 times as far from float64 as
those of `im2col` (tests/autograd/test_winograd.py bounds it). Used for 3 x 3 kernels that keep the size of images
whose width is a multiple of 4, from 32 channels on; anything else goes to `fused`.
"""

from __future__ import annotations

import numpy as np

from optiscope.autograd.kernels import fused
from optiscope.autograd.kernels.columns import block_size, blocks
from optiscope.autograd.node import Array, Node

TILE, PLACES = 4, 6
CHANNELS = 32
"""With fewer, what the products save goes into the sums."""

G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24


def suits(x: Array, w: Array, padding: int, pool: bool) -> bool:
    """Say whether F(4, 3) is used for this call."""
    even = not pool or x.shape[1] % 2 == 0
    return w.shape[:2] == (3, 3) and padding == 1 and x.shape[2] % TILE == 0 and even and min(w.shape[2:]) >= CHANNELS


def conv_relu_pool(node: Node, x: Array, w: Array, b: Array, padding: int, pool: bool) -> Array:
    """Return relu(max_pool(conv(x, w)) + b), and leave the comparisons of the pool in buffers."""
    if not suits(x, w, padding, pool):
        return fused.conv_relu_pool(node, x, w, b, padding, pool)
    count, height, width, _ = x.shape
    outputs = w.shape[3]
    y = node.buffer("out", (count, height // 2, width // 2, outputs) if pool else (*x.shape[:3], outputs), x.dtype)
    u = _filters(w)
    limit = block_size(count, height * width)
    bias = node.scratch("bias", (limit * int(np.prod(y.shape[1:3])), outputs), x.dtype)
    bias[...] = b
    zeros = node.scratch("zeros", bias.shape, x.dtype)
    for images in blocks(count, height * width):
        d, v = _tiles_of(node, x[images]), _kept(node, x, images)
        _transform(node, d, v)
        out = _convolve(node, _stack(node, v, pool), u)
        if pool:
            out = _pool(node, out, y, images)
        rows = out.reshape(-1, outputs)
        rows += bias[: len(rows)]
        np.maximum(rows, zeros[: len(rows)], out=rows)
        _to_images(out, y[images])
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
    if not suits(x, w, padding, pool):
        fused.conv_relu_pool_grad(node, dy, x, w, y, padding, pool, dx, dw, db)
        return
    pixels = x.shape[1] * x.shape[2]
    limit = block_size(len(x), pixels)
    du = node.scratch("du", (PLACES, 3 * w.shape[2], w.shape[3]), w.dtype)
    part = node.scratch("du part", du.shape, w.dtype)
    bias = node.scratch("db", w.shape[3:], w.dtype)
    ones = node.scratch("block of ones", (limit * pixels,), w.dtype)
    du[...], bias[...], ones[...] = 0, 0, 1
    u = _filters(w[::-1, ::-1].transpose(0, 1, 3, 2))
    for images in blocks(len(x), pixels):
        g = fused.before_relu(node, dy[images], y[images], limit)
        bias += fused.product(node, "db part", ones[: len(g)], g)
        tiles = _to_tiles(node, g.reshape(dy[images].shape), y, images, pool)
        if dw is not None:
            stacked = _stack(node, _kept(node, x, images), pool)
            du += np.matmul(stacked.transpose(0, 2, 1), _spread(node, tiles), out=part)
        if dx is not None:
            d = _places(node, tiles, x[images].shape, pool)
            v = _scratch(node, "v", (*d.shape[:3], d.shape[3] + 2, d.shape[4]), d)
            _transform(node, d, v)
            _to_images(_convolve(node, _stack(node, v, False), u), dx[images])
    if db is not None:
        db[...] = bias
    if dw is not None:
        sums = np.tensordot(G.astype(w.dtype), du.reshape(PLACES, 3, *w.shape[2:]), axes=(0, 0))
        dw[...] = sums.transpose(1, 0, 2, 3)


def _filters(w: Array) -> Array:
    """Return U = G w, [6, 3 * Cin, Cout], along the width of the kernel."""
    u = np.tensordot(G.astype(w.dtype), w, axes=(1, 1))
    return u.reshape(PLACES, -1, w.shape[3])


def _scratch(node: Node, name: str, shape: tuple[int, ...], like: Array) -> Array:
    return node.scratch(("winograd", name), shape, like.dtype)


def _pieces(values: int, like: Array) -> np.dtype[np.void]:
    return np.dtype((np.void, values * like.itemsize))


def _tiles_of(node: Node, x: Array) -> Array:
    """Return D for images x [n, H, W, C], but for places 0 and 5."""
    count, height, width, channels = x.shape
    d = _scratch(node, "d", (PLACES, count, width // TILE, height, channels), x)
    piece = _pieces(channels, x)
    source = x.view(piece).reshape(count, height, width // TILE, TILE)
    np.copyto(d.view(piece)[1:5, ..., 0], source.transpose(3, 0, 2, 1))
    return d


def _places(node: Node, tiles: Array, shape: tuple[int, ...], pool: bool) -> Array:
    """Return D for images of `shape` that are cut into `tiles` [4, rows, C] already, but for places 0 and 5."""
    count, height, width, _ = shape
    channels = tiles.shape[2]
    d = _scratch(node, "d", (PLACES, count, width // TILE, height, channels), tiles)
    if not pool:
        d[1:5] = tiles.reshape(d[1:5].shape)
        return d
    piece = _pieces(channels, tiles)
    source = tiles.view(piece).reshape(TILE, 2, count, width // TILE, height // 2)
    target = d.view(piece)[1:5, ..., 0].reshape(TILE, count, width // TILE, height // 2, 2)
    np.copyto(target, source.transpose(0, 2, 3, 4, 1))
    return d


def _kept(node: Node, x: Array, images: slice) -> Array:
    """Return where V of a block of x is kept from the forward to the backward pass: 1.5 times the memory of x."""
    count, height, width, channels = x.shape
    size = PLACES * (width // TILE) * (height + 2) * channels
    whole = node.buffer("v", (count * size,), x.dtype)
    return whole[images.start * size : images.stop * size].reshape(PLACES, -1, width // TILE, height + 2, channels)


def _transform(node: Node, d: Array, v: Array) -> None:
    """Fill v with B^T d, zero rows included, once places 0 and 5 of `d` have been copied from the neighbours."""
    d[0, :, 1:], d[0, :, 0] = d[4, :, :-1], 0
    d[5, :, :-1], d[5, :, -1] = d[1, :, 1:], 0
    v[:, :, :, 0], v[:, :, :, -1] = 0, 0
    _combine_input(node, d, v[:, :, :, 1:-1])


def _stack(node: Node, v: Array, phases: bool) -> Array:
    """Return S: three rows of V side by side; with `phases`, even rows of pixels before odd ones."""
    _, count, tiles, height, channels = v.shape
    height -= 2
    piece = _pieces(3 * channels, v)
    step = 2 if phases else 1
    per_place, per_image, per_tile, per_row, _ = v.strides
    shape: tuple[int, ...] = (PLACES, count, tiles, height // step)
    strides: tuple[int, ...] = (per_place, per_image, per_tile, step * per_row)
    if phases:
        shape, strides = (PLACES, 2, *shape[1:]), (per_place, per_row, *strides[1:])
    s = _scratch(node, "s", (PLACES, count * tiles * height, 3 * channels), v)
    np.copyto(s.view(piece).reshape(shape), np.ndarray(shape, piece, v, strides=strides))
    return s


def _combine_input(node: Node, d: Array, v: Array) -> None:
    """Fill v with B^T d."""
    t, u = _scratch(node, "t", d.shape[1:], d), _scratch(node, "u", d.shape[1:], d)
    np.multiply(d[2], -4, out=t)
    np.add(t, d[4], out=t)
    np.multiply(d[1], -4, out=u)
    np.add(u, d[3], out=u)
    np.add(t, u, out=v[1])
    np.subtract(t, u, out=v[2])
    np.subtract(d[4], d[2], out=t)
    np.subtract(d[0], d[2], out=u)
    np.multiply(u, 4, out=u)
    np.add(u, t, out=v[0])
    np.subtract(d[3], d[1], out=u)
    np.add(u, u, out=u)
    np.add(t, u, out=v[3])
    np.subtract(t, u, out=v[4])
    np.multiply(u, -2, out=u)
    np.subtract(d[5], d[3], out=t)
    np.add(t, u, out=v[5])


def _convolve(node: Node, s: Array, u: Array) -> Array:
    """Return Y = A^T (S @ U), [4, rows, Co]."""
    m = np.matmul(s, u, out=_scratch(node, "m", (*s.shape[:2], u.shape[2]), s))
    y = _scratch(node, "y", (TILE, *m.shape[1:]), s)
    t = _scratch(node, "row", m.shape[1:], s)
    np.subtract(m[1], m[2], out=y[1])
    np.add(m[1], m[2], out=y[2])
    np.subtract(m[3], m[4], out=y[3])
    np.add(m[3], m[4], out=t)
    np.add(m[0], y[2], out=y[0])
    y[0] += t
    np.multiply(t, 4, out=t)
    y[2] += t
    np.add(y[3], y[3], out=t)
    np.multiply(y[3], 8, out=y[3])
    y[3] += y[1]
    y[3] += m[5]
    y[1] += t
    return y


def _spread(node: Node, tiles: Array) -> Array:
    """Return A dY, [6, rows, Co], for dY [4, rows, Co]."""
    z = _scratch(node, "m", (PLACES, *tiles.shape[1:]), tiles)
    t = _scratch(node, "row", tiles.shape[1:], tiles)
    z[0], z[5] = tiles[0], tiles[3]
    np.add(tiles[0], tiles[2], out=t)
    np.add(tiles[1], tiles[3], out=z[2])
    np.add(t, z[2], out=z[1])
    np.subtract(t, z[2], out=z[2])
    np.multiply(tiles[2], 4, out=t)
    t += tiles[0]
    np.multiply(tiles[3], 4, out=z[4])
    z[4] += tiles[1]
    z[4] += z[4]
    np.add(t, z[4], out=z[3])
    np.subtract(t, z[4], out=z[4])
    return z


def _pool(node: Node, tiles: Array, y: Array, images: slice) -> Array:
    """Return the maxima [2, M] of `tiles` [2, 2, 2 (upper, lower), M], and keep where they were."""
    left, upper = fused.comparisons(node, y, images)
    z = tiles.reshape(2, 2, -1)
    left, rows = left.reshape(2, -1), z[:, 0]
    np.greater_equal(rows, z[:, 1], out=left)
    np.maximum(rows, z[:, 1], out=rows)
    halves = rows.reshape(2, 2, -1)
    np.greater_equal(halves[:, 0], halves[:, 1], out=upper.reshape(2, -1))
    out = _scratch(node, "pooled", (2, halves.shape[2]), tiles)
    np.maximum(halves[:, 0], halves[:, 1], out=out)
    return out


def _to_tiles(node: Node, g: Array, y: Array, images: slice, pool: bool) -> Array:
    """Return [4, rows, C]: the gradient g [n, h, w, C] of a block in the layout of Y, given back to the maxima."""
    count, height, width, channels = g.shape
    places = 2 if pool else TILE
    piece = _pieces(channels, g)
    out = _scratch(node, "g", (places, count, width // places, height, channels), g)
    source = g.view(piece).reshape(count, height, width // places, places)
    np.copyto(out.view(piece)[..., 0], source.transpose(3, 0, 2, 1))
    if not pool:
        return out.reshape(TILE, -1, channels)
    left, upper = fused.comparisons(node, y, images)
    flat = out.reshape(2, -1)
    tiles = _scratch(node, "tiles", (2, 2, 2, flat.shape[1]), g)
    rows = tiles[:, 1]
    np.multiply(flat, upper.reshape(flat.shape), out=rows[:, 0])
    np.subtract(flat, rows[:, 0], out=rows[:, 1])
    np.multiply(rows, left.reshape(rows.shape), out=tiles[:, 0])
    np.subtract(rows, tiles[:, 0], out=rows)
    return tiles.reshape(TILE, -1, channels)


def _to_images(tiles: Array, out: Array) -> None:
    """Copy `tiles` [places, n, q, H, C], flat, to the images `out` [n, H, W, C]."""
    count, height, width, channels = out.shape
    places = len(tiles)
    piece = _pieces(channels, out)
    target = out.view(piece).reshape(count, height, width // places, places)
    np.copyto(target.transpose(3, 0, 2, 1), tiles.reshape(-1, channels).view(piece).reshape(places, count, -1, height))
