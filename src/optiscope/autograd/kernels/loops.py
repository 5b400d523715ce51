"""The loops of the set "numba", compiled: Winograd's F(4 x 4, 3 x 3), and a direct convolution of few channels.

Every array is flat and contiguous, and of float32 but for the winners of pools (uint8); channels come in vectors of 16.
Sizes are given by name: images n, height h, width w, channels of the input ci and of the output co.
"""

from __future__ import annotations

from numba import boolean, float32, intp, njit, uint8, void

from optiscope.autograd.kernels.vectors import (
    COLUMNS,
    LANES,
    ROWS,
    load,
    load_bytes,
    multiply,
    multiply_add,
    multiply_narrow,
    rectified,
    splat,
    store,
    store_bytes,
    where_beaten,
    where_equal,
    where_positive,
)

PLACES = 36
"""Products of a tile of 4 x 4 pixels."""


_F, _W = float32[::1], uint8[::1]
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def _compiled(*kinds):
    """Compile for arguments of these kinds, or load what was compiled before; without a place to keep it, compile."""

    def decorate(function):
        try:
            return njit(void(*kinds), cache=True, **_OPTIONS)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return njit(void(*kinds), **_OPTIONS)(function)

    return decorate


_inlined = njit(forceinline=True, **_OPTIONS)


@_inlined
def _tiles(size):
    return (size + 3) // 4


@_inlined
def _input(t, at, step, out, to, out_step):
    """Write B^T d, six vectors, for six vectors d."""
    d0, d1, d2 = load(t, at), load(t, at + step), load(t, at + 2 * step)
    d3, d4, d5 = load(t, at + 3 * step), load(t, at + 4 * step), load(t, at + 5 * step)
    minus4, four = splat(-4), splat(4)
    even, odd = multiply_add(minus4, d2, d4), multiply_add(minus4, d1, d3)
    store(out, to + out_step, even + odd)
    store(out, to + 2 * out_step, even - odd)
    even, odd = d4 - d2, d3 - d1
    odd = odd + odd
    store(out, to, multiply_add(four, d0 - d2, even))
    store(out, to + 3 * out_step, even + odd)
    store(out, to + 4 * out_step, even - odd)
    store(out, to + 5 * out_step, d5 - d3 - odd - odd)


@_inlined
def _output(t, at, step, out, to, out_step):
    """Write A^T m, four vectors, for six vectors m."""
    m0, m1, m2 = load(t, at), load(t, at + step), load(t, at + 2 * step)
    m3, m4, m5 = load(t, at + 3 * step), load(t, at + 4 * step), load(t, at + 5 * step)
    sum1, sum2, dif1, dif2 = m1 + m2, m3 + m4, m1 - m2, m3 - m4
    store(out, to, m0 + sum1 + sum2)
    store(out, to + out_step, multiply_add(splat(2), dif2, dif1))
    store(out, to + 2 * out_step, multiply_add(splat(4), sum2, sum1))
    store(out, to + 3 * out_step, multiply_add(splat(8), dif2, dif1) + m5)


@_inlined
def _spread(t, at, step, out, to, out_step):
    """Write A g, six vectors, for four vectors g."""
    g0, g1, g2, g3 = load(t, at), load(t, at + step), load(t, at + 2 * step), load(t, at + 3 * step)
    even, odd = g0 + g2, g1 + g3
    store(out, to, g0)
    store(out, to + out_step, even + odd)
    store(out, to + 2 * out_step, even - odd)
    even, odd = multiply_add(splat(4), g2, g0), multiply_add(splat(4), g3, g1)
    odd = odd + odd
    store(out, to + 3 * out_step, even + odd)
    store(out, to + 4 * out_step, even - odd)
    store(out, to + 5 * out_step, g3)


