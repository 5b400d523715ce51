"""Layers: functions of tensors and of named parameters, `<layer>.weight` and `<layer>.bias`."""

from __future__ import annotations

from collections.abc import Mapping

from optiscope.autograd import Tensor, conv_relu_pool, linear

KERNEL = 3

Params = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def conv_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    """Return the shapes of a 3 x 3 convolution's parameters."""
    return {f"{name}.weight": (KERNEL, KERNEL, inputs, outputs), f"{name}.bias": (outputs,)}


def linear_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    """Return the shapes of a linear layer's parameters."""
    return {f"{name}.weight": (inputs, outputs), f"{name}.bias": (outputs,)}


def conv_relu(params: Params, name: str, x: Tensor, pool: bool = False) -> Tensor:
    """Return a 3 x 3 convolution, padded to the size of x, a ReLU and, if `pool`, a 2 x 2 max-pool."""
    return conv_relu_pool(x, params[f"{name}.weight"], params[f"{name}.bias"], padding=KERNEL // 2, pool=pool)


def dense(params: Params, name: str, x: Tensor) -> Tensor:
    """Return a linear layer."""
    return linear(x, params[f"{name}.weight"], params[f"{name}.bias"])
