"""Convolution and max-pooling of images [N, H, W, C]."""

from __future__ import annotations

from optiscope.autograd.kernels.shapes import column_sums, out_size
from optiscope.autograd.node import Array, Node
from optiscope.autograd.tape import Tensor
from optiscope.autograd.vjp import Operation
from optiscope.errors import UsageError

Gradients = tuple[Array | None, ...]
Pair = tuple[int, int]


def _conv2d(node: Node, x: Array, w: Array, *b: Array, stride: Pair, padding: Pair) -> Array:
    if x.ndim != 4 or w.ndim != 4 or x.shape[3] != w.shape[2] or any(bias.shape != w.shape[3:] for bias in b):
        raise UsageError(
            f"conv2d takes x [N, H, W, Cin], w [kh, kw, Cin, Cout] and b [Cout], not "
            f"{', '.join(str(array.shape) for array in (x, w, *b))}: images have their channels last"
        )
    _check_fit("conv2d", x, w.shape[:2], stride, padding)
    return node.kernels.conv2d(node, x, w, b[0] if b else None, stride, padding)


def _conv2d_rule(node: Node, dy: Array) -> Gradients:
    x, w = node.arrays[:2]
    dx = node.grad(0) if node.needs[0] else None
    dw = node.grad(1) if node.needs[1] else None
    if dx is not None or dw is not None:
        node.kernels.conv2d_grad(node, dy, x, w, node.options["stride"], node.options["padding"], dx, dw)
    if len(node.arrays) == 2:
        return dx, dw
    db = None
    if node.needs[2]:
        db = node.grad(2)
        column_sums(node, dy.reshape(-1, w.shape[3]), db)
    return dx, dw, db


def _max_pool2d(node: Node, x: Array, size: Pair, stride: Pair) -> Array:
    if x.ndim != 4:
        raise UsageError(f"max_pool2d takes images [N, H, W, C], not {x.shape}: reshape them")
    _check_fit("max_pool2d", x, size, stride, (0, 0))
    return node.kernels.max_pool2d(node, x, size, stride)


def _max_pool2d_rule(node: Node, dy: Array) -> Gradients:
    dx = node.grad(0)
    node.kernels.max_pool2d_grad(node, dy, node.arrays[0], node.out, node.options["size"], node.options["stride"], dx)
    return (dx,)


def _check_fit(name: str, x: Array, size: Pair, stride: Pair, padding: Pair) -> None:
    if min(stride) < 1 or min(padding) < 0:
        raise UsageError(f"{name} moves by a stride >= 1 and pads by >= 0, not {stride} and {padding}: choose others")
    if any(out_size(x.shape[1 + k], size[k], stride[k], padding[k]) < 1 for k in (0, 1)):
        raise UsageError(
            f"a window of {size[0]} x {size[1]} does not fit into images of {x.shape[1]} x {x.shape[2]} padded by "
            f"{padding}: use larger images, a smaller window or more padding"
        )


def _conv_relu_pool(node: Node, x: Array, w: Array, b: Array, padding: int, pool: bool) -> Array:
    if x.ndim != 4 or w.ndim != 4 or x.shape[3] != w.shape[2] or b.shape != w.shape[3:] or w.shape[0] != w.shape[1]:
        raise UsageError(
            f"conv_relu_pool takes x [N, H, W, Cin], w [k, k, Cin, Cout] and b [Cout], not {x.shape}, {w.shape} and "
            f"{b.shape}: images have their channels last"
        )
    if not 0 <= padding < len(w):
        raise UsageError(f"conv_relu_pool pads by 0 ... {len(w) - 1} for this kernel, not {padding}: choose another")
    _check_fit("conv_relu_pool", x, w.shape[:2], (1, 1), (padding, padding))
    if pool and min(out_size(size, len(w), 1, padding) for size in x.shape[1:3]) < 2:
        raise UsageError(
            f"a pool of 2 x 2 does not fit what is left of images of {x.shape[1]} x {x.shape[2]}: pad more"
        )
    return node.kernels.conv_relu_pool(node, x, w, b, padding, pool)


def _conv_relu_pool_rule(node: Node, dy: Array) -> Gradients:
    x, w, _ = node.arrays
    dx, dw, db = (node.grad(index) if needed else None for index, needed in enumerate(node.needs))
    options = node.options
    node.kernels.conv_relu_pool_grad(node, dy, x, w, node.out, options["padding"], options["pool"], dx, dw, db)
    return dx, dw, db


_CONV2D = Operation("conv2d", _conv2d, _conv2d_rule)
_MAX_POOL2D = Operation("max_pool2d", _max_pool2d, _max_pool2d_rule)
_CONV_RELU_POOL = Operation("conv_relu_pool", _conv_relu_pool, _conv_relu_pool_rule)

ROWS = (_CONV2D, _MAX_POOL2D, _CONV_RELU_POOL)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def conv2d(x: Tensor, w: Tensor, b: Tensor | None = None, stride: int | Pair = 1, padding: int | Pair = 0) -> Tensor:
    """Return the cross-correlation of images with a kernel, plus a bias.

    x [N, H, W, Cin], w [kh, kw, Cin, Cout], b [Cout] -> [N, Ho, Wo, Cout], where
    Ho = (H + 2 padding - kh) // stride + 1.
    `stride` and `padding` (zeros on both sides) are one number or (vertical, horizontal). UsageError for shapes that
    do not fit.
    """
    bias = () if b is None else (b,)
    return _CONV2D(x, w, *bias, stride=_pair(stride), padding=_pair(padding))


def max_pool2d(x: Tensor, size: int | Pair = 2, stride: int | Pair | None = None) -> Tensor:
    """Return the maximum of each window: x [N, H, W, C] -> [N, Ho, Wo, C], where Ho = (H - size) // stride + 1.

    `stride` is `size` unless given. Of equal maxima the first, row by row, gets the gradient. UsageError for
    windows that do not fit.
    """
    return _MAX_POOL2D(x, size=_pair(size), stride=_pair(size if stride is None else stride))


def conv_relu_pool(x: Tensor, w: Tensor, b: Tensor, padding: int = 0, pool: bool = True) -> Tensor:
    """Return relu(max_pool2d(conv2d(x, w, b))), the building block of small networks, without what lies between.

    x [N, H, W, Cin], w [k, k, Cin, Cout], b [Cout] -> [N, Ho // 2, Wo // 2, Cout], where Ho = H + 2 padding - k + 1,
    or [N, Ho, Wo, Cout] if `pool` is False. The values are those of the three operations, which do four passes over
    memory where this does one. UsageError for shapes that do not fit, and for more padding than k - 1.
    """
    return _CONV_RELU_POOL(x, w, b, padding=padding, pool=pool)