@_inlined
def _copy_inside(x, first, count, h, w, c, padded, ph, pw, border):
    """Copy images into `padded` images [ph, pw, c], `border` pixels in."""
    for image in range(count):
        for row in range(h):
            source = ((first + image) * h + row) * w * c
            target = ((image * ph + row + border) * pw + border) * c
            whole = w * c // LANES * LANES
            for index in range(0, whole, LANES):
                store(padded, target + index, load(x, source + index))
            for index in range(whole, w * c):
                padded[target + index] = x[source + index]


@_inlined
def _input_tiles(padded, count, h, w, c, v, stride, t):
    """Fill v [36, tiles, c] with B^T d B for the tiles of `padded` images."""
    down, across = _tiles(h), _tiles(w)
    ph, pw = 4 * down + 2, 4 * across + 2
    for image in range(count):
        for i in range(down):
            for j in range(across):
                tile = (image * down + i) * across + j
                for channel in range(0, c, LANES):
                    at = ((image * ph + 4 * i) * pw + 4 * j) * c + channel
                    for row in range(6):
                        _input(padded, at + row * pw * c, c, t, row * 6 * LANES, LANES)
                    for column in range(6):
                        _input(t, column * LANES, 6 * LANES, v, column * stride + tile * c + channel, 6 * stride)


@_inlined
def _gradient_tiles(padded, count, h, w, c, v, stride, t):
    """Fill v [36, tiles, c] with A g A^T for the inner tiles of `padded` images."""
    down, across = _tiles(h), _tiles(w)
    ph, pw = 4 * down + 2, 4 * across + 2
    for image in range(count):
        for i in range(down):
            for j in range(across):
                tile = (image * down + i) * across + j
                for channel in range(0, c, LANES):
                    at = ((image * ph + 4 * i + 1) * pw + 4 * j + 1) * c + channel
                    for row in range(4):
                        _spread(padded, at + row * pw * c, c, t, row * 6 * LANES, LANES)
                    for column in range(6):
                        _spread(t, column * LANES, 6 * LANES, v, column * stride + tile * c + channel, 6 * stride)


@_inlined
def _product(a, a0, a_row, a_step, rows, b, b0, c, c0, columns, depth, add):
    """C [rows, columns] = A @ B, or C += A @ B; `rows` may be exceeded up to a multiple of `ROWS`."""
    for i in range(0, rows, ROWS):
        j = 0
        while j + COLUMNS <= columns:
            multiply(a, a0 + i * a_row, a_row, a_step, b, b0 + j, columns, c, c0 + i * columns + j, columns, depth, add)
            j += COLUMNS
        if j < columns:
            multiply_narrow(
                a, a0 + i * a_row, a_row, a_step, b, b0 + j, columns, c, c0 + i * columns + j, columns, depth, add
            )


@_inlined
def _pool(s, at, right, below, bias, y, winners, to):
    """Write the maximum of four vectors, plus bias, rectified; and which it was."""
    best, winner = load(s, at), splat(0)
    new = load(s, at + right)
    winner, best = where_beaten(best, new, winner, splat(1)), where_beaten(best, new, best, new)
    new = load(s, at + below)
    winner, best = where_beaten(best, new, winner, splat(2)), where_beaten(best, new, best, new)
    new = load(s, at + below + right)
    winner, best = where_beaten(best, new, winner, splat(3)), where_beaten(best, new, best, new)
    store(y, to, rectified(best + bias))
    store_bytes(winners, to, winner)


