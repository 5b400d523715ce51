"""Layers: functions of tensors and of named parameters, `<layer>.weight` and `<layer>.bias`."""

from __future__ import annotations

from collections.abc import Mapping

from optiscope.autograd import Tensor, conv2d, linear, max_pool2d, relu

KERNEL = 3
POOL = 2

Params = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def conv_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    """Return the shapes of a 3 x 3 convolution's parameters."""
    return {f"{name}.weight": (KERNEL, KERNEL, inputs, outputs), f"{name}.bias": (outputs,)}


def linear_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    """Return the shapes of a linear layer's parameters."""
    return {f"{name}.weight": (inputs, outputs), f"{name}.bias": (outputs,)}


def conv_relu(params: Params, name: str, x: Tensor) -> Tensor:
    """Return a 3 x 3 convolution, padded to the size of x, and a ReLU."""
    return relu(conv2d(x, params[f"{name}.weight"], params[f"{name}.bias"], padding=KERNEL // 2))


def conv_relu_pool(params: Params, name: str, x: Tensor) -> Tensor:
    """Return a 3 x 3 convolution, a ReLU and a 2 x 2 max-pool.

    Bias and ReLU are monotone, so they give the same values after the pool as before it, on a quarter of the pixels.
    """
    pooled = max_pool2d(conv2d(x, params[f"{name}.weight"], padding=KERNEL // 2), POOL)
    return relu(pooled + params[f"{name}.bias"])


def dense(params: Params, name: str, x: Tensor) -> Tensor:
    """Return a linear layer."""
    return linear(x, params[f"{name}.weight"], params[f"{name}.bias"])