@_inlined
def _output_tiles(m, stride, first, count, h, w, c, b, finish, pool, y, winners, t):
    """Fill images of y with A^T m A; if `finish`, pooled (if `pool`), with bias, and rectified."""
    down, across = _tiles(h), _tiles(w)
    half = 4 * 6 * LANES
    for image in range(count):
        for i in range(down):
            for j in range(across):
                tile = (image * down + i) * across + j
                for channel in range(0, c, LANES):
                    for row in range(6):
                        _output(m, 6 * row * stride + tile * c + channel, stride, t, row * 4 * LANES, LANES)
                    for column in range(4):
                        _output(t, column * LANES, 4 * LANES, t, half + column * LANES, 4 * LANES)
                    bias = load(b, channel)
                    if pool:
                        for row in range(min(2, h // 2 - 2 * i)):
                            for column in range(min(2, w // 2 - 2 * j)):
                                to = ((first + image) * (h // 2) + 2 * i + row) * (w // 2) + 2 * j + column
                                at = half + (2 * row * 4 + 2 * column) * LANES
                                _pool(t, at, LANES, 4 * LANES, bias, y, winners, to * c + channel)
                    else:
                        for row in range(min(4, h - 4 * i)):
                            for column in range(min(4, w - 4 * j)):
                                to = ((first + image) * h + 4 * i + row) * w + 4 * j + column
                                value = load(t, half + (4 * row + column) * LANES)
                                if finish:
                                    value = rectified(value + bias)
                                store(y, to * c + channel, value)


@_inlined
def _gradient_before(dy, y, winners, pool, image, row, column, h, w, c, g, at, g_row, part):
    """Write the gradient of one place of y to its pixels of g, and add it to `part` [c]."""
    ys, xs = (h // 2, w // 2) if pool else (h, w)
    source = ((image * ys + row) * xs + column) * c
    for channel in range(0, c, LANES):
        value = where_positive(load(y, source + channel), load(dy, source + channel))
        store(part, channel, load(part, channel) + value)
        if pool:
            winner = load_bytes(winners, source + channel)
            store(g, at + channel, where_equal(winner, splat(0), value))
            store(g, at + c + channel, where_equal(winner, splat(1), value))
            store(g, at + g_row + channel, where_equal(winner, splat(2), value))
            store(g, at + g_row + c + channel, where_equal(winner, splat(3), value))
        else:
            store(g, at + channel, value)


@_inlined
def _add_up(part, db, c):
    for channel in range(c):
        db[channel] += part[channel]
        part[channel] = 0


@_compiled(_F, _F, _F, _F, _W, _F, _F, _F, _F, *[intp] * 6, boolean)
def winograd(x, u, b, y, winners, padded, v, m, t, n, h, w, ci, co, group, pool):
    """Fill y, and `winners` of its pools; blocks of `group` images."""
    tiles = _tiles(h) * _tiles(w)
    v_stride, m_stride = len(v) // PLACES, len(m) // PLACES
    for first in range(0, n, group):
        count = min(group, n - first)
        _copy_inside(x, first, count, h, w, ci, padded, 4 * _tiles(h) + 2, 4 * _tiles(w) + 2, 1)
        _input_tiles(padded, count, h, w, ci, v, v_stride, t)
        for k in range(PLACES):
            _product(v, k * v_stride, ci, 1, count * tiles, u, k * ci * co, m, k * m_stride, co, ci, False)
        _output_tiles(m, m_stride, first, count, h, w, co, b, True, pool, y, winners, t)


@_compiled(*[_F] * 3, _W, *[_F] * 10, *[intp] * 6, *[boolean] * 3)
def winograd_grad(
    dy, x, y, winners, u, dx, du, db, padded_x, padded_g, v, m, t, part, n, h, w, ci, co, group, pool, want_dx, want_dw
):
    """Fill dx, and add to du [36, ci, co] and db; u is that of the flipped kernel."""
    tiles = _tiles(h) * _tiles(w)
    ph, pw = 4 * _tiles(h) + 2, 4 * _tiles(w) + 2
    v_stride, m_stride = len(v) // PLACES, len(m) // PLACES
    step = 2 if pool else 1
    for first in range(0, n, group):
        count = min(group, n - first)
        for image in range(count):
            for row in range(h // step):
                for column in range(w // step):
                    at = ((image * ph + step * row + 1) * pw + step * column + 1) * co
                    _gradient_before(
                        dy, y, winners, pool, first + image, row, column, h, w, co, padded_g, at, pw * co, part
                    )
        _add_up(part, db, co)
        if want_dx:
            _input_tiles(padded_g, count, h, w, co, m, m_stride, t)
            for k in range(PLACES):
                _product(m, k * m_stride, co, 1, count * tiles, u, k * ci * co, v, k * v_stride, ci, co, False)
            _output_tiles(v, v_stride, first, count, h, w, ci, db, False, False, dx, winners, t)
        if want_dw:
            _copy_inside(x, first, count, h, w, ci, padded_x, ph, pw, 1)
            _input_tiles(padded_x, count, h, w, ci, v, v_stride, t)
            _gradient_tiles(padded_g, count, h, w, co, m, m_stride, t)
            for k in range(PLACES):
                _product(v, k * v_stride, 1, ci, ci, m, k * m_stride, du, k * ci * co, co, count * tiles, True)


@_inlined
def _columns(padded, row, rows, size, c, pw, depth, out, width, ow):
    """Fill out [rows, width, depth] with what lies under the kernel.

    Sixteen values are copied at a time. What is too much is written over by the next copy, or is of no use.
    """
    for i in range(rows):
        for column in range(ow):
            for p in range(size):
                source = ((row + i + p) * pw + column) * c
                to = (i * width + column) * depth + p * size * c
                for q in range(0, size * c, LANES):
                    store(out, to + q, load(padded, source + q))


@_compiled(_F, _F, _F, _F, _W, _F, _F, _F, *[intp] * 7, boolean)
def direct(x, weight, b, y, winners, padded, columns, m, n, h, w, ci, co, size, padding, pool):
    """Fill y, and `winners`; `columns` [2, width, depth] and m [2, width, co] in multiples of `ROWS`."""
    oh, ow = h + 2 * padding - size + 1, w + 2 * padding - size + 1
    used, step = size * size * ci, 2 if pool else 1
    width = len(m) // (2 * co)
    depth = (len(columns) - LANES) // (2 * width)
    ph, pw = h + 2 * padding, w + 2 * padding
    for image in range(n):
        _copy_inside(x, image, 1, h, w, ci, padded, ph, pw, padding)
        for row in range(oh // step):
            _columns(padded, step * row, step, size, ci, pw, depth, columns, width, ow)
            _product(columns, 0, depth, 1, step * width, weight, 0, m, 0, co, used, False)
            for column in range(ow // step):
                to = ((image * (oh // step) + row) * (ow // step) + column) * co
                for channel in range(0, co, LANES):
                    at, bias = step * column * co + channel, load(b, channel)
                    if pool:
                        _pool(m, at, co, width * co, bias, y, winners, to + channel)
                    else:
                        store(y, to + channel, rectified(load(m, at) + bias))


@_compiled(_F, _F, _F, _W, *[_F] * 6, *[intp] * 7, boolean)
def direct_grad(dy, x, y, winners, dw, db, padded, columns, g, part, n, h, w, ci, co, size, padding, pool):
    """Add to dw [depth, co] and db."""
    oh, ow = h + 2 * padding - size + 1, w + 2 * padding - size + 1
    step = 2 if pool else 1
    width = len(g) // (2 * co)
    depth = (len(columns) - LANES) // (2 * width)
    ph, pw = h + 2 * padding, w + 2 * padding
    for image in range(n):
        _copy_inside(x, image, 1, h, w, ci, padded, ph, pw, padding)
        for row in range(oh // step):
            for column in range(ow // step):
                at = step * column * co
                _gradient_before(dy, y, winners, pool, image, row, column, oh, ow, co, g, at, width * co, part)
            _columns(padded, step * row, step, size, ci, pw, depth, columns, width, ow)
            for i in range(step):
                _product(columns, i * width * depth, 1, depth, depth, g, i * width * co, dw, 0, co, ow, True)
        _add_up(part, db, co)
